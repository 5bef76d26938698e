"""Seven rooms cut off from the server for eight hours, then back: what is lost, how fast the spools
empty, and whether live footage waits for it.

Real spools, chains and shippers, each room in a process of its own, and a real `protokol serve` (SQLite,
local directory). The hours are simulated (`spools.py`). Each room makes a live segment every few
seconds all the time, first while the spools empty, then alone.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.spools import Filler, make_media
from bench.warm import environment, is_ready
from recorder.instants import US_PER_MINUTE, now_us
from recorder.keyfile import AgentKey
from recorder.logging import configure_logging
from recorder.rooms import RoomConfiguration
from recorder.shipper import Shipper
from recorder.spool import Spool
from recorder.uplink import Uplink
from simulator.control import free_ports

_ROOMS = tuple(str(number) for number in range(201, 208))
_HOURS = 8.0
# 2 MB a minute is 0.28 Mbit/s: the eight hours of seven rooms at 4 Mbit/s would be 100 GB of disk.
_SEGMENT_MB = 2.0
_LIVE_EVERY_S = 5.0
_LIVE_ALONE = 12
_PATIENCE_S = 1200.0


def _protokol(environment: dict[str, str], *arguments: str) -> str:
    """Its results; findings (exit code 1) are results."""
    command = [sys.executable, "-m", "protokol", *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode > 1:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


@contextmanager
def _server(environment: dict[str, str], log: Path) -> Iterator[None]:
    """`protokol serve`, ready to answer."""
    command = [sys.executable, "-m", "protokol", "serve", "--port", environment["PROTOKOL_LISTEN_PORT"]]
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        until = time.monotonic() + 60
        while not is_ready(environment["PROTOKOL_SERVER_URL"]):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not answer: {log.read_text('utf-8')[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


class _Live:
    """Makes live segments and measures how long each waits until the server has acknowledged it."""

    def __init__(self, filler: Filler, every_s: float) -> None:
        self._filler = filler
        self._every_s = every_s
        self.delays_ms: list[float] = []

    def one(self) -> None:
        """Takes `every_s` at least."""
        began = time.monotonic()
        time.sleep(self._every_s)
        # A whole minute each, as its media say, though a new one begins more often: they overlap.
        end_us = now_us()
        path = self._filler.add(end_us - US_PER_MINUTE, end_us)
        made = time.monotonic()
        while path.exists():
            if time.monotonic() - began > _PATIENCE_S:
                raise TimeoutError(f"{path.name} is not acknowledged")
            time.sleep(0.005)
        self.delays_ms.append((time.monotonic() - made) * 1000)


def _room(
    key_file: Path, spool_dir: Path, media: bytes, plan: tuple[int, float, int], gates: Any, results: Any
) -> None:
    """A room's process: fills its spool, waits for the end of the partition, ships. `plan`: minutes cut
    off, seconds from live segment to live segment, and how many of them once the spool is empty.
    """
    minutes, every_s, alone = plan
    configure_logging(level=logging.WARNING)
    filled, begin = gates
    key = AgentKey.load(key_file)
    configuration = RoomConfiguration.model_validate_json(key.configuration.configuration)
    spool = Spool(spool_dir, key, limit_bytes=10**12)
    filler = Filler(spool.chain("main"), media, configuration.version)
    start_us = now_us() - (minutes + 5) * US_PER_MINUTE
    for minute in range(minutes):
        at_us = start_us + minute * US_PER_MINUTE
        filler.add(at_us, at_us + US_PER_MINUTE)
    filled.wait()
    begin.wait()
    uplink = Uplink(key.server_url, key.token)
    shipper = Shipper(spool, uplink, key.room, configuration=lambda: configuration, held=lambda: ())
    began = time.monotonic()
    emptied: list[float] = []
    backlog = sorted(spool_dir.rglob("*.mp4"))

    def watch() -> None:
        for path in backlog:
            while path.exists():
                time.sleep(0.02)
        emptied.append(time.monotonic() - began)

    watcher = threading.Thread(target=watch)
    watcher.start()
    shipper.start()
    live = _Live(filler, every_s)
    while not emptied:
        live.one()
    behind = len(live.delays_ms)
    filled.wait()
    for _ in range(alone):
        live.one()
    shipper.stop()
    shipper.join()
    results.put((key.room, emptied[0], live.delays_ms[:behind], live.delays_ms[behind:]))


def measure(
    *,
    hours: float,
    segment_mb: float,
    rooms: tuple[str, ...] = _ROOMS,
    live_every_s: float = _LIVE_EVERY_S,
    live_alone: int = _LIVE_ALONE,
) -> dict[str, Any]:
    """`backfill_realtime`: hours of footage of each room in an hour, all rooms at once, live footage
    beside it. `lost`: segments that the spools had and the archive has not.
    """
    minutes = round(hours * 60)
    plan = minutes, live_every_s, live_alone
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        [port] = free_ports(1)
        around = environment(directory / "server", port)
        (directory / "server").mkdir()
        (directory / "server" / "rooms.yaml").write_text(_rooms_file(rooms), "utf-8")
        media = make_media(directory / "minute.mp4", 60, segment_mb)
        with _server(around, directory / "server.log"):
            for room in rooms:
                _protokol(around, "agent", "enroll", room, "-o", str(directory / f"{room}.key"))
            gates = context.Barrier(len(rooms) + 1), context.Event()
            results = context.Queue()
            processes = [
                context.Process(
                    target=_room,
                    args=(
                        directory / f"{room}.key",
                        directory / room,
                        media,
                        plan,
                        gates,
                        results,
                    ),
                )
                for room in rooms
            ]
            try:
                facts = _played(processes, gates, results)
            finally:
                for process in processes:
                    process.kill()
            stored = json.loads(_protokol(around, "archive", "stats", "--json"))
            checked = json.loads(_protokol(around, "archive", "check", "--json"))
    figures = _figures(facts, minutes, len(media))
    # Minutes are made here faster than they pass, and only some of them: the rest is nobody's account.
    findings = [finding for finding in checked if finding["kind"] != "uncovered"]
    return {**figures, "lost": figures["made"] - stored["segments"], "archive_findings": len(findings)}


def _played(processes: list[Any], gates: Any, results: Any) -> list[Any]:
    filled, begin = gates
    for process in processes:
        process.start()
    filled.wait(_PATIENCE_S)
    begin.set()
    filled.wait(_PATIENCE_S)
    facts = [results.get(timeout=_PATIENCE_S) for _ in processes]
    for process in processes:
        process.join(_PATIENCE_S)
    return facts


def _figures(facts: list[Any], minutes: int, segment_bytes: int) -> dict[str, Any]:
    backfill_s = max(emptied for _, emptied, _, _ in facts)
    beside = [delay for _, _, delays, _ in facts for delay in delays]
    alone = [delay for _, _, _, delays in facts for delay in delays]
    made = len(facts) * minutes + len(beside) + len(alone)
    return {
        "rooms": len(facts),
        "hours": minutes / 60,
        "made": made,
        "backfill_s": round(backfill_s, 1),
        "backfill_realtime": round(minutes * 60 / backfill_s, 1),
        "backfill_mb_s": round(len(facts) * minutes * segment_bytes / backfill_s / 2**20, 1),
        "segment_mb": round(segment_bytes / 2**20, 2),
        "live_alone_ms": _spread(alone),
        "live_beside_backfill_ms": _spread(beside),
    }


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "median": round(statistics.median(ordered), 1),
        "p90": round(ordered[len(ordered) * 9 // 10], 1),
        "max": round(ordered[-1], 1),
    }


def _rooms_file(rooms: tuple[str, ...]) -> str:
    lines = ["council: {name: {uk: Рада, en: Council}, timezone: Europe/Kyiv}", "retention: {months: 1}"]
    lines += ["hours:", '  mon-sun: ["00:00-24:00"]', "rooms:"]
    for room in rooms:
        camera = f'{{name: main, url: "rtsp://127.0.0.1:9/{room}"}}'
        lines.append(f'  - {{id: "{room}", label: "{room}", floor: 1, cameras: [{camera}]}}')
    return "\n".join(lines) + "\n"


def run() -> dict[str, Any]:
    return measure(hours=_HOURS, segment_mb=_SEGMENT_MB)
