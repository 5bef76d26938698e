"""How long it takes to find footage among ten million segments, through the functions that pages use.

`--rows` sets how many, `--url` names an empty PostgreSQL database instead of SQLite. Each question is asked
in a reading transaction of its own, of a random room and day.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from archive import search
from archive.system import Archive
from bench.archive_rows import PER_DAY, fill, open_archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, local_midnight_us, parse_date
from recorder.intervals import Interval

_ROWS = 10_000_000
_QUESTIONS = 1000
_HOUR_US = 60 * US_PER_MINUTE


def run(rows: int = _ROWS, url: str | None = None) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="protokol-index-"))
    try:
        archive = open_archive(directory, url)
        began = time.monotonic()
        dates = fill(archive, rows)
        filled_s = time.monotonic() - began
        settings, database = archive.settings, directory / "archive.sqlite"
        archive.close()
        archive = Archive.open(settings)
        results = {"rows": _count(archive), "database": archive.database.engine.dialect.name}
        results |= measure(archive, dates)
        archive.close()
        size = database.stat().st_size if database.exists() else None
        return results | {"filled_s": round(filled_s, 1), "database_bytes": size}
    finally:
        shutil.rmtree(directory)


def measure(archive: Archive, dates: list[str]) -> dict[str, Any]:
    """p50 and p99 of each question, in milliseconds."""
    with archive.database.reading() as session:
        rooms = [room.id for room in archive.configurations.current(session)[1].rooms]
        zone = archive.timezone(session)
    rng = random.Random(1)

    def hour(session: Session, room: str, date: str) -> int:
        start_us = local_midnight_us(parse_date(date), zone) + rng.randrange(8, 17) * _HOUR_US
        return len(search.segments(session, room, Interval(start_us, start_us + _HOUR_US)))

    def day(session: Session, room: str, date: str) -> int:
        start_us = local_midnight_us(parse_date(date), zone)
        return len(search.segments(session, room, Interval(start_us, start_us + US_PER_DAY)))

    def coverage(session: Session, room: str, date: str) -> int:
        now_us = local_midnight_us(parse_date(date), zone) + US_PER_DAY
        return len(search.coverage(session, archive.configurations, room, date, now_us).recorded)

    questions: dict[str, tuple[Callable[[Session, str, str], int], range]] = {
        # A segment of the minute before overlaps the hour's first instant in no way: 60, or the last 0.
        "search_hour": (hour, range(61)),
        "search_date": (day, range(PER_DAY, PER_DAY + 1)),
        "coverage": (coverage, range(1, 3)),
    }
    results: dict[str, Any] = {}
    for name, (ask, expected) in questions.items():
        took_ms = []
        for _ in range(_QUESTIONS):
            room, date = rng.choice(rooms), rng.choice(dates)
            began = time.perf_counter()
            with archive.database.reading() as session:
                found = ask(session, room, date)
            took_ms.append((time.perf_counter() - began) * 1000)
            assert found in expected, (name, room, date, found)
        took_ms.sort()
        results[f"{name}_p50_ms"] = round(took_ms[len(took_ms) // 2], 2)
        results[f"{name}_p99_ms"] = round(took_ms[len(took_ms) * 99 // 100], 2)
    return results


def _count(archive: Archive) -> int:
    with archive.database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM segment").scalar_one())
