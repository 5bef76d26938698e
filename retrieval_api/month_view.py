"""A month of all rooms as tables: the heat map, and the causes that its gaps add up to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from archive.figures import Cause, Figures
from archive.month import Day, RoomMonth
from recorder.instants import US_PER_MINUTE

# Each day begins with a second of "opening": less than a minute is nobody's loss.
_WHOLE_BELOW_US = US_PER_MINUTE
_LEVELS_US = (10 * US_PER_MINUTE, 60 * US_PER_MINUTE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A day of a room. `look` is closed, future, unknown, whole, or what is missing: few, some, much, all."""

    day: Day
    look: str

    @property
    def minutes(self) -> int:
        """What is missing, in whole minutes."""
        return round(self.day.figures.missing_us / US_PER_MINUTE)


@dataclass(frozen=True, slots=True)
class Row:
    room: str
    label: str
    cells: tuple[Cell, ...]
    figures: Figures


@dataclass(frozen=True, slots=True)
class CauseRow:
    """`missing_us` by room, in the order of the rows; a room that never missed anything for it has 0."""

    code: str
    count: int
    missing_us: int
    by_room: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    days: tuple[date, ...]
    rows: tuple[Row, ...]
    causes: tuple[CauseRow, ...]
    figures: Figures


def table(rooms: Sequence[RoomMonth], days: Sequence[date]) -> Table:
    """Rows in the order of the rooms."""
    rows = tuple(
        Row(each.room, each.label, tuple(Cell(day, look(day)) for day in each.days), each.figures)
        for each in rooms
    )
    whole = sum((row.figures for row in rows), Figures())
    return Table(tuple(days), rows, causes(whole, [row.figures for row in rows]), whole)


def causes(whole: Figures, by_room: Sequence[Figures] = ()) -> tuple[CauseRow, ...]:
    """By the time that they cost, the greatest first."""
    found = [
        CauseRow(
            code,
            cause.count,
            cause.missing_us,
            tuple(each.causes.get(code, Cause()).missing_us for each in by_room),
        )
        for code, cause in whole.causes.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.missing_us, each.code)))


def look(day: Day) -> str:
    figures = day.figures
    if day.state in ("closed", "future"):
        return day.state
    if figures.unknown_us:
        return "unknown"
    if not figures.settled_us:
        return "future"
    if figures.missing_us < _WHOLE_BELOW_US:
        return "whole"
    if not figures.recorded_us:
        return "all"
    few_us, some_us = _LEVELS_US
    return "few" if figures.missing_us < few_us else "some" if figures.missing_us < some_us else "much"
