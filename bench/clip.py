"""What serving costs: one and the same hour of a room by this server, by nginx and by FFmpeg, in turn.

*Plain* is the whole serving path (log-in, door, viewing, clip engine, streaming) over objects that are not
sealed: the archive itself refuses to store such, so the bench puts a store of plain files under it.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
from sqlalchemy import select

from archive import derive, door
from archive.door import Ground
from archive.job_worker import JobWorker
from archive.local_store import LocalStore
from archive.models import User
from archive.mp4.virtual import build
from archive.sealed import SealedReader, SealedStore
from archive.streaming import write_whole
from archive.system import Archive
from bench import hour
from bench.agents import rss_mb
from bench.fetching import Fetched, fetch
from bench.warm import WarmServer, environment
from recorder.instants import US_PER_MINUTE, format_instant, now_us
from recorder.intervals import Interval
from recorder.logging import configure_logging
from recorder.settings import load_settings
from retrieval_api import accounts, sessions
from simulator.control import free_ports

_ROUNDS = 3
_COLD, _WARM = 15, 40
_VIEWERS = 30
# Each reads at sixteen times the speed of watching, from a place and an hour of its own.
_VIEWER_BYTES_S = 16 * 930e6 / 3600
_VIEWING_S = 12.0
_RANGE_BYTES = 2 * 2**20
_BETWEEN_SEEKS_S = 0.05


class _PlainStore(SealedStore):
    """Reads plain files in place of the sealed objects of the same names."""

    def __init__(self, sealed: SealedStore, plain: LocalStore) -> None:
        super().__init__(sealed.raw, sealed.keys)
        self._plain = plain

    def open(self, name: str) -> SealedReader:
        reader: Any = self._plain.open(name)
        return reader  # type: ignore[no-any-return]


def serve_plain(root: str, port: int) -> None:
    """`protokol serve` over the plain files below `root`."""
    from retrieval_api import server  # noqa: PLC0415 -- only in the server's process

    configure_logging()
    archive = Archive.open(load_settings())
    plain = _PlainStore(archive.store, LocalStore(Path(root)))
    server.run(replace(archive, store=plain), server.listen("127.0.0.1", port))


class _Side:
    """A server and how to ask it for the hour, or for one that begins a few seconds later."""

    def __init__(self, server: WarmServer, port: int, cookie: str, recorded: hour.Hour) -> None:
        self.server, self._port, self._cookie, self._recorded = server, port, cookie, recorded

    def get(self, second: int = 0, **how: Any) -> Fetched:
        return self._get(self._recorded.from_second(second), **how)

    def get_minute(self) -> Fetched:
        """What is loaded once by the first clip of a process is loaded by this one."""
        start_us = self._recorded.recorded.start_us
        return self._get(Interval(start_us, start_us + US_PER_MINUTE))

    def _get(self, interval: Interval, **how: Any) -> Fetched:
        query = urlencode(
            {
                "from": format_instant(interval.start_us),
                "to": format_instant(interval.end_us),
                "ground": "fault_check",
            }
        )
        found = fetch(self._port, f"/api/v1/rooms/{hour.ROOM}/clip.mp4?{query}", cookie=self._cookie, **how)
        if found.status not in (200, 206):
            raise RuntimeError(f"{found.status} for a clip: {self.server.said()}")
        return found


def run() -> dict[str, Any]:
    """Medians of rounds in turn. `*_vs_nginx`: our MB/s over nginx's; `time_vs_ffmpeg`: ours over its.

    The bars: first byte 50 ms cold and 10 warm, throughput 0.8 plain and 0.5 encrypted, time 0.5, 400 MB.
    """
    configure_logging(level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="protokol-bench-") as name:
        directory = Path(name)
        data = directory / "data"
        data.mkdir()
        (data / "rooms.yaml").write_text(hour.ROOMS_FILE, "utf-8")
        archive = Archive.open(load_settings(data_dir=data, demo=True), migrate=True)
        started_us = now_us() - 3 * 60 * US_PER_MINUTE
        recorded = hour.record(archive, directory, started_us)
        _derive(archive)
        cookie = _logged_in(archive)
        # Two processes of one archive, one after the other: each has the machine for itself.
        results: dict[str, Any] = {}
        with _serving(data, directory, cookie, recorded) as side:
            results |= _first_bytes(side, Path(archive.settings.store))
            results["rss_mb_30_viewers"] = _viewers(side)
        whole = directory / "whole.mp4"
        with (
            _serving(data, directory, cookie, recorded) as sealed,
            _serving(data, directory, cookie, recorded, plain=True) as plain,
            _nginx(directory) as nginx,
        ):
            size = sealed.get(keep=whole).size_bytes
            results |= _throughput({"nginx": nginx, "plain": plain.get, "encrypted": sealed.get}, size)
            results |= _whole(directory, recorded, archive, sealed)
        archive.close()
        return results


def _derive(archive: Archive) -> None:
    """The backlog of an hour that came at once, which no archive in service has."""
    worker = JobWorker(archive, derive.handlers(archive))
    while derive.enqueue_missing(archive, "0000-00-00", now_us()):
        while worker.run_one():
            pass


def _logged_in(archive: Archive) -> str:
    accounts.add(archive, "operator", "operator", "correct horse battery", "cli:0", now_us())
    with archive.database.transaction() as session:
        user_id = session.scalars(select(User.id)).one()
        token = sessions.begin(session, archive, now_us(), user_id=user_id)
    return f"{sessions.STAFF_COOKIE}={token}"


@contextmanager
def _serving(
    data: Path, directory: Path, cookie: str, recorded: hour.Hour, *, plain: bool = False
) -> Iterator[_Side]:
    [port] = free_ports(1)
    told = environment(data, port)
    serve = partial(serve_plain, str(recorded.plain.root)) if plain else None
    server = WarmServer(told, directory / f"server-{port}.log", serve)
    try:
        server.wait_until_ready()
        side = _Side(server, port, cookie, recorded)
        side.get_minute()
        yield side
    finally:
        server.close()


def _first_bytes(side: _Side, objects: Path) -> dict[str, Any]:
    """Cold: an hour that nobody has asked for yet, objects not in the page cache. Warm: a player seeks."""
    cold = []
    for second in range(1, _COLD + 1):
        _drop_from_cache(objects)
        cold.append(side.get(second, most_s=0).first_byte_s)
    # All of it, so that the page cache holds it again.
    size = side.get().length
    places = random.Random(1)
    warm = []
    for _ in range(_WARM):
        first = places.randrange(size - _RANGE_BYTES)
        # A person does not seek while the server still notes what it has sent before.
        time.sleep(_BETWEEN_SEEKS_S)
        warm.append(side.get(0, first=first, last=first + _RANGE_BYTES - 1).first_byte_s)
    return {
        "first_byte_cold_ms": _ms(statistics.median(cold)),
        "first_byte_cold_max_ms": _ms(max(cold)),
        "first_byte_warm_ms": _ms(statistics.median(warm)),
        "first_byte_warm_p95_ms": _ms(statistics.quantiles(warm, n=20)[18]),
    }


def _viewers(side: _Side) -> float:
    """The most that the server's process held while all of them watched."""
    process, peak, done = psutil.Process(side.server.pid), 0.0, threading.Event()
    failed: list[BaseException] = []

    def view(number: int) -> None:
        try:
            side.get(20 + number, pace_bytes_s=_VIEWER_BYTES_S, most_s=_VIEWING_S)
        except (OSError, RuntimeError) as error:
            failed.append(error)

    viewers = [threading.Thread(target=view, args=(number,)) for number in range(_VIEWERS)]
    for viewer in viewers:
        viewer.start()
    while any(viewer.is_alive() for viewer in viewers):
        peak = max(peak, rss_mb(process))
        done.wait(0.05)
    if failed:
        raise RuntimeError(f"{len(failed)} viewers saw nothing: {failed[0]}")
    return round(peak, 1)


def _throughput(sides: dict[str, Callable[[], Fetched]], size: int) -> dict[str, Any]:
    mb_s: dict[str, list[float]] = {name: [] for name in sides}
    for get in sides.values():
        # The page cache holds the hour for each of them.
        get()
    for _ in range(_ROUNDS):
        for name, get in sides.items():
            fetched = get()
            if fetched.size_bytes != size:
                raise RuntimeError(f"{name} sent {fetched.size_bytes} of {size} bytes")
            mb_s[name].append(size / 1e6 / fetched.took_s)
    median = {name: statistics.median(each) for name, each in mb_s.items()}
    return {
        "throughput_vs_nginx": round(median["plain"] / median["nginx"], 2),
        "throughput_encrypted_vs_nginx": round(median["encrypted"] / median["nginx"], 2),
        **{f"{name}_mb_s": round(value) for name, value in median.items()},
        "clip_mb": round(size / 1e6, 1),
    }


def _whole(directory: Path, recorded: hour.Hour, archive: Archive, side: _Side) -> dict[str, Any]:
    """The hour as one file on this disk: by the export, which decrypts; by FFmpeg, of plain files. And what a
    download of it takes, with the server and its reader on the same two cores.
    """
    listed = directory / "concat.txt"
    listed.write_text("".join(f"file '{each}'\n" for each in recorded.files), "utf-8")
    exported, joined, fetched = (directory / f"{name}.mp4" for name in ("exported", "joined", "fetched"))
    command = [
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-y",
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
        str(listed),
    ]
    command += ["-t", "3600", "-c", "copy", str(joined)]
    acts: dict[str, Callable[[], object]] = {
        "whole_clip_s": lambda: _export(archive, recorded.asked, exported),
        "ffmpeg_concat_s": lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL),
        "download_s": lambda: side.get(keep=fetched),
    }
    took_s: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(_ROUNDS):
        for name, act in acts.items():
            began = time.perf_counter()
            act()
            took_s[name].append(time.perf_counter() - began)
        for made in (exported, joined, fetched):
            made.unlink()
    median = {name: statistics.median(each) for name, each in took_s.items()}
    return {
        "time_vs_ffmpeg": round(median["whole_clip_s"] / median["ffmpeg_concat_s"], 2),
        **{name: round(value, 2) for name, value in median.items()},
    }


def _export(archive: Archive, interval: Interval, output: Path) -> None:
    """As `archive export` does, but for the sync of the file at its end, which FFmpeg does not make."""
    with archive.database.reading() as session:
        pieces = door.resolve(
            session,
            archive.configurations,
            archive.store,
            hour.ROOM,
            interval,
            Ground("fault_check"),
            now_us(),
        )
    clip = build(pieces, interval, exact=False)
    with output.open("wb", buffering=0) as file:
        write_whole(archive.store, clip, file.fileno())


@contextmanager
def _nginx(root: Path) -> Iterator[Callable[[], Fetched]]:
    """One worker that sends `whole.mp4` of `root` by the kernel."""
    [port] = free_ports(1)
    home = root / "nginx"
    home.mkdir()
    lines = ["daemon off; worker_processes 1; pid nginx.pid; error_log stderr;", "events {}", "http {"]
    lines += ["access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 2m;"]
    lines += [f"{name}_temp_path {home};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    lines += [f"server {{ listen 127.0.0.1:{port}; root {root}; }}", "}"]
    if os.geteuid() == 0:
        # Its own user could not enter a directory that is ours alone.
        lines.insert(0, "user root;")
    (home / "nginx.conf").write_text("\n".join(lines), "utf-8")
    command = ["nginx", "-p", str(home), "-c", "nginx.conf", "-e", "stderr"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield partial(fetch, port, "/whole.mp4")
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _drop_from_cache(objects: Path) -> None:
    for path in objects.rglob("*.mp4"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
