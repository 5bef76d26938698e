"""What is destroyed and what is kept, with the reasons: the room-day rule as a pure function.

A room-day is due at its `due_us` (invariant 6; computed once, by `recorder.working_hours.due_us`).
From that instant every item of the day is destroyed, except items that overlap an active hold:
those are kept whole. Nothing else keeps footage, and nothing before `due_us` destroys it.

Pure: no clock, no database, no file.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from recorder.instants import US_PER_DAY, format_instant
from recorder.intervals import Interval
from recorder.manifest import canonical


class Kind(StrEnum):
    """What a room-day consists of. A quarantined object is footage too and goes with its day."""

    SEGMENT = "segment"
    QUARANTINE = "quarantine"
    GAP = "gap"


@dataclass(frozen=True, order=True, slots=True)
class Item:
    """One destructible thing of a room-day; `size_bytes` is 0 for a gap record, which has no object."""

    kind: Kind
    id: str
    interval: Interval
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much footage: stored objects and their bytes. Gap records are not counted."""

    objects: int = 0
    size_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.objects + other.objects, self.size_bytes + other.size_bytes)


def amount_of(items: Sequence[Item]) -> Amount:
    stored = [item for item in items if item.kind is not Kind.GAP]
    return Amount(len(stored), sum(item.size_bytes for item in stored))


@dataclass(frozen=True, slots=True)
class DayFacts:
    """A room-day as the archive knows it.

    `items` must be complete for a due day. For a day that is not due they may be left out, with
    `total` told instead: the guard only needs to know how much there is.
    """

    room: str
    date: str
    due_us: int
    purged: bool = False
    items: tuple[Item, ...] = ()
    total: Amount | None = None

    @property
    def amount(self) -> Amount:
        return amount_of(self.items) if self.total is None else self.total


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """An *active* hold: released ones are not told, expired ones are (an expiry does not let go)."""

    id: int
    room: str
    interval: Interval


@dataclass(frozen=True, slots=True)
class Kept:
    """An item of a due day that outlives it, and the holds that keep it, sorted; never none."""

    item: Item
    holds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one room-day. Where it is not due, `destroy` and `keep` are both empty."""

    room: str
    date: str
    due_us: int
    due: bool
    purged: bool
    total: Amount
    destroy: tuple[Item, ...] = ()
    keep: tuple[Kept, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether a run does anything: a due day is closed once, even where nothing was recorded."""
        return self.due and (not self.purged or bool(self.destroy))

    @property
    def destroyed(self) -> Amount:
        return amount_of(self.destroy)

    @property
    def held_by(self) -> dict[int, tuple[Item, ...]]:
        """Hold → the items of this due day that it keeps, in the order of the holds."""
        found: defaultdict[int, list[Item]] = defaultdict(list)
        for kept in self.keep:
            for hold in kept.holds:
                found[hold].append(kept.item)
        return {hold: tuple(found[hold]) for hold in sorted(found)}

    def reasons(self, timezone: str = "UTC") -> tuple[str, ...]:
        """Why, in words, one line each; instants are written in `timezone`."""
        when = format_instant(self.due_us, timezone)
        if not self.due:
            return (f"not due until {when}",)
        lines = [] if not self.acts else [f"due since {when}"]
        for hold, items in self.held_by.items():
            names = [f"{item.kind} {item.id}" for item in items if item.kind is not Kind.GAP]
            names = names or ["gap records only"]
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            lines.append(f"held by hold {hold} ({shown})")
        return tuple(lines) or ("purged already",)


@dataclass(frozen=True, slots=True)
class Plan:
    """Decisions for every room-day, sorted by room and date, and what they add up to."""

    now_us: int
    decisions: tuple[Decision, ...]
    digest: str

    @property
    def acting(self) -> tuple[Decision, ...]:
        return tuple(each for each in self.decisions if each.acts)

    @property
    def destroyed(self) -> Amount:
        return sum((each.destroyed for each in self.decisions), Amount())

    @property
    def total(self) -> Amount:
        """What the archive holds now."""
        return sum((each.total for each in self.decisions), Amount())

    @property
    def days_destroyed(self) -> int:
        """Room-days that lose footage."""
        return sum(each.destroyed.objects > 0 for each in self.decisions)

    @property
    def days_total(self) -> int:
        """Room-days that have footage now."""
        return sum(each.total.objects > 0 for each in self.decisions)

    @property
    def overdue(self) -> bool:
        """Whether something would go that fell due more than a day ago: no ordinary night."""
        return any(
            each.destroyed.objects > 0 and self.now_us - each.due_us > US_PER_DAY for each in self.decisions
        )

    @property
    def needs_confirmation(self) -> bool:
        """Whether more than half of the archive would go, by bytes or by room-days.

        A wrong clock, a wrong setting or a mass release of holds looks like this; so does a server
        that comes back after weeks, and then a person says so. What fell due within the last 24 hours
        is an ordinary night, however young the archive is: invariant 6 gives it no longer.
        """
        if not self.overdue:
            return False
        return (
            2 * self.destroyed.size_bytes > self.total.size_bytes or 2 * self.days_destroyed > self.days_total
        )


def decide(day: DayFacts, holds: Sequence[HoldFacts], now_us: int) -> Decision:
    """The rule for one room-day. Holds of other rooms are ignored; intervals are half-open."""
    if now_us < day.due_us:
        return Decision(day.room, day.date, day.due_us, False, day.purged, day.amount)
    destroy: list[Item] = []
    keep: list[Kept] = []
    for item in sorted(day.items):
        keeping = sorted(
            hold.id for hold in holds if hold.room == day.room and hold.interval.overlaps(item.interval)
        )
        if keeping:
            keep.append(Kept(item, tuple(keeping)))
        else:
            destroy.append(item)
    return Decision(day.room, day.date, day.due_us, True, day.purged, day.amount, tuple(destroy), tuple(keep))


def plan(days: Sequence[DayFacts], holds: Sequence[HoldFacts], now_us: int) -> Plan:
    """Decide every room-day of the archive. The order of the arguments' members does not matter."""
    decisions = tuple(
        decide(day, holds, now_us) for day in sorted(days, key=lambda day: (day.room, day.date))
    )
    return Plan(now_us, decisions, _digest(decisions))


def _digest(decisions: Sequence[Decision]) -> str:
    """SHA-256 of what would be destroyed, and of nothing else.

    `now_us` is not in it: a plan that is read at noon and confirmed a minute later is the same plan,
    unless something fell due or was held in between.
    """
    document: dict[str, Any] = {
        "destroy": [
            {
                "room": each.room,
                "date": each.date,
                "items": [[str(item.kind), item.id, item.size_bytes] for item in each.destroy],
            }
            for each in decisions
            if each.acts
        ]
    }
    return hashlib.sha256(canonical(document)).hexdigest()
