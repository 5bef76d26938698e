"""A month of a council as it would look in the index: segments, gaps with causes, holds, requests. Rows only,
no objects; the same seed is the same month. For pages, screenshots and measurements that ask about months.
"""

from __future__ import annotations

import calendar
import hashlib
import itertools
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from archive.configuration import frozen_windows
from archive.models import Gap, Hold, Mark, Request, RequestPerson, RoomDay, Segment
from archive.system import Archive
from bench.archive_rows import bulk, identity, make_room_days, segment_row
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval, intersect, subtract

# Numbers of rows begin beyond those of bench.archive_rows.
_FIRST_NUMBER = 1 << 64
_HOUR_US = 60 * US_PER_MINUTE
_BOTH, _PICTURE, _SOUND = "video,audio", "video", "audio"


def fill_month(archive: Archive, month: date, until_us: int, seed: int = 1) -> None:
    """Every working day of the month of `month`, up to `until_us`, in all rooms in force.

    On the 20th room 228-А has no picture and no sound from 11:02 to 11:04.
    """
    rng = random.Random(f"{seed} {month:%Y-%m}")
    with archive.database.reading() as session:
        rooms = [room.id for room in archive.configurations.current(session)[1].rooms]
        zone = archive.timezone(session)
    first = month.replace(day=1)
    days = [first + timedelta(days=each) for each in range(calendar.monthrange(first.year, first.month)[1])]
    days = [day for day in days if local_midnight_us(day, zone) < until_us]
    make_room_days(archive, rooms, days)
    numbers = itertools.count(_FIRST_NUMBER + (first.year * 12 + first.month) * 1_000_000)
    segments: list[tuple[Any, ...]] = []
    gaps: list[dict[str, Any]] = []
    with archive.database.reading() as session:
        for room in rooms:
            for day in days:
                frozen = session.get_one(RoomDay, (room, day.isoformat()))
                windows = intersect(frozen_windows(frozen), [Interval(0, until_us)])
                missing = list(_faults(rng, room, day, windows, zone)) if windows else []
                absent = [each for each, _, tracks in missing if tracks == _BOTH]
                for part in subtract(windows, absent):
                    segments += _minutes(numbers, room, day.isoformat(), part)
                gaps += (_gap(next(numbers), room, day.isoformat(), *each) for each in missing if each[1])
    with archive.database.engine.connect() as connection, connection.begin():
        bulk(connection, Segment.__tablename__, Segment.__table__.columns.keys(), segments)
    with archive.database.transaction() as session:
        session.execute(insert(Gap), gaps)
        _people(session, rng, rooms, days, until_us, zone)


def _faults(
    rng: random.Random, room: str, day: date, windows: tuple[Interval, ...], zone: str
) -> Iterator[tuple[Interval, str, str]]:
    """What is missing, why (nothing: the agent said nothing), and of which tracks; disjoint, in order."""
    midnight_us = local_midnight_us(day, zone)
    found: list[tuple[Interval, str, str]] = []

    def add(start_us: int, length_us: int, cause: str, tracks: str = _BOTH) -> None:
        for part in intersect([Interval(start_us, start_us + length_us)], windows):
            if not any(part.overlaps(other) for other, _, _ in found):
                found.append((part, cause, tracks))

    if room == "228-a" and day.day == 20:
        add(midnight_us + 11 * _HOUR_US + 2 * US_PER_MINUTE, 2 * US_PER_MINUTE, "camera_unreachable")
    if day.day == 12:
        add(midnight_us + 9 * _HOUR_US + 40 * US_PER_MINUTE, 50 * US_PER_MINUTE, "power_lost")
    if room == "330" and day.day in (4, 5):
        add(windows[0].start_us, (1 if day.day == 5 else 6) * _HOUR_US, "")
    for window in windows:
        add(window.start_us, rng.randrange(300_000, 1_600_000), "opening")
    whole_us = windows[-1].end_us - windows[0].start_us
    for chance, cause, tracks, longest in (
        (0.10, "camera_unreachable", _BOTH, 8 * US_PER_MINUTE),
        (0.05, "camera_stalled", _PICTURE, 3 * US_PER_MINUTE),
        (0.04, "microphone_lost", _SOUND, 40 * US_PER_MINUTE),
        (0.03, "restart", _BOTH, 6 * US_PER_SECOND),
        (0.02, "maintenance", _BOTH, 30 * US_PER_MINUTE),
    ):
        if rng.random() < chance:
            start_us = windows[0].start_us + rng.randrange(whole_us)
            add(start_us, rng.randrange(US_PER_SECOND, longest), cause, tracks)
    yield from sorted(found)


def _minutes(numbers: Iterator[int], room: str, day: str, part: Interval) -> Iterator[tuple[Any, ...]]:
    """Segments cut on whole minutes."""
    start_us = part.start_us
    while start_us < part.end_us:
        end_us = min(part.end_us, start_us - start_us % US_PER_MINUTE + US_PER_MINUTE)
        yield segment_row(next(numbers), room, day, Interval(start_us, end_us))
        start_us = end_us


def _gap(number: int, room: str, day: str, interval: Interval, cause: str, tracks: str) -> dict[str, Any]:
    return {
        "id": identity(number),
        "room": room,
        "date": day,
        "source": "main",
        "start_us": interval.start_us,
        "end_us": interval.end_us,
        "tracks": tracks,
        "cause": cause,
        "detail": "",
        "encoded": b"stub",
        "object_name": None,
        "accepted_us": interval.end_us + US_PER_MINUTE,
    }


def _people(
    session: Session, rng: random.Random, rooms: list[str], days: list[date], until_us: int, zone: str
) -> None:
    """Requests, most of them answered; holds of the open ones; now and then an alert."""
    for day in days:
        noon_us = local_midnight_us(day, zone) + 12 * _HOUR_US
        if day.isoweekday() > 5 or rng.random() < 0.4:
            continue
        room, created_us = rng.choice(rooms), noon_us + US_PER_DAY
        if created_us > until_us:
            continue
        answered_us = created_us + rng.randrange(1, 8) * US_PER_DAY
        done = answered_us <= until_us
        request = Request(
            number=f"{day:%Y%m%d}-{room}",
            pin_hash="",
            status="decided" if done else "registered",
            outcome="released" if done else None,
            room=room,
            date=day.isoformat(),
            asked_start_us=noon_us - 2 * _HOUR_US,
            asked_end_us=noon_us - _HOUR_US,
            decided_us=answered_us if done else None,
            decided_by="user:1" if done else None,
            closed_us=answered_us if done else None,
            answer_due_us=created_us + 5 * US_PER_DAY,
            created_us=created_us,
            address_sha256=hashlib.sha256(room.encode()).hexdigest(),
        )
        session.add(request)
        session.flush()
        session.add(
            RequestPerson(
                request_id=request.id, name="Іван Петренко", contact_kind="person", contact="",
                contact_sha256=hashlib.sha256(str(request.id).encode()).hexdigest(), salt=b"salt",
                official="Олена Коваль", purpose="оскаржити рішення",
            )
        )  # fmt: skip
        if not done:
            session.add(
                Hold(
                    room=room, start_us=request.asked_start_us, end_us=request.asked_end_us,
                    reason=f"request:{request.number}", legal_ground="request",
                    author=f"request:{request.number}", request_id=request.id, created_us=created_us,
                )
            )  # fmt: skip
        if rng.random() < 0.3:
            session.add(
                Mark(
                    kind="air_raid_alert", room=None, start_us=noon_us - _HOUR_US, end_us=noon_us,
                    note="", author="system", source="webhook", created_us=noon_us,
                )
            )  # fmt: skip
