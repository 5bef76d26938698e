"""Power cuts under load: what the archive has acknowledged and does not have afterwards.

Four room agents ship over HTTP to a real `protokol serve` whose whole data directory lies on a disk that
loses its power (bench.loop_disk) at a random moment, again and again. After each cut the server is killed,
the disk is mounted anew, the server started, and everything that the agents had been told until the cut
is looked for: its row, its object, its digest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from archive.check import Finding, check
from archive.enrolment import enroll
from archive.models import CustodyEvent, Segment
from archive.system import Archive
from bench.loop_disk import LoopDisk, why_not
from bench.shipping import Client, Wire
from bench.spools import make_media
from bench.warm import WarmServer, environment
from recorder.instants import US_PER_SECOND, now_us
from recorder.logging import configure_logging
from recorder.settings import load_settings
from simulator.control import free_ports

_CUTS = 200
_ROOMS = ("201", "202", "203", "204")
# The last check reads everything that a disk holds: a disk of its own for each so many cuts.
_CUTS_PER_DISK = 20
_DISK_MB = 4096
_SEGMENT_S = 2
# Small ones for many commits, large ones so that a cut falls into a body.
_MEDIA_MB = (0.1, 0.4, 1.6)
_LIVES_S = (0.1, 0.6)
_SPOOLED = 24
_PATIENCE_S = 120.0
_ROOMS_FILE = """\
council: {name: {uk: Рада, en: Council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-sun: ["00:00-24:00"]
rooms:
"""


@dataclass
class Losses:
    """`acked`: acknowledgements that had crossed before a cut; `lost` and `altered`: of them.

    `torn`: temporary objects that cuts left; `unswept`: those still there once the server answers.
    `foreign`: whole objects without a row, of segments that were not acknowledged: their agents send
    again. `unexplained`: what else `archive check` found. `doubled`: segments with two acceptances.
    """

    cuts: int = 0
    acked: int = 0
    lost: int = 0
    altered: int = 0
    torn: int = 0
    unswept: int = 0
    foreign: int = 0
    doubled: int = 0
    unexplained: list[str] = field(default_factory=list)


def make_all_media(directory: Path) -> list[bytes]:
    """The media of the agents' segments, made by ffmpeg in `directory`."""
    return [make_media(directory / f"media-{mb}.mp4", _SEGMENT_S, mb) for mb in _MEDIA_MB]


def measure(cuts: int, *, syncless: bool = False) -> Losses:
    """Raises RuntimeError where no such disk can be had, and when a server does not start.

    `syncless`: the server's every fsync does nothing (by strace), which must be seen as losses. Agents do
    not ship to the end then.
    """
    reason = why_not()
    if reason:
        raise RuntimeError(reason)
    rng, losses = random.Random(), Losses()
    with tempfile.TemporaryDirectory() as name:
        media = make_all_media(Path(name))
    while losses.cuts < cuts:
        with tempfile.TemporaryDirectory() as name, LoopDisk(Path(name), size_mb=_DISK_MB) as disk:
            council = _Council(disk, Path(name), media, losses, syncless=syncless)
            with council.shipping():
                for _ in range(min(_CUTS_PER_DISK, cuts - losses.cuts)):
                    council.live_and_die(rng.uniform(*_LIVES_S))
                if not syncless:
                    council.finish()
    return losses


class _Council:
    """An archive on a disk, and the agents that ship to it."""

    def __init__(
        self, disk: LoopDisk, directory: Path, media: Sequence[bytes], losses: Losses, *, syncless: bool
    ) -> None:
        self._disk, self._losses, self._log = disk, losses, directory / "server.log"
        self._syncless = syncless
        [port] = free_ports(1)
        data = disk.root / "data"
        data.mkdir()
        rooms = "".join(
            f'  - {{id: "{room}", label: "{room}", floor: 2, '
            f'cameras: [{{name: main, url: "rtsp://127.0.0.1:9/"}}]}}\n'
            for room in _ROOMS
        )
        (data / "rooms.yaml").write_text(_ROOMS_FILE + rooms, "utf-8")
        self._environment = environment(data, port)
        self._settings = load_settings(
            data_dir=data, demo=True, server_url=self._environment["PROTOKOL_SERVER_URL"]
        )
        self._wire = Wire()
        first_us = now_us() - timedelta(hours=12) // timedelta(microseconds=1)
        archive = Archive.open(self._settings, migrate=True)
        self._clients = [
            Client(
                directory / f"spool-{room}",
                enroll(archive, room, "cli:0", first_us),
                self._wire,
                media,
                first_us=first_us,
                segment_us=_SEGMENT_S * US_PER_SECOND,
            )
            for room in _ROOMS
        ]
        archive.close()
        disk.sync()
        self._server = WarmServer(self._environment, self._log)

    @contextlib.contextmanager
    def shipping(self) -> Iterator[None]:
        for client in self._clients:
            client.shipper.start()
        try:
            yield
        finally:
            self._server.close()
            self._wire.connect()
            for client in self._clients:
                client.stop()

    def live_and_die(self, life_s: float) -> None:
        """Ship for so long, lose the power, come back, look."""
        for client in self._clients:
            client.fill(_SPOOLED)
        self._server.wait_until_ready()
        known = len(self._wire.acknowledged)
        with without_syncs(self._server.pid) if self._syncless else contextlib.nullcontext():
            self._wire.connect()
            time.sleep(life_s)
            with self._wire.cutting():
                self._disk.cut_power()
            self._server.kill9()
        self._disk.unmount()
        self._disk.mount()
        self._losses.cuts += 1
        self._losses.acked += len(self._wire.acknowledged) - known
        self._losses.torn += len(self._leftovers())
        self._server = WarmServer(self._environment, self._log)
        self._server.wait_until_ready()
        # What the new server is writing itself, thumbnails for one, is no leftover.
        own = f".incoming-{self._server.pid}-"
        self._losses.unswept += sum(not path.name.startswith(own) for path in self._leftovers())
        self._look()

    def finish(self) -> None:
        """Let the agents ship all that they have, and look once more."""
        self._wire.connect()
        until = time.monotonic() + _PATIENCE_S
        while any(client.waiting for client in self._clients):
            if time.monotonic() > until:
                raise RuntimeError(f"the spools are not emptied: {self._server.said()}")
            time.sleep(0.02)
        self._losses.unexplained += [f"answered {each}" for each in self._wire.other_outcomes]
        self._look()
        made = sum(client.made for client in self._clients)
        archive = Archive.open(self._settings)
        with archive.database.reading() as session:
            events = select(func.count()).where(CustodyEvent.action == "segment_accepted")
            accepted = session.scalar(events) or 0
            rows = session.scalar(select(func.count()).select_from(Segment)) or 0
        archive.close()
        self._losses.doubled += accepted - rows
        if rows != made or self._wire.acknowledged.keys() != self._wire.sent.keys():
            self._losses.unexplained.append(f"{made} segments were recorded, {rows} are there")

    def _leftovers(self) -> list[Path]:
        return list(self._disk.root.rglob("*/.incoming-*"))

    def _look(self) -> None:
        """Every object is read and hashed, every acknowledgement compared with its row."""
        promised = dict(self._wire.acknowledged)
        database = self._settings.data_dir / "archive.sqlite"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                self._losses.unexplained.append(f"database: {verdict}")
        archive = Archive.open(self._settings)
        try:
            with archive.database.reading() as session:
                columns = select(Segment.object_name, Segment.id, Segment.file_sha256)
                rows = {name: (segment, sha256) for name, segment, sha256 in session.execute(columns)}
            kept = dict(rows.values())
            for segment in promised.keys() - kept.keys():
                # Counted once: no agent has it any more.
                self._losses.lost += 1
                del self._wire.acknowledged[segment]
            self._losses.altered += sum(
                kept[segment] != sha256 for segment, sha256 in promised.items() if segment in kept
            )
            for finding in check(archive, deep=True):
                self._file(finding, {name for name, (segment, _) in rows.items() if segment in promised})
        finally:
            archive.close()

    def _file(self, finding: Finding, promised: set[str]) -> None:
        name = finding.what.split(" ", 1)[0]
        if finding.kind == "missing" and name in promised:
            self._losses.lost += 1
        elif finding.kind == "altered" and name in promised:
            self._losses.altered += 1
        elif finding.kind == "foreign" and self._is_awaited(name):
            self._losses.foreign += 1
        else:
            self._losses.unexplained.append(f"{finding.kind}: {finding.what}")

    def _is_awaited(self, name: str) -> bool:
        """Whether an agent will send this object again: it was on its way, and nobody was told of it."""
        # room/date/SEGMENT-digest.mp4; a segment's id has 36 characters.
        segment = name.rpartition("/")[2][:36]
        return segment in self._wire.sent and segment not in self._wire.acknowledged


@contextlib.contextmanager
def without_syncs(pid: int) -> Iterator[None]:
    """Every fsync and fdatasync of the process says that it is done, and does nothing."""
    calls = "fsync,fdatasync"
    command = ["strace", "-f", "-p", str(pid), "-o", os.devnull]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:retval=0"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        # "strace: Process … attached": from here on.
        assert tracer.stderr is not None
        tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.terminate()


def run(cuts: int = _CUTS) -> dict[str, Any]:
    # Shippers tell of each segment, and of each time that they wait.
    configure_logging(level=logging.ERROR)
    began = time.monotonic()
    losses = measure(cuts)
    return {
        "cuts": losses.cuts,
        "acked": losses.acked,
        "lost": losses.lost,
        "altered": losses.altered,
        "torn": losses.torn,
        "unswept": losses.unswept,
        "foreign": losses.foreign,
        "doubled": losses.doubled,
        "unexplained": losses.unexplained,
        "seconds": round(time.monotonic() - began, 1),
    }
