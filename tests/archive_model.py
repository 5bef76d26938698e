"""What the archive must be, said a second time: a pure model of due days, holds and purges for tests.

It shares no arithmetic with the code under test: the month is reckoned by `datetime` alone, and everything
is a loop over small lists. Instants are UTC microseconds, intervals half-open.
"""

from __future__ import annotations

import calendar
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Kyiv")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    start_us: int
    end_us: int

    def meets(self, other: Span) -> bool:
        return self.start_us < other.end_us and other.start_us < self.end_us


def instant_us(day: date, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """The (first) instant at which a clock on a wall in Kyiv shows this time of the date."""
    local = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=ZONE)
    return (local.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def date_of(at_us: int) -> date:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZONE).date()


@functools.cache
def due_us(day: date) -> int:
    """Invariant 6: the midnight that begins the same day of the next month, or that month's last day."""
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return instant_us(date(year, month, min(day.day, calendar.monthrange(year, month)[1])))


def whole_day(day: date) -> Span:
    return Span(instant_us(day), instant_us(day + timedelta(days=1)))


@dataclass(frozen=True)
class Item:
    """Something of a room-day that a purge destroys. `kind` as in tombstones: segment, quarantine, gap."""

    kind: str
    id: str
    room: str
    span: Span
    sha256: str = ""

    @property
    def day(self) -> tuple[str, str]:
        return self.room, date_of(self.span.start_us).isoformat()

    @property
    def due_us(self) -> int:
        return due_us(date_of(self.span.start_us))


@dataclass
class Held:
    """A hold in force; `request` is the number of the request for which it stands."""

    id: int
    room: str
    span: Span
    request: str | None = None


@dataclass
class Model:
    """What is stored, what is held, which room-days were purged, what was destroyed for ever."""

    items: dict[str, Item] = field(default_factory=dict)
    holds: dict[int, Held] = field(default_factory=dict)
    purged: set[tuple[str, str]] = field(default_factory=set)
    destroyed: set[tuple[str, str]] = field(default_factory=set)

    def keepers(self, room: str, span: Span) -> list[Held]:
        return [hold for hold in self.holds.values() if hold.room == room and hold.span.meets(span)]

    def may_take_in(self, item: Item, now_us: int) -> bool:
        if item.day in self.purged:
            return False
        return now_us < item.due_us or bool(self.keepers(item.room, item.span))

    def may_open(self, item: Item, now_us: int, purpose: Iterable[int] = ()) -> bool:
        """`purpose`: the holds for which somebody looks; none for an audit or a fault check."""
        if now_us < item.due_us and item.day not in self.purged:
            return True
        return any(hold.id in set(purpose) for hold in self.keepers(item.room, item.span))

    def overdue(self, now_us: int) -> list[Item]:
        """What the next run has to destroy."""
        return [
            item
            for item in self.items.values()
            if now_us >= item.due_us and not self.keepers(item.room, item.span)
        ]

    def keepable(self, room: str, span: Span, now_us: int) -> list[Span]:
        """The parts of an interval that can (still) be held, as disjoint intervals in order."""
        pieces: list[Span] = []
        for day in _days(span):
            part = _common(span, whole_day(day))
            if part is None:
                continue
            if now_us < due_us(day) and (room, day.isoformat()) not in self.purged:
                pieces.append(part)
            else:
                pieces += [
                    common for hold in self.keepers(room, part) if (common := _common(hold.span, part))
                ]
        return _joined(pieces)

    def forget(self, stored: set[str], now_us: int) -> list[Item]:
        """Take over what a run left (`stored`: the ids of all rows). Fails for footage that was destroyed
        before its time or under a hold, and for rows that nobody made.
        """
        assert stored <= self.items.keys(), "rows of nothing that was taken in"
        gone = [item for key, item in self.items.items() if key not in stored]
        for item in gone:
            assert now_us >= item.due_us, f"{item} was destroyed before it was due"
            assert not self.keepers(item.room, item.span), f"{item} was destroyed under a hold"
            del self.items[item.id]
            self.destroyed.add((item.kind, item.id))
        return gone


def _days(span: Span) -> Iterator[date]:
    day = date_of(span.start_us)
    while instant_us(day) < span.end_us:
        yield day
        day += timedelta(days=1)


def _common(one: Span, other: Span) -> Span | None:
    found = Span(max(one.start_us, other.start_us), min(one.end_us, other.end_us))
    return found if found.start_us < found.end_us else None


def _joined(pieces: list[Span]) -> list[Span]:
    out: list[Span] = []
    for piece in sorted(pieces):
        if out and piece.start_us <= out[-1].end_us:
            out[-1] = Span(out[-1].start_us, max(out[-1].end_us, piece.end_us))
        else:
            out.append(piece)
    return out
