"""What the purge of the oldest day costs as the archive grows, and how long it keeps ingest waiting.

The same seven rooms and the same day, with ten times the days behind it. Rows alone: the unlinking of objects
does not depend on the size of the index. `ingest_block_ms` is the longest that one acceptance took while a
purge was running: of gap records, which take the same locks and write the same kinds of rows as segments.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url
from uuid6 import uuid7

from archive.enrolment import enroll
from archive.ingest import Ingest
from archive.system import Archive
from archive.upload import Answer
from bench.archive_rows import fill, open_archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, local_midnight_us, parse_date
from recorder.manifest import GapManifest, sign
from recorder.working_hours import due_us
from retention import purge
from retrieval_api.server import let_threads_in

_ROWS = 10_000_000
# Nights that are purged one after the other; the median counts.
_NIGHTS = 3


def run(rows: int = _ROWS, url: str | None = None) -> dict[str, Any]:
    """With `url`, each size gets a database of its own beside the one named, on its PostgreSQL server."""
    measured = []
    for count in (rows // 10, rows):
        with _database(url) as own:
            measured.append(_measure(count, own))
    small, large = measured
    return {
        "rows": [rows // 10, rows],
        "night_s": [small["night_s"], large["night_s"]],
        "time_ratio_10m_vs_1m": round(large["night_s"] / small["night_s"], 2),
        "ingest_block_ms": large["ingest_block_ms"],
        "ingest_idle_ms": large["ingest_idle_ms"],
        "ingest_block_ms_small": small["ingest_block_ms"],
    }


@contextmanager
def _database(url: str | None) -> Iterator[str | None]:
    if url is None:
        yield None
        return
    named = make_url(url)
    beside = create_engine(named, isolation_level="AUTOCOMMIT")
    own = f"{named.database}_purge"
    with beside.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{own}"')
    try:
        yield named.set(database=own).render_as_string(hide_password=False)
    finally:
        with beside.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{own}" WITH (FORCE)')
        beside.dispose()


def _measure(rows: int, url: str | None) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="protokol-purge-"))
    try:
        archive = open_archive(directory, url)
        dates = fill(archive, rows, leaves=_NIGHTS)
        with archive.database.reading() as session:
            zone = archive.timezone(session)
        # As the server at its start.
        let_threads_in()
        feeder = _Feeder(archive, parse_date(dates[-1]), zone)
        feeder.start()
        time.sleep(3)
        idle_ms = feeder.take_worst_ms()
        nights, blocks = [], []
        for date in dates[:_NIGHTS]:
            now_us = due_us(parse_date(date), 1, zone)
            began = time.perf_counter()
            report = purge.run(archive, actor="system", now_us=now_us)
            nights.append(time.perf_counter() - began)
            blocks.append(feeder.take_worst_ms())
            assert report.failures == []
            assert {day.date for day in report.days} == {date}, "not one night's purge"
        feeder.stop()
        archive.close()
        return {
            "night_s": round(statistics.median(nights), 3),
            "ingest_block_ms": round(max(blocks), 1),
            "ingest_idle_ms": round(idle_ms, 1),
        }
    finally:
        shutil.rmtree(directory)


class _Feeder(threading.Thread):
    """An agent that is let in again and again, over connections of its own."""

    def __init__(self, archive: Archive, day: Any, zone: str) -> None:
        super().__init__(daemon=True)
        self._archive = Archive.open(archive.settings)
        self._room = "108"
        self._key = enroll(self._archive, self._room, "cli:0", 0)
        self._start_us = local_midnight_us(day, zone) + 8 * 60 * US_PER_MINUTE
        self._now_us = self._start_us + US_PER_DAY
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._worst_ms = 0.0

    def run(self) -> None:
        ingest, previous, sequence = Ingest(self._archive), None, 0
        while not self._stopping.is_set():
            start_us = self._start_us + sequence % 10_000 * US_PER_SECOND
            gap = GapManifest(
                room=self._room, source="main", enrolment=self._key.enrolment, sequence=sequence,
                previous=previous, start_us=start_us, end_us=start_us + US_PER_SECOND,
                configuration_version=1, agent_version="bench", segment_id=str(uuid7()),
                tracks=["video"], cause="camera_unreachable",
            )  # fmt: skip
            signed = sign(gap, self._key.signing_key())
            began = time.perf_counter()
            answer = ingest.begin(self._room, self._key.token, gap.segment_id, signed.header, self._now_us)
            took_ms = (time.perf_counter() - began) * 1000
            assert isinstance(answer, Answer)
            assert answer.outcome == "accepted", answer
            previous, sequence = signed.sha256, sequence + 1
            with self._lock:
                self._worst_ms = max(self._worst_ms, took_ms)
            time.sleep(0.01)

    def take_worst_ms(self) -> float:
        """Of the acceptances since it was last asked."""
        with self._lock:
            worst, self._worst_ms = self._worst_ms, 0.0
        return worst

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self._archive.close()
