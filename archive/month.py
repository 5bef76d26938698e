"""A calendar month of rooms: each day's figures, and what somebody who looks for a day wants to see of it."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import day_figures
from archive.configuration import Configurations
from archive.figures import Figures
from archive.models import Hold, Request
from archive.room_days import days_of
from recorder.instants import local_date, local_midnight_us
from recorder.intervals import Interval

State = Literal["open", "purged", "closed", "future"]


@dataclass(frozen=True, slots=True)
class Day:
    """`holds`: in force, touching the day. `requests`: not closed yet, about the day and the room, or about
    the day where no room is known. `closed`: without recording windows; a purged one may be that too.
    """

    date: date
    state: State
    figures: Figures
    holds: int
    requests: int


@dataclass(frozen=True, slots=True)
class RoomMonth:
    room: str
    label: str
    days: tuple[Day, ...]

    @property
    def figures(self) -> Figures:
        return sum((day.figures for day in self.days), Figures())


def bounds(month: date) -> tuple[date, date]:
    """The first and the last day of the month of a date."""
    last = calendar.monthrange(month.year, month.month)[1]
    return month.replace(day=1), month.replace(day=last)


def days(month: date) -> tuple[date, ...]:
    first, last = bounds(month)
    return tuple(first.replace(day=number) for number in range(1, last.day + 1))


def following(month: date) -> date:
    """The first day of the next month."""
    return bounds(month)[1] + timedelta(days=1)


def previous(month: date) -> date:
    """The first day of the month before."""
    return (month.replace(day=1) - timedelta(days=1)).replace(day=1)


def read(
    session: Session,
    configurations: Configurations,
    month: date,
    now_us: int,
    rooms: Sequence[str] | None = None,
) -> list[RoomMonth]:
    """By room, in the order of the rooms file; `rooms` (ids): these alone. Raises UnknownRoomError."""
    first, last = bounds(month)
    states = day_figures.read(session, configurations, first, last, now_us, rooms)
    zone = configurations.current(session)[1].council.timezone
    today = local_date(now_us, zone)
    holds, requests = _holds(session, first, last, zone), _requests(session, first, last)
    out = []
    for room, of_room in groupby(states, key=lambda each: each.room):
        days = []
        for each in of_room:
            day = date.fromisoformat(each.date)
            asked = requests[room, each.date] + requests[None, each.date]
            days.append(Day(day, _state(each, day, today), each.figures, holds[room, each.date], asked))
        label = configurations.last_known(session, room).room.label
        out.append(RoomMonth(room, label, tuple(days)))
    return out


def _state(each: day_figures.DayState, day: date, today: date) -> State:
    if not each.windows:
        return "closed"
    if day > today:
        return "future"
    return "purged" if each.is_purged else "open"


def _holds(session: Session, first: date, last: date, zone: str) -> Counter[tuple[str, str]]:
    whole = Interval(local_midnight_us(first, zone), local_midnight_us(last + timedelta(days=1), zone))
    found: Counter[tuple[str, str]] = Counter()
    rows = session.execute(
        select(Hold.room, Hold.start_us, Hold.end_us).where(
            Hold.released_us.is_(None), Hold.start_us < whole.end_us, Hold.end_us > whole.start_us
        )
    )
    for room, start_us, end_us in rows:
        inside = whole.intersection(Interval(start_us, end_us))
        found.update((room, day) for day in (days_of(inside, zone) if inside else ()))
    return found


def _requests(session: Session, first: date, last: date) -> Counter[tuple[str | None, str]]:
    rows = session.execute(
        select(Request.matched_room, Request.room, Request.date).where(
            Request.date.between(first.isoformat(), last.isoformat()), Request.closed_us.is_(None)
        )
    )
    return Counter((matched or room, day) for matched, room, day in rows)
