"""What the archive has: rooms and their states, coverage of a day, segments. For staff's programs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from archive import asking, marks, room_states, search
from archive.models import Mark
from recorder.errors import BadInstantError
from recorder.instants import US_PER_DAY, format_instant
from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from retrieval_api.auth import Staff, require
from retrieval_api.pages import ArchiveDep, NowDep, rooms_of

router = APIRouter(prefix="/api/v1", tags=["archive"])
FOOTAGE_ROLES = ("operator", "auditor", "admin")
# A room makes some 1500 segments a day: this answers in one page.
_MAX_SPAN_US = 7 * US_PER_DAY

RoomsDep = Annotated[RoomsFile, Depends(rooms_of)]
FootageStaff = Annotated[Staff, Depends(require(*FOOTAGE_ROLES))]
GroundQuery = Annotated[
    str | None,
    Query(description="request:NUMBER, hold:ID, fault_check, audit; else the one stated for the visit"),
]


def parse_interval(start: str, end: str) -> Interval:
    """Raises BadInstantError for text that is no instant, bears no zone, or runs backwards."""
    start_us, end_us = asking.instant_of(start), asking.instant_of(end)
    if end_us <= start_us:
        raise BadInstantError(
            f"the interval is empty or backwards: from {start[:40]} to {end[:40]}; swap them"
        )
    return Interval(start_us, end_us)


@router.get("/rooms")
def list_rooms(
    archive: ArchiveDep, now_us: NowDep, rooms: RoomsDep, staff: Annotated[Staff, Depends(require())]
) -> dict[str, Any]:
    """All rooms in the order of the rooms file, and what each of them does right now."""
    del staff
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        states = room_states.room_states(session, archive.configurations, now_us)
    return {"now": format_instant(now_us, zone), "rooms": [_room(state, zone) for state in states]}


@router.get("/rooms/{room}/coverage")
def coverage(
    room: str, date: str, archive: ArchiveDep, now_us: NowDep, rooms: RoomsDep, staff: FootageStaff
) -> dict[str, Any]:
    """Every instant of the day's recording windows: recorded, gap with its cause, or not yet arrived."""
    del staff
    zone = rooms.council.timezone
    day = asking.date_of(date).isoformat()
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        facts = search.coverage(session, archive.configurations, room_id, day, now_us)
        beside = marks.of_day(session, room_id, asking.date_of(date), zone)
    return {
        "room": facts.room,
        "date": facts.date,
        "state": facts.state,
        "due": format_instant(facts.due_us, zone),
        "windows": [_interval(each, zone) for each in facts.windows],
        "recorded": [_interval(each, zone) for each in facts.recorded],
        "pending": [_interval(each, zone) for each in facts.pending],
        "gaps": [
            {
                "from": format_instant(gap.start_us, zone),
                "to": format_instant(gap.end_us, zone),
                "source": gap.source,
                "tracks": list(gap.tracks),
                "cause": gap.cause,
                "detail": gap.detail,
                "provisional": gap.provisional,
            }
            for gap in facts.gaps
        ],
        "holds": [
            {
                "id": hold.id,
                "from": format_instant(hold.start_us, zone),
                "to": format_instant(hold.end_us, zone),
            }
            for hold in facts.holds
        ],
        "marks": [mark_document(mark, zone) for mark in beside],
    }


@router.get("/segments")
def segments(
    archive: ArchiveDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    room: str,
    start: Annotated[str, Query(alias="from")],
    end: Annotated[str, Query(alias="to")],
) -> dict[str, Any]:
    """Stored segments that overlap `[from, to)`, by start; at most seven days."""
    del staff
    interval = parse_interval(start, end)
    if interval.duration_us > _MAX_SPAN_US:
        raise BadInstantError("ask for at most seven days at once")
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        found = search.segments(session, room_id, interval)
    return {"segments": [_segment(each, zone) for each in found]}


def mark_document(mark: Mark, zone: str) -> dict[str, Any]:
    """`room` null means all rooms, `to` null that it still goes on."""
    return {
        "id": mark.id,
        "external_id": mark.external_id,
        "kind": mark.kind,
        "room": mark.room,
        "from": format_instant(mark.start_us, zone),
        "to": None if mark.end_us is None else format_instant(mark.end_us, zone),
        "note": mark.note,
        "source": mark.source,
    }


def _interval(interval: Interval, zone: str) -> dict[str, str]:
    return {
        "from": format_instant(interval.start_us, zone),
        "to": format_instant(interval.end_us, zone),
    }


def _segment(row: search.StoredSegment, zone: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "room": row.room,
        "source": row.source,
        "run": row.run,
        "from": format_instant(row.start_us, zone),
        "to": format_instant(row.end_us, zone),
        "size_bytes": row.size_bytes,
        "file_sha256": row.file_sha256,
        "manifest_sha256": row.manifest_sha256,
        "clock_estimated": row.clock_estimated,
        "overlaps": row.overlaps,
    }


def _room(state: room_states.RoomState, zone: str) -> dict[str, Any]:
    def instant(value: int | None) -> str | None:
        return None if value is None else format_instant(value, zone)

    return {
        "id": state.room,
        "label": state.label,
        "floor": state.floor,
        "state": state.state,
        "since": instant(state.since_us),
        "cause": state.cause,
        "detail": state.detail,
        "window": _interval(state.window, zone) if state.window else None,
        "next_window": _interval(state.next_window, zone) if state.next_window else None,
        "last_seen": instant(state.last_seen_us),
    }
