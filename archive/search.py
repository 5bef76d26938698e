"""What the archive has of a room and a time: segments, gaps with causes, coverage of a day."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from archive import room_days
from archive.configuration import Configurations, frozen_windows
from archive.figures import ARRIVAL_US, SEAM_US, SILENCE
from archive.models import Enrolment, Gap, Hold, RoomDay, RoomStatus, Segment
from recorder.instants import US_PER_SECOND, local_date
from recorder.intervals import Interval, intersect, merge, runs, subtract
from recorder.manifest import MAX_SEGMENT_US
from recorder.rooms import SOUND_ALONE, RoomsFile
from recorder.working_hours import next_window, window_at

# Agents end a gap record with its local day, which has 25 hours in autumn; a longer one is refused.
MAX_GAP_US = 25 * 3600 * US_PER_SECOND
# Heartbeats come each 5 s; the board must not flicker for one that is late.
SILENT_AFTER_US = 20 * US_PER_SECOND
# Time enough to ask the people in the room, and to extend the window.
CLOSES_SOON_US = 600 * US_PER_SECOND
# Between an agent's heartbeat and its arrival lies a busy network's second, not this.
CLOCKS_APART_US = 5 * US_PER_SECOND


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


def _recorded(session: Session, room: str, interval: Interval) -> tuple[Interval, ...]:
    """The stored time that overlaps the interval, joined."""
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
    left = session.scalar(select(RoomDay.room).where(RoomDay.room == name).limit(1))
    _, rooms = configurations.current(session)
    if left is not None and all(room.id != name for room in rooms.rooms):
        return left
    return rooms.room(name).id


def rooms_of(session: Session, rooms: RoomsFile, date: str) -> list[str]:
    """The ids of all rooms that may have footage of an ISO date: those in force, and those that had a
    room-day then and have left the rooms file since.
    """
    in_force = [room.id for room in rooms.rooms]
    left = session.scalars(select(RoomDay.room).where(RoomDay.date == date).order_by(RoomDay.room))
    return in_force + [room for room in left if room not in in_force]


def coverage(session: Session, configurations: Configurations, room: str, date: str, now_us: int) -> Coverage:
    """Every instant of the day's windows up to now as recorded, gap, or not yet arrived (invariant 5).

    `room` is an id. Raises UnknownRoomError.
    """
    day = room_days.peek(session, configurations, room, date)
    windows = merge(frozen_windows(day))
    whole = Interval(windows[0].start_us, windows[-1].end_us) if windows else None
    recorded = _recorded(session, room, whole) if whole else ()
    told = gaps(session, room, whole) if whole else []
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
    source, tracks = _expected(session, configurations, room)
    provisional = [
        GapFact(
            hole.start_us,
            hole.end_us,
            source,
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


@dataclass(frozen=True, slots=True)
class RoomCondition:
    """What is wrong with a room that may well be recording, as its agent tells it or the server sees.
    `source`: a camera or microphone, empty for the room host; `since_us`: 0 where that is not known.
    """

    condition: str
    source: str
    since_us: int
    detail: str


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room at a glance. `state` is decided from the last heartbeat and the windows, never guessed:
    inside a window, silence of the agent is a fault. What a silent agent last told is no condition any more.
    `stored_until_us`: the end of the newest footage that the archive has of the room.
    """

    room: str
    label: str
    floor: int | None
    state: Literal["recording", "closed", "fault"]
    since_us: int | None
    cause: str | None
    detail: str
    window: Interval | None
    next_window: Interval | None
    last_seen_us: int | None
    heartbeat: dict[str, Any]
    conditions: tuple[RoomCondition, ...]
    stored_until_us: int | None = None

    def is_in_use(self, now_us: int) -> bool:
        """Whether somebody is heard in the room, by an agent that still reports."""
        heard = self.last_seen_us is not None and now_us - self.last_seen_us <= SILENT_AFTER_US
        return heard and any(each.get("in_use") is True for each in self._sources())

    @property
    def sync_ms(self) -> tuple[int, int] | None:
        """How far sound is from picture (offset, uncertainty), of the source that may be furthest off; None
        where nothing is recorded, or one of the two is missing.
        """
        if self.state != "recording":
            return None
        told = [each["sync"] for each in self._sources() if isinstance(each.get("sync"), dict)]
        pairs = [(each.get("offset_us"), each.get("uncertainty_us")) for each in told]
        known = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)]
        worst = max(known, key=lambda pair: abs(pair[0]) + pair[1], default=None)
        return (round(worst[0] / 1000), -(-worst[1] // 1000)) if worst else None

    def _sources(self) -> list[dict[str, Any]]:
        """What the agent tells of each source; nobody has checked it."""
        sources = self.heartbeat.get("sources")
        statuses = sources.values() if isinstance(sources, dict) else ()
        return [each for each in statuses if isinstance(each, dict)]

    def closes_while_in_use(self, now_us: int) -> bool:
        """Within ten minutes of a window's end, while somebody is heard."""
        return (
            self.window is not None
            and self.window.end_us - now_us <= CLOSES_SOON_US
            and self.is_in_use(now_us)
        )


def room_states(session: Session, configurations: Configurations, now_us: int) -> list[RoomState]:
    """All rooms in force, in the order of the rooms file."""
    version, rooms = configurations.current(session)
    status = {row.room: row for row in session.scalars(select(RoomStatus))}
    out = []
    for room in rooms.rooms:
        configuration = rooms.configuration(room.id, version)
        window = window_at(configuration, now_us)
        upcoming = None if window else next_window(configuration, now_us)
        row = status.get(room.id)
        heartbeat: dict[str, Any] = json.loads(row.status) if row else {}
        seen_us = row.received_us if row else None
        state, since_us, cause = _judge(heartbeat, seen_us, window, now_us)
        stored_until_us = _stored_until_us(session, room.id)
        conditions: tuple[RoomCondition, ...] = ()
        if seen_us is not None and now_us - seen_us <= SILENT_AFTER_US:
            conditions = _conditions(heartbeat)
            begun_us = max(since_us or 0, window.start_us) if window and state == "recording" else None
            conditions += _own_conditions(heartbeat, conditions, seen_us, begun_us, stored_until_us, now_us)
        out.append(
            RoomState(
                room=room.id,
                label=room.label,
                floor=room.floor,
                state=state,
                since_us=since_us,
                cause=cause,
                detail=str(heartbeat.get("detail") or "") if cause != "agent_down" else "",
                window=window,
                next_window=upcoming,
                last_seen_us=seen_us,
                heartbeat=heartbeat,
                conditions=conditions,
                stored_until_us=stored_until_us,
            )
        )
    return out


def _conditions(heartbeat: dict[str, Any]) -> tuple[RoomCondition, ...]:
    """As checked when the heartbeat came in; agents of earlier versions tell none."""
    told = (heartbeat.get("health") or {}).get("conditions", ())
    return tuple(
        RoomCondition(each["condition"], each["source"], each["since_us"], each["detail"]) for each in told
    )


def _own_conditions(
    heartbeat: dict[str, Any],
    told: tuple[RoomCondition, ...],
    seen_us: int,
    begun_us: int | None,
    stored_until_us: int | None,
    now_us: int,
) -> tuple[RoomCondition, ...]:
    """What the server sees for itself, where the agent does not tell it: footage that does not arrive though
    the room records since `begun_us`, and a clock that is not the server's.
    """
    known = {each.condition for each in told}
    found = []
    if begun_us is not None and not known & {"shipping_late", "spool_old"}:
        due_us = max(begun_us, stored_until_us or 0) + ARRIVAL_US
        if now_us > due_us:
            found.append(RoomCondition("shipping_late", "", due_us, "nothing newer has arrived"))
    at_us = heartbeat.get("at_us")
    if isinstance(at_us, int) and abs(at_us - seen_us) > CLOCKS_APART_US and "clock_error" not in known:
        apart_s = (at_us - seen_us) / US_PER_SECOND
        found.append(RoomCondition("clock_error", "", 0, f"{apart_s:+.0f} s of the server's"))
    return tuple(found)


def _stored_until_us(session: Session, room: str) -> int | None:
    """Told by an index alone."""
    newest = select(Segment.end_us).where(Segment.room == room).order_by(Segment.start_us.desc()).limit(1)
    return session.scalar(newest)


def _judge(
    heartbeat: dict[str, Any], seen_us: int | None, window: Interval | None, now_us: int
) -> tuple[Literal["recording", "closed", "fault"], int | None, str | None]:
    if window is None:
        return "closed", None, None
    if seen_us is None or now_us - seen_us > SILENT_AFTER_US:
        return "fault", max(seen_us or window.start_us, window.start_us), "agent_down"
    since_us = heartbeat.get("since_us")
    if heartbeat.get("state") == "recording":
        return "recording", since_us, None
    if heartbeat.get("state") == "closed":
        # The agent works from another configuration, or has just not opened yet.
        return "fault", window.start_us, "opening"
    return "fault", since_us, str(heartbeat.get("cause") or "unknown")


def day_of(instant_us: int, timezone: str) -> str:
    return local_date(instant_us, timezone).isoformat()
