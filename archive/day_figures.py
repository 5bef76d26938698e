"""Figures of room-days (archive.figures), read from the index and, where they have been settled, from the
table that keeps them.

They outlive a purge: a tombstone has the times of what was destroyed. What was settled is believed only while
the room-day's *evidence* is the same: its revision (frozen windows, purges) and the numbers of its segments
and gap records, which are only ever added by acceptance and taken away by a purge. So a row that is stale,
or missing, costs time and never truth.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import search
from archive.configuration import Configurations, frozen_windows, windows_by
from archive.figures import ARRIVAL_US, SEAM_US, Cause, Figures, Missing, account, unknown
from archive.inserting import insert_or_replace
from archive.models import DayFigures, Gap, RoomDay, RoomsVersion, Segment, Tombstone
from archive.room_days import days_of
from archive.system import Archive
from recorder.errors import UnknownRoomError
from recorder.instants import local_date, local_midnight_us, parse_date
from recorder.intervals import Interval, merge, runs
from recorder.rooms import RoomsFile

# A few at a time: ingest comes in between.
_SETTLED_AT_ONCE = 50
RoomDate = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DayState:
    """A room-day of a span: `is_purged` by its room-day, `windows` as they were frozen or would be."""

    room: str
    date: str
    windows: tuple[Interval, ...]
    is_purged: bool
    figures: Figures


@dataclass(slots=True)
class _Span:
    """What is read at once for all room-days of `[first, last]`. `history`: which rooms file was in force
    when, from the first one on.
    """

    session: Session
    configurations: Configurations
    now_us: int
    first: date
    last: date
    zone: str
    history: list[tuple[Interval, RoomsFile]]
    days: dict[RoomDate, RoomDay] = field(default_factory=dict)
    counts: dict[RoomDate, list[int]] = field(default_factory=dict)
    settled: dict[RoomDate, DayFigures] = field(default_factory=dict)


def read(
    session: Session,
    configurations: Configurations,
    first: date,
    last: date,
    now_us: int,
    rooms: Sequence[str] | None = None,
) -> list[DayState]:
    """Each room-day of the local dates `first` to `last`, by room and date; without `rooms` (ids), of every
    room that was in force then, or that has a room-day there.

    Days before the archive's first rooms file have windows only where their room-day was made.
    """
    span = _span(session, configurations, first, last, now_us)
    return [
        _state(span, room, day)
        for room in (_rooms(span) if rooms is None else rooms)
        for day in _dates(first, last)
    ]


def first_date(session: Session, configurations: Configurations) -> date:
    """The first local date of which anything can be told."""
    zone = configurations.current(session)[1].council.timezone
    began = local_date(_began_us(session), zone)
    earliest = session.scalar(select(func.min(RoomDay.date)))
    return min(began, parse_date(earliest)) if earliest else began


def settle(archive: Archive, now_us: int, progress: Callable[[int, int], None] | None = None) -> int:
    """Keep the figures of every past day that are not kept yet, or not as they are; how many.

    A day is past when footage of it that is still on its way has had its time. Durable month by month; to be
    killed, left by what `progress` raises, or run twice at once does no harm.
    """
    configurations = archive.configurations
    with archive.database.reading() as session:
        first = first_date(session, configurations)
        last = local_date(now_us, archive.timezone(session)) - timedelta(days=1)
    starts = [day for day in _dates(first, last) if day == first or day.day == 1]
    count = 0
    for number, (start, end) in enumerate(itertools.pairwise([*starts, last + timedelta(days=1)]), 1):
        with archive.database.reading() as session:
            span = _span(session, configurations, start, end - timedelta(days=1), now_us)
            rows = [
                _row(span, room, day.isoformat()) for room in _rooms(span) for day in _dates(start, span.last)
            ]
        fresh = [row for row in rows if row is not None]
        for place in range(0, len(fresh), _SETTLED_AT_ONCE):
            with archive.database.transaction() as session:
                for row in fresh[place : place + _SETTLED_AT_ONCE]:
                    insert_or_replace(session, row)
        count += len(fresh)
        if progress is not None:
            progress(number, len(starts))
    return count


def _span(session: Session, configurations: Configurations, first: date, last: date, now_us: int) -> _Span:
    zone = configurations.current(session)[1].council.timezone
    history = _since(configurations.history(session), _began_us(session))
    span = _Span(session, configurations, now_us, first, last, zone, history)
    # A window that passes midnight has segments of the date after.
    bounds = first.isoformat(), (last + timedelta(days=1)).isoformat()
    for row in session.scalars(select(RoomDay).where(RoomDay.date.between(*bounds))):
        span.days[row.room, row.date] = row
    for place, table in enumerate((Segment.__table__, Gap.__table__)):
        counted = (
            select(table.c.room, table.c.date, func.count())
            # Named, so that the index of room and date is a range for each of them.
            .where(table.c.room.in_({room for room, _ in span.days}), table.c.date.between(*bounds))
            .group_by(table.c.room, table.c.date)
        )
        for room, day, count in session.execute(counted):
            span.counts.setdefault((room, day), [0, 0])[place] = count
    for figures in session.scalars(select(DayFigures).where(DayFigures.date.between(*bounds))):
        span.settled[figures.room, figures.date] = figures
    return span


def _since(history: Iterable[tuple[Interval, RoomsFile]], began_us: int) -> list[tuple[Interval, RoomsFile]]:
    """Without the time before the first rooms file: nothing was planned then."""
    return [
        (Interval(max(period.start_us, began_us), period.end_us), rooms)
        for period, rooms in history
        if period.end_us > began_us
    ]


def _began_us(session: Session) -> int:
    return session.scalar(select(func.min(RoomsVersion.created_us))) or 0


def _rooms(span: _Span) -> list[str]:
    """In the order of the rooms file in force; then those that have left it."""
    whole = Interval(
        local_midnight_us(span.first, span.zone),
        local_midnight_us(span.last + timedelta(days=1), span.zone),
    )
    found = {room for room, day in span.days if span.first.isoformat() <= day <= span.last.isoformat()}
    for period, rooms in span.history:
        if period.overlaps(whole):
            found |= {room.id for room in rooms.rooms}
    in_force = [room.id for room in span.history[-1][1].rooms]
    return [room for room in in_force if room in found] + sorted(found - set(in_force))


def _dates(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _state(span: _Span, room: str, day: date) -> DayState:
    text = day.isoformat()
    row, windows = span.days.get((room, text)), _windows(span, room, text)
    kept = _settled(span, room, text, windows)
    figures = _reckon(span, room, text, windows) if kept is None else _figures(kept)
    return DayState(room, text, windows, row is not None and row.state == "purged", figures)


def _windows(span: _Span, room: str, day: str) -> tuple[Interval, ...]:
    row = span.days.get((room, day))
    return windows_by(span.history, room, parse_date(day)) if row is None else merge(frozen_windows(row))


def _settled(span: _Span, room: str, day: str, windows: tuple[Interval, ...]) -> DayFigures | None:
    """What is kept of the day, if it still counts: of one that is not over, a wrong clock has kept it."""
    kept = span.settled.get((room, day))
    if kept is None or _is_under_way(span, windows) or kept.evidence != _evidence(span, room, day, windows):
        return None
    return kept


def _is_under_way(span: _Span, windows: tuple[Interval, ...]) -> bool:
    """Or still to come; what was recorded last may be on its way."""
    return bool(windows) and windows[-1].end_us > span.now_us - ARRIVAL_US


def _touched(span: _Span, day: str, windows: tuple[Interval, ...]) -> tuple[str, ...]:
    """The dates whose footage lies in the windows: the day's own, and the next where one passes midnight."""
    if not windows:
        return (day,)
    return tuple(sorted({day, *days_of(Interval(windows[0].start_us, windows[-1].end_us), span.zone)}))


def _evidence(span: _Span, room: str, day: str, windows: tuple[Interval, ...]) -> str:
    parts = []
    for each in _touched(span, day, windows):
        row = span.days.get((room, each))
        segments, gaps = span.counts.get((room, each), (0, 0))
        parts.append(f"{'-' if row is None else row.revision}:{segments}:{gaps}")
    return " ".join(parts)


def _row(span: _Span, room: str, day: str) -> DayFigures | None:
    """What is to be kept anew; None of a day that has not settled, or is kept as it is."""
    windows = _windows(span, room, day)
    if _is_under_way(span, windows) or _settled(span, room, day, windows) is not None:
        return None
    found = _reckon(span, room, day, windows)
    return DayFigures(
        room=room,
        date=day,
        evidence=_evidence(span, room, day, windows),
        planned_us=found.planned_us,
        recorded_us=found.recorded_us,
        missing_us=found.missing_us,
        unknown_us=found.unknown_us,
        no_picture_us=found.no_picture_us,
        no_sound_us=found.no_sound_us,
        causes=json.dumps({name: [each.count, each.missing_us] for name, each in found.causes.items()}),
        settled_us=span.now_us,
    )


def _figures(row: DayFigures) -> Figures:
    return Figures(
        planned_us=row.planned_us,
        recorded_us=row.recorded_us,
        missing_us=row.missing_us,
        unknown_us=row.unknown_us,
        no_picture_us=row.no_picture_us,
        no_sound_us=row.no_sound_us,
        causes={name: Cause(*each) for name, each in json.loads(row.causes).items()},
    )


def _reckon(span: _Span, room: str, day: str, windows: tuple[Interval, ...]) -> Figures:
    """From segments, gap records and tombstones."""
    if not windows or windows[0].start_us >= span.now_us:
        return account(windows, {}, (), span.now_us)
    footage: dict[str, list[Interval]] = {}
    missing: list[Missing] = []
    for each in _touched(span, day, windows):
        row = span.days.get((room, each))
        if row is None or row.state != "purged":
            continue
        buried = _tombstones(span.session, room, each)
        if each == day and all(purged_us != row.purged_us for purged_us, _ in buried):
            # The day's first tombstone was lost with an index that had to be rebuilt.
            return unknown(windows)
        for _, body in buried:
            _exhume(body, footage, missing)
    whole = Interval(windows[0].start_us, windows[-1].end_us)
    for source, stored in search.stored_time(span.session, room, whole).items():
        footage.setdefault(source, []).extend(stored)
    missing += (
        Missing(Interval(gap.start_us, gap.end_us), gap.source, gap.tracks, gap.cause)
        for gap in search.gaps(span.session, room, whole)
    )
    return account(windows, footage, missing, span.now_us, tracks=_tracks(span, room, day))


def _tombstones(session: Session, room: str, day: str) -> list[tuple[int, dict[str, Any]]]:
    """When each was written, and its body."""
    rows = session.execute(
        select(Tombstone.purged_us, Tombstone.body).where(Tombstone.room == room, Tombstone.date == day)
    )
    return [(purged_us, json.loads(body)) for purged_us, body in rows]


def _exhume(body: Mapping[str, Any], footage: dict[str, list[Interval]], missing: list[Missing]) -> None:
    """The times that a tombstone tells."""
    bounds: dict[str, list[tuple[int, int]]] = {}
    for each in body["segments"]:
        bounds.setdefault(each["source"], []).append((each["start_us"], each["end_us"]))
    for source, times in bounds.items():
        footage.setdefault(source, []).extend(runs(sorted(times), SEAM_US))
    for each in body["gaps"]:
        interval = Interval(each["start_us"], each["end_us"])
        missing.append(Missing(interval, each["source"], tuple(each["tracks"].split(",")), each["cause"]))


def _tracks(span: _Span, room: str, day: str) -> tuple[str, ...]:
    """What the room owed: a room of microphones alone owes no picture."""
    row = span.days.get((room, day))
    try:
        configuration = (
            span.configurations.last_known(span.session, room)
            if row is None
            else span.configurations.room(span.session, room, row.configuration_version)
        )
    except UnknownRoomError:
        configuration = span.configurations.last_known(span.session, room)
    return ("video", "audio") if configuration.room.cameras else ("audio",)
