"""The door to footage: who may open which interval, on what ground, and why nothing is there.

Everything that shows, exports or hands out footage goes through `resolve` or, for whole days and their parts,
`of_day` and `of_segment`; the rule of invariant 6
is asked here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import room_days, search
from archive.configuration import Configurations
from archive.models import Certificate, Hold, Request, RoomDay, SampleIndex
from archive.mp4.parts import Coding, Stretch, divide
from archive.mp4.stored import index_of
from archive.mp4.virtual import Piece, check_length
from archive.sealed import SealedStore
from recorder.errors import ProtokolError
from recorder.instants import format_instant, local_midnight_us
from recorder.intervals import Interval
from recorder.working_hours import next_window, windows_between

GroundKind = Literal["request", "hold", "fault_check", "audit"]
_GROUND = re.compile(r"(request|hold|fault_check|audit)(?::([A-Za-z0-9-]{1,32}))?")


# Well below the number of parameters that either database takes in one statement.
_BATCH = 400
# A day and more of segments of a minute; sample indexes in memory at once.
_MOST_DIVIDED, _AT_ONCE = 1500, 50
# Beyond what either database can keep, and hence no hold's.
_MAX_HOLD_ID = 2**63 - 1


class GroundError(ProtokolError):
    """No ground was given for opening footage, or one that does not exist."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Why footage is opened: `request:NUMBER`, `hold:ID`, `fault_check`, `audit`."""

    kind: GroundKind
    reference: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ground:
        """Raises GroundError that lists the grounds."""
        match = _GROUND.fullmatch(text)
        kinds = {"request": True, "hold": True, "fault_check": False, "audit": False}
        if match is None or kinds[match[1]] != (match[2] is not None):
            raise GroundError("say why the footage is opened: request:NUMBER, hold:ID, fault_check or audit")
        if match[1] == "hold" and not (match[2].isdecimal() and int(match[2]) <= _MAX_HOLD_ID):
            raise GroundError(f"{match[2]} is no hold's number; `protokol hold list` names them")
        kind: Any = match[1]
        return cls(kind, match[2])

    def __str__(self) -> str:
        return f"{self.kind}:{self.reference}" if self.reference else self.kind


class NoFootageError(ProtokolError):
    """Nothing can be shown of the interval. `code` tells why:

    `outside_hours` (details: next_window), `gap` (gaps), `purged` (certificate, purged_us),
    `expired` (due_us: past retention, held for another purpose or awaiting destruction tonight),
    `future`, `not_arrived` (within minutes), `nothing` (recorded nowhere, no cause known).
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Parts:
    """`clips` that can be had one by one; `more_from_us`: where the rest begins, which was not looked at."""

    clips: tuple[Interval, ...]
    more_from_us: int | None


def resolve(
    session: Session,
    configurations: Configurations,
    store: SealedStore,
    room: str,
    interval: Interval,
    ground: Ground,
    now_us: int,
    source: str | None = None,
) -> list[Piece]:
    """The stored segments that overlap the interval and may be opened on this ground, in order.

    Raises what `permitted` does, and StoreError for a sample index that cannot be opened.
    """
    rows = permitted(session, configurations, room, interval, ground, now_us, source)
    pieces = load(session, store, rows)
    if not pieces:
        raise _explain(session, configurations, room, interval, None, now_us)
    return pieces


def load(session: Session, store: SealedStore, rows: Sequence[search.StoredSegment]) -> list[Piece]:
    """What `permitted` let through, with sample indexes; without those that a purge has taken meanwhile.

    Raises StoreError for a sample index that cannot be opened.
    """
    indexes = indexes_of(session, store, rows)
    # A segment whose index is lost can be shown by nobody until `reindex`.
    return [
        Piece(row.object_name, index_of(indexes[row.id]), row.start_us, row.end_us, row.run)
        for row in rows
        if row.id in indexes
    ]


def divided(
    session: Session, store: SealedStore, rows: Sequence[search.StoredSegment], interval: Interval
) -> Parts:
    """The clips that `interval` divides into, where these segments are what may be opened of it.

    Of very many segments only the first are looked at. Raises StoreError for a sample index that cannot be
    opened.
    """
    stretches = []
    for start in range(0, min(len(rows), _MOST_DIVIDED), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        indexes = indexes_of(session, store, some)
        stretches += [
            Stretch(row.start_us, row.end_us, Coding.of(index_of(indexes[row.id])))
            for row in some
            if row.id in indexes
        ]
    if len(rows) <= _MOST_DIVIDED:
        return Parts(divide(stretches, interval), None)
    until_us = rows[_MOST_DIVIDED].start_us
    return Parts(divide(stretches, Interval(interval.start_us, until_us)), until_us)


def permitted(
    session: Session,
    configurations: Configurations,
    room: str,
    interval: Interval,
    ground: Ground,
    now_us: int,
    source: str | None = None,
    *,
    any_length: bool = False,
) -> list[search.StoredSegment]:
    """The decision alone: which stored segments that overlap the interval may be opened on this ground.

    `room` is an id; `source` defaults to the room's first camera. Past the due midnight a segment
    opens only for the purpose of a hold that covers it. One at least. Raises NoFootageError, GroundError,
    UnknownRoomError, and ClipTooLongError unless it may be `any_length`.
    """
    found = search.segments(session, room, interval, _source_of(session, configurations, room, source))
    rows, refused_day = _openable(session, configurations, found, ground, now_us)
    if not rows:
        raise _explain(session, configurations, room, interval, refused_day, now_us)
    if not any_length:
        check_length(Interval(rows[0].start_us, max(row.end_us for row in rows)), interval)
    return rows


def of_day(
    session: Session,
    configurations: Configurations,
    room: str,
    day: date,
    ground: Ground,
    now_us: int,
    source: str | None = None,
) -> list[search.StoredSegment]:
    """As `resolve`, for all that began on the local day, however much, and before its indexes are read."""
    zone = configurations.last_known(session, room).timezone
    interval = Interval(local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone))
    found = [
        row
        for row in search.segments(session, room, interval, _source_of(session, configurations, room, source))
        if row.date == day.isoformat()
    ]
    rows, refused_day = _openable(session, configurations, found, ground, now_us)
    if not rows:
        raise _explain(session, configurations, room, interval, refused_day, now_us)
    return rows


def of_interval(
    session: Session,
    configurations: Configurations,
    room: str,
    interval: Interval,
    ground: Ground,
    now_us: int,
    source: str | None = None,
) -> list[search.StoredSegment]:
    """As `resolve`, for what needs no sample index."""
    found = search.segments(session, room, interval, _source_of(session, configurations, room, source))
    rows, refused_day = _openable(session, configurations, found, ground, now_us)
    if not rows:
        raise _explain(session, configurations, room, interval, refused_day, now_us)
    return rows


def of_segment(
    session: Session, configurations: Configurations, room: str, segment_id: str, ground: Ground, now_us: int
) -> search.StoredSegment:
    """As `resolve`, for one segment of the room by its id."""
    row = search.segment(session, segment_id)
    if row is None or row.room != room:
        raise NoFootageError("nothing", f"room {room} has no segment {segment_id[:40]}")
    rows, refused_day = _openable(session, configurations, [row], ground, now_us)
    if not rows:
        interval = Interval(row.start_us, row.end_us)
        raise _explain(session, configurations, room, interval, refused_day, now_us)
    return row


def indexes_of(
    session: Session, store: SealedStore, rows: Sequence[search.StoredSegment]
) -> dict[str, bytes]:
    """Segment id → sample index as it is kept (archive.mp4.stored); without those that have none.

    Raises StoreError.
    """
    names = {row.id: row.object_name for row in rows}
    ids = list(names)
    indexes: dict[str, bytes] = {}
    for start in range(0, len(ids), _BATCH):
        wanted = SampleIndex.segment_id.in_(ids[start : start + _BATCH])
        for segment_id, encoded in session.execute(
            select(SampleIndex.segment_id, SampleIndex.encoded).where(wanted)
        ):
            indexes[segment_id] = store.index(names[segment_id], encoded)
    return indexes


def _source_of(session: Session, configurations: Configurations, room: str, source: str | None) -> str | None:
    return source or usual_source(session, configurations, room)


def _openable(
    session: Session,
    configurations: Configurations,
    found: Sequence[search.StoredSegment],
    ground: Ground,
    now_us: int,
) -> tuple[list[search.StoredSegment], RoomDay | None]:
    """Those that may be opened on this ground, and a day of which some may not."""
    allowed = _HeldFor(session, ground)
    rows, refused_day = [], None
    days: dict[tuple[str, str], RoomDay] = {}
    for row in found:
        key = row.room, row.date
        if key not in days:
            days[key] = room_days.peek(session, configurations, *key)
        day = days[key]
        # A purged day may still hold segments that a hold kept: they are past their retention too.
        closed = now_us >= day.due_us or day.state == "purged"
        if closed and not allowed.covers(row):
            refused_day = day
        else:
            rows.append(row)
    return rows, refused_day


def holds_for(session: Session, ground: Ground) -> list[Hold]:
    """The holds in force whose purpose the ground is; none for grounds that need none.

    Raises GroundError where there is no such request, or no such hold in force.
    """
    statement = select(Hold).where(Hold.released_us.is_(None))
    if ground.kind == "hold":
        holds = list(session.scalars(statement.where(Hold.id == int(ground.reference or 0))))
        if not holds:
            raise GroundError(f"there is no hold {ground.reference} in force")
        return holds
    if ground.kind == "request":
        request_id = session.scalar(select(Request.id).where(Request.number == ground.reference))
        if request_id is None:
            raise GroundError(f"there is no request {ground.reference}")
        return list(session.scalars(statement.where(Hold.request_id == request_id)))
    return []


def usual_source(session: Session, configurations: Configurations, room: str) -> str | None:
    """The one that is shown where none is named: the room's first camera; None where it has no camera."""
    cameras = configurations.last_known(session, room).room.cameras
    return cameras[0].name if cameras else None


def require_open_day(
    session: Session, configurations: Configurations, room: str, date: str, now_us: int
) -> None:
    """For what is told of a room-day without a ground, being no footage: from its due midnight on nothing is.

    Raises NoFootageError, UnknownRoomError.
    """
    day = room_days.peek(session, configurations, room, date)
    if day.state == "purged":
        raise _purged(session, day)
    if now_us >= day.due_us:
        raise _expired(day, configurations.last_known(session, room).timezone)


class _HeldFor:
    """What the holds of a ground cover."""

    def __init__(self, session: Session, ground: Ground) -> None:
        self._holds = holds_for(session, ground)

    def covers(self, segment: search.StoredSegment) -> bool:
        return any(
            hold.room == segment.room and hold.start_us < segment.end_us and segment.start_us < hold.end_us
            for hold in self._holds
        )


def _explain(
    session: Session,
    configurations: Configurations,
    room: str,
    interval: Interval,
    refused_day: RoomDay | None,
    now_us: int,
) -> NoFootageError:
    """Why nothing of the interval can be shown: the first reason that holds, the most final one first."""
    configuration = configurations.last_known(session, room)
    zone = configuration.timezone
    date = room_days.days_of(interval, zone)[0]
    day = refused_day or room_days.peek(session, configurations, room, date)
    if day.state == "purged" and refused_day is None:
        return _purged(session, day)
    if now_us >= day.due_us or refused_day is not None:
        return _expired(day, zone)
    if interval.start_us >= now_us:
        return NoFootageError("future", "the interval lies in the future")
    if not windows_between(configuration, interval):
        upcoming = next_window(configuration, interval.start_us)
        message = "the interval lies outside the recording hours"
        if upcoming:
            message += f"; the next ones begin at {format_instant(upcoming.start_us, zone)}"
        return NoFootageError("outside_hours", message, next_window=upcoming)
    if not windows_between(configuration, Interval(interval.start_us, min(interval.end_us, now_us))):
        return NoFootageError("future", "the recording of that time has not begun yet")
    return _missing(search.coverage(session, configurations, room, date, now_us), interval)


def _expired(day: RoomDay, zone: str) -> NoFootageError:
    return NoFootageError(
        "expired",
        f"the recording of {day.date} may no longer be opened since {format_instant(day.due_us, zone)}",
        due_us=day.due_us,
        date=day.date,
    )


def _purged(session: Session, day: RoomDay) -> NoFootageError:
    certificate = session.scalar(
        select(Certificate.id)
        .where(Certificate.room == day.room, Certificate.date == day.date)
        .order_by(Certificate.id.desc())
        .limit(1)
    )
    return NoFootageError(
        "purged",
        f"the recording of {day.date} was destroyed; certificate {certificate or 'in preparation'}",
        certificate=certificate,
        purged_us=day.purged_us,
        date=day.date,
    )


def _missing(facts: search.Coverage, interval: Interval) -> NoFootageError:
    touching = [gap for gap in facts.gaps if interval.overlaps(Interval(gap.start_us, gap.end_us))]
    if touching:
        causes = ", ".join(dict.fromkeys(gap.cause for gap in touching))
        return NoFootageError("gap", f"nothing was recorded then: {causes}", gaps=touching)
    if any(each.overlaps(interval) for each in facts.pending):
        return NoFootageError("not_arrived", "the recording has not arrived yet; try again in two minutes")
    return NoFootageError("nothing", "nothing was recorded then, and no cause is known")
