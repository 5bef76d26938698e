"""What the archive has of a room and a time: segments, gaps with causes, coverage of a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from archive import room_days
from archive.configuration import Configurations, frozen_windows
from archive.figures import ARRIVAL_US, SEAM_US, SILENCE
from archive.models import Enrolment, Gap, Hold, RoomDay, Segment
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval, intersect, merge, runs, subtract
from recorder.manifest import MAX_SEGMENT_US
from recorder.rooms import SOUND_ALONE, RoomsFile

# Agents end a gap record with its local day, which has 25 hours in autumn; a longer one is refused.
MAX_GAP_US = 25 * 3600 * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class GapFact:
    """`provisional`: no signed record has come (yet); the server says `agent_down` of its own accord."""

    start_us: int
    end_us: int
    source: str
    tracks: tuple[str, ...]
    cause: str
    detail: str = ""
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """A room-day as a whole. `recorded` is merged over the sources' segments; all times UTC µs."""

    room: str
    date: str
    state: str
    due_us: int
    windows: tuple[Interval, ...]
    recorded: tuple[Interval, ...]
    gaps: tuple[GapFact, ...]
    pending: tuple[Interval, ...]
    holds: tuple[Hold, ...]


class StoredSegment(NamedTuple):
    """A row of the index as it is read: an entity for each of a day's 540 rows would cost several times the
    query.
    """

    id: str
    room: str
    date: str
    source: str
    run: str
    start_us: int
    end_us: int
    object_name: str
    size_bytes: int
    file_sha256: str
    manifest_sha256: str
    clock_estimated: bool
    overlaps: bool
    accepted_us: int


# The bound on the start, by the longest segment, keeps the range short that is read. Statements are made
# once, and of the table's columns: of a day's 540 rows, the entity's would cost a quarter more.
_COLUMNS = Segment.__table__.c
_OVERLAPPING = (
    _COLUMNS.room == bindparam("of_room"),
    _COLUMNS.start_us >= bindparam("earliest_us"),
    _COLUMNS.start_us < bindparam("until_us"),
    _COLUMNS.end_us > bindparam("from_us"),
)
_STORED = select(*(_COLUMNS[name] for name in StoredSegment._fields))
_ONE = _STORED.where(_COLUMNS.id == bindparam("of_id"))
_SEGMENTS = _STORED.where(*_OVERLAPPING).order_by(_COLUMNS.start_us, _COLUMNS.id)
_OF_SOURCE = _SEGMENTS.where(_COLUMNS.source == bindparam("of_source"))
_RECORDED = select(_COLUMNS.start_us, _COLUMNS.end_us).where(*_OVERLAPPING).order_by(_COLUMNS.start_us)
_RECORDED_BY_SOURCE = _RECORDED.with_only_columns(_COLUMNS.source, _COLUMNS.start_us, _COLUMNS.end_us)


def segments(
    session: Session, room: str, interval: Interval, source: str | None = None
) -> list[StoredSegment]:
    """Segments that overlap the interval, by start."""
    asked = _asked(room, interval)
    if source is None:
        rows = session.execute(_SEGMENTS, asked)
    else:
        rows = session.execute(_OF_SOURCE, asked | {"of_source": source})
    return list(map(StoredSegment._make, rows.all()))


def segment(session: Session, segment_id: str) -> StoredSegment | None:
    """A stored segment by its id."""
    row = session.execute(_ONE, {"of_id": segment_id}).one_or_none()
    return StoredSegment._make(row) if row is not None else None


def _asked(room: str, interval: Interval) -> dict[str, str | int]:
    return {
        "of_room": room,
        "earliest_us": interval.start_us - MAX_SEGMENT_US,
        "until_us": interval.end_us,
        "from_us": interval.start_us,
    }


def _recorded(session: Session, room: str, interval: Interval, source: str | None) -> tuple[Interval, ...]:
    """The stored time that overlaps the interval, joined; of one source or of all."""
    if source is not None:
        return stored_time(session, room, interval).get(source, ())
    return runs(session.execute(_RECORDED, _asked(room, interval)), SEAM_US)


def stored_time(session: Session, room: str, interval: Interval) -> dict[str, tuple[Interval, ...]]:
    """By source, the stored time that overlaps the interval, joined."""
    found: dict[str, list[tuple[int, int]]] = {}
    for source, start_us, end_us in session.execute(_RECORDED_BY_SOURCE, _asked(room, interval)):
        found.setdefault(source, []).append((start_us, end_us))
    return {source: runs(bounds, SEAM_US) for source, bounds in found.items()}


def gaps(session: Session, room: str, interval: Interval) -> list[GapFact]:
    """Signed gap records that overlap the interval, neighbours of one cause joined."""
    rows = session.scalars(
        select(Gap)
        .where(
            Gap.room == room,
            Gap.start_us >= interval.start_us - MAX_GAP_US,
            Gap.start_us < interval.end_us,
            Gap.end_us > interval.start_us,
        )
        .order_by(Gap.source, Gap.start_us)
    )
    out: list[GapFact] = []
    for row in rows:
        fact = GapFact(
            row.start_us, row.end_us, row.source, tuple(row.tracks.split(",")), row.cause, row.detail
        )
        last = out[-1] if out else None
        if (
            last is not None
            and (last.source, last.tracks, last.cause) == (fact.source, fact.tracks, fact.cause)
            and fact.start_us <= last.end_us + SEAM_US
        ):
            out[-1] = GapFact(last.start_us, fact.end_us, *_rest(last))
        else:
            out.append(fact)
    return sorted(out, key=lambda gap: (gap.start_us, gap.source))


def _expected(session: Session, configurations: Configurations, room: str) -> tuple[str, tuple[str, ...]]:
    """The room's first source and the tracks that are missing when nothing has come from it."""
    _, rooms = configurations.current(session)
    known = next((each for each in rooms.rooms if each.id == room), None)
    if known is not None and not known.cameras:
        return known.sources[0], ("audio",)
    return known.sources[0] if known else SOUND_ALONE, ("video", "audio")


def _rest(gap: GapFact) -> tuple[str, tuple[str, ...], str, str]:
    return gap.source, gap.tracks, gap.cause, gap.detail


def room_id(session: Session, configurations: Configurations, name: str) -> str:
    """The id of a room by its id or label or, once it has left the rooms file, by the id under which
    footage or its traces are still kept. Raises UnknownRoomError.
    """
    _, rooms = configurations.current(session)
    if any(room.id == name for room in rooms.rooms):
        return name
    left = session.scalar(select(RoomDay.room).where(RoomDay.room == name).limit(1))
    return left if left is not None else rooms.room(name).id


def rooms_of(session: Session, rooms: RoomsFile, date: str) -> list[str]:
    """The ids of all rooms that may have footage of an ISO date: those in force, and those that had a
    room-day then and have left the rooms file since.
    """
    in_force = [room.id for room in rooms.rooms]
    left = session.scalars(select(RoomDay.room).where(RoomDay.date == date).order_by(RoomDay.room))
    return in_force + [room for room in left if room not in in_force]


def coverage(
    session: Session,
    configurations: Configurations,
    room: str,
    date: str,
    now_us: int,
    source: str | None = None,
) -> Coverage:
    """Every instant of the day's windows up to now as recorded, gap, or not yet arrived (invariant 5).

    `room` is an id. With a `source`, as if the room had that one alone. Raises UnknownRoomError.
    """
    day = room_days.peek(session, configurations, room, date)
    windows = merge(frozen_windows(day))
    whole = Interval(windows[0].start_us, windows[-1].end_us) if windows else None
    recorded = _recorded(session, room, whole, source) if whole else ()
    told = [gap for gap in gaps(session, room, whole) if source in (None, gap.source)] if whole else []
    past = [Interval(0, now_us)]
    explained = [*recorded, *(Interval(gap.start_us, gap.end_us) for gap in told)]
    silent = [
        hole
        for hole in subtract(intersect(windows, past), explained)
        if hole.duration_us > SEAM_US and day.state == "open"
    ]
    pending: list[Interval] = []
    missing: list[Interval] = []
    for hole in silent:
        pending += intersect([hole], [Interval(now_us - ARRIVAL_US, now_us)])
        missing += subtract([hole], [Interval(now_us - ARRIVAL_US, now_us)])
    enrolled_us = _first_enrolment_us(session, room)
    first_source, tracks = _expected(session, configurations, room)
    provisional = [
        GapFact(
            hole.start_us,
            hole.end_us,
            source or first_source,
            tracks,
            SILENCE,
            _why(hole, enrolled_us),
            provisional=True,
        )
        for hole in missing
    ]
    return Coverage(
        room=room,
        date=date,
        state=day.state,
        due_us=day.due_us,
        windows=windows,
        recorded=recorded,
        gaps=tuple(sorted([*told, *provisional], key=lambda gap: gap.start_us)),
        pending=tuple(pending),
        holds=tuple(room_days.active_holds(session, room, whole)) if whole else (),
    )


def _why(hole: Interval, enrolled_us: int | None) -> str:
    if enrolled_us is None or hole.end_us <= enrolled_us:
        return "the room had no agent yet"
    return "nothing was heard from the agent"


def _first_enrolment_us(session: Session, room: str) -> int | None:
    return session.scalar(
        select(Enrolment.created_us).where(Enrolment.room == room).order_by(Enrolment.created_us).limit(1)
    )
