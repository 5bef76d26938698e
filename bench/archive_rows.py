"""An archive of as many segments as one likes, made in bulk: rows as accepting writes them, without objects.

Seven rooms, working days without a break, 540 segments of a minute in each room-day: ten million segments are
ten years. They take about 6 GB and six minutes in SQLite, with `leaves` 9 GB.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, text

from archive import room_days
from archive.models import RoomDay, SampleIndex, Segment, SegmentManifestRow
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, local_midnight_us
from recorder.intervals import Interval
from recorder.settings import load_settings

PER_DAY = 540
FIRST = date(2027, 1, 4)
_SHA256 = hashlib.sha256(b"").hexdigest()
_RUN = "018f0000-0000-7000-8000-000000000000"
_SIZE_BYTES = 20_000_000
# Of a real minute: its manifest, its sample index. Days that no purge touches bear a stub.
MANIFEST_BYTES, INDEX_BYTES = 2_000, 7_700
_STUB = b"stub"


def open_archive(directory: Path, url: str | None) -> Archive:
    """A new demo archive with the shipped rooms, in `directory` or the (empty) database that `url` names."""
    return Archive.open(load_settings(data_dir=directory, demo=True, database_url=url), migrate=True)


def working_days() -> Iterator[date]:
    for number in itertools.count():
        day = FIRST + timedelta(days=number)
        if day.isoweekday() <= 5:
            yield day


def fill(archive: Archive, rows: int, leaves: int | None = None) -> list[str]:
    """Makes at least `rows` segments, in whole days; returns their dates.

    With `leaves`, every segment gets a manifest and a sample index, of true size on that many first days.
    """
    with archive.database.reading() as session:
        rooms = [room.id for room in archive.configurations.current(session)[1].rooms]
        zone = archive.timezone(session)
    count = -(-rows // (len(rooms) * PER_DAY))
    days = list(itertools.islice(working_days(), count))
    numbers = itertools.count()
    make_room_days(archive, rooms, days)
    for start in range(0, count, 20):
        segments: list[tuple[Any, ...]] = []
        manifests: list[tuple[Any, ...]] = []
        indexes: list[tuple[Any, ...]] = []
        for place, day in enumerate(days[start : start + 20], start):
            made = list(_segments(rooms, day, local_midnight_us(day, zone), numbers))
            segments += made
            if leaves is not None:
                true = place < leaves
                manifests += [(row[0], bytes(MANIFEST_BYTES) if true else _STUB) for row in made]
                indexes += [(row[0], bytes(INDEX_BYTES) if true else _STUB) for row in made]
        with archive.database.transaction() as session:
            connection = session.connection()
            bulk(connection, Segment.__tablename__, Segment.__table__.columns.keys(), segments)
            for table, lines in ((SegmentManifestRow, manifests), (SampleIndex, indexes)):
                bulk(connection, table.__tablename__, ["segment_id", "encoded"], lines)
    with archive.database.transaction() as session:
        session.execute(text("ANALYZE"))
    _settle(archive)
    return [day.isoformat() for day in days]


def _settle(archive: Archive) -> None:
    """Gigabytes that were written in minutes are on the disk on return: no archive in service has such a
    backlog, and whatever is measured next would wait for it.
    """
    statement = "PRAGMA wal_checkpoint(TRUNCATE)" if archive.database.is_sqlite else "CHECKPOINT"
    with archive.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    os.sync()


def _segments(
    rooms: list[str], day: date, midnight_us: int, numbers: Iterator[int]
) -> Iterator[tuple[Any, ...]]:
    """In the order in which they would arrive."""
    date_text = day.isoformat()
    for minute in range(PER_DAY):
        start_us = midnight_us + (8 * 60 + minute) * US_PER_MINUTE
        for room in rooms:
            interval = Interval(start_us, start_us + US_PER_MINUTE)
            yield segment_row(next(numbers), room, date_text, interval)


def identity(number: int) -> str:
    """An id of a row, in the shape of a UUID."""
    digits = f"{number:032x}"
    return "-".join((digits[:8], *(digits[at : at + 4] for at in (8, 12, 16)), digits[20:]))


def segment_row(number: int, room: str, day: str, interval: Interval) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    segment = identity(number)
    return (
        segment, room, day, "main", _RUN, interval.start_us, interval.end_us,
        f"{room}/{day}/{segment}-{number:016x}.mp4", _SIZE_BYTES, _SHA256, _SHA256,
        False, False, interval.end_us + US_PER_MINUTE,
    )  # fmt: skip


def make_room_days(archive: Archive, rooms: list[str], days: list[date]) -> None:
    """As the first segment of each would make it."""
    with archive.database.transaction() as session:
        for room in rooms:
            rows = []
            for day in days:
                fresh = room_days.peek(session, archive.configurations, room, day.isoformat())
                rows.append({name: getattr(fresh, name) for name in RoomDay.__table__.columns.keys()})  # noqa: SIM118
            session.execute(insert(RoomDay), rows)


def bulk(connection: Connection, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    # `overlaps` is a word of PostgreSQL's own.
    names = ", ".join(f'"{column}"' for column in columns)
    driver = connection.connection.driver_connection
    assert driver is not None
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
