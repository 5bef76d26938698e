"""Finding the meeting: whom the resident met comes first, then rooms; strangers' meetings stay closed.

What may be opened for a request is bounded: its own date, near its own time, a few hours at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from archive import search
from archive.models import Request
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE, local_midnight_us
from recorder.intervals import Interval, intersect, merge
from recorder.rooms import RoomsFile

# A meeting may have begun earlier, or lasted longer, than it is remembered.
MARGIN_US = 60 * US_PER_MINUTE
# One look: the clip engine's own bound on a clip.
MAX_LOOK_US = 180 * US_PER_MINUTE
DEFAULT_LOOK_US = 150 * US_PER_MINUTE


class OutOfReachError(ProtokolError):
    """More, or another time, than may be opened for this request."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A room in which the meeting may have been. `recorded_us` of the asked interval is recorded there."""

    room: str
    label: str
    recorded_us: int
    asked_for: bool

    @property
    def anything_recorded(self) -> bool:
        return self.recorded_us > 0


def reach(request: Request, zone: str) -> Interval:
    """What may be opened for the request: its asked interval and MARGIN_US around, within its date."""
    day = date.fromisoformat(request.date)
    start_us = local_midnight_us(day, zone)
    end_us = local_midnight_us(date.fromordinal(day.toordinal() + 1), zone)
    return Interval(
        max(start_us, request.asked_start_us - MARGIN_US), min(end_us, request.asked_end_us + MARGIN_US)
    )


def require_within_reach(request: Request, interval: Interval, zone: str) -> None:
    """Raises OutOfReachError for what another request would be needed for."""
    allowed = reach(request, zone)
    if interval.start_us < allowed.start_us or interval.end_us > allowed.end_us:
        raise OutOfReachError("the interval lies outside what this request asks for, and an hour around it")
    if interval.duration_us > MAX_LOOK_US:
        raise OutOfReachError("at most three hours are opened at once; look at them in parts")


def default_look(request: Request, zone: str) -> Interval:
    """What is opened first: the asked interval, or as much of its beginning as one look holds."""
    asked = Interval(request.asked_start_us, request.asked_end_us).intersection(reach(request, zone))
    if asked is None:
        raise OutOfReachError("the request asks for nothing of its own date")
    return Interval(asked.start_us, min(asked.end_us, asked.start_us + DEFAULT_LOOK_US))


def candidates(session: Session, request: Request, rooms: RoomsFile) -> Sequence[Candidate]:
    """The rooms, the likely ones first: the one asked for, then those that recorded most of that time.

    Reads the index only: nobody's meeting is opened.
    """
    asked = Interval(request.asked_start_us, request.asked_end_us)
    labels = {room.id: room.label for room in rooms.rooms}
    found = []
    for room in search.rooms_of(session, rooms, request.date):
        rows = search.segments(session, room, asked)
        recorded = intersect([asked], merge(Interval(row.start_us, row.end_us) for row in rows))
        recorded_us = sum(each.duration_us for each in recorded)
        found.append(Candidate(room, labels.get(room, room), recorded_us, room == request.room))
    return sorted(found, key=lambda each: (not each.asked_for, -each.recorded_us))
