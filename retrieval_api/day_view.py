"""A room-day as a strip: where on it each recorded stretch, gap, hold and hour stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from archive.search import Coverage
from recorder.errors import BadInstantError
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us, to_us
from recorder.intervals import Interval, intersect, subtract

_HOUR_US = 60 * US_PER_MINUTE
# What is shown of a day without recording hours.
_USUAL_HOURS = (8, 17)
_LOOK_DAYS = 31


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of the strip in per cent of its width; `kind` is recorded, openable, unopened, gap,
    pending, held, beside or window.
    """

    kind: str
    interval: Interval
    x: str
    width: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """`[start_us, end_us)` is the whole width: whole hours around the day's windows."""

    start_us: int
    end_us: int
    windows: tuple[Mark, ...]
    marks: tuple[Mark, ...]
    hours: tuple[tuple[int, str], ...]


def strip(
    facts: Coverage,
    day: date,
    zone: str,
    cause: Callable[[str], str],
    beside: Iterable[tuple[Interval, str]] = (),
    opened: tuple[Sequence[Interval], str, str] | None = None,
) -> Strip:
    """Windows below; on them what is recorded, missing (labelled by `cause`), still to come, held; above
    them what happened `beside`, with its label.

    `opened`: what the ground of the visit may open, with the labels of what is recorded of it and of the
    rest of what is recorded; None where it knows no limits.
    """
    whole = horizon(facts, day, zone)
    recorded = _marks("recorded", facts.recorded, whole)
    if opened is not None:
        within, openable, unopened = opened
        recorded += _marks("unopened", subtract(facts.recorded, within), whole, unopened)
        recorded += _marks("openable", intersect(facts.recorded, within), whole, openable)
    gaps = [
        mark
        for gap in facts.gaps
        for mark in _marks("gap", [Interval(gap.start_us, gap.end_us)], whole, cause(gap.cause))
    ]
    pending = _marks("pending", facts.pending, whole)
    held = [
        mark
        for hold in facts.holds
        for mark in _marks("held", [Interval(hold.start_us, hold.end_us)], whole, str(hold.id))
    ]
    above = [mark for each, label in beside for mark in _marks("beside", [each], whole, label)]
    hours = [
        (at_us, _percent(at_us - whole.start_us, whole))
        for at_us in range(whole.start_us, whole.end_us + 1, _HOUR_US)
    ]
    return Strip(
        whole.start_us,
        whole.end_us,
        tuple(_marks("window", facts.windows, whole)),
        (*recorded, *gaps, *pending, *held, *above),
        tuple(hours),
    )


def neighbour(day: date, step: int, is_open: Callable[[date], bool]) -> date:
    """The next (`step` 1) or previous (-1) day with recording windows; the calendar's where there is none."""
    for distance in range(1, _LOOK_DAYS + 1):
        candidate = day + timedelta(days=step * distance)
        if is_open(candidate):
            return candidate
    return day + timedelta(days=step)


def local_interval(day: date, start: str, end: str, zone: str) -> Interval:
    """`10:00` or `10:00:30` of a local day, twice, as an interval; an hour that comes twice counts whole.

    Raises BadInstantError for text that is no time, or an end that is not after the start.
    """
    start_us, end_us = _reading_us(day, start, zone, fold=0), _reading_us(day, end, zone, fold=1)
    if end_us <= start_us:
        raise BadInstantError(f"the end {end[:20]} is not after the start {start[:20]}")
    return Interval(start_us, end_us)


def _reading_us(day: date, text: str, zone: str, *, fold: int) -> int:
    if text.strip() in ("24:00", "24:00:00"):
        return local_midnight_us(day + timedelta(days=1), zone)
    try:
        time = datetime.strptime(text.strip()[:8], "%H:%M:%S" if text.count(":") == 2 else "%H:%M").time()  # noqa: DTZ007 (a reading of the wall clock; its zone follows)
    except ValueError as error:
        raise BadInstantError(f"not a time: {text[:20]!r}; write it as 10:00 or 10:00:30") from error
    moment = datetime.combine(day, time, ZoneInfo(zone)).replace(fold=fold)
    return to_us(moment.astimezone(UTC))


def horizon(facts: Coverage, day: date, zone: str) -> Interval:
    """Whole hours around the day's windows: what a strip of the day shows."""
    midnight_us = local_midnight_us(day, zone)
    if not facts.windows:
        return Interval(*(midnight_us + hour * _HOUR_US for hour in _USUAL_HOURS))
    first = facts.windows[0].start_us - midnight_us
    last = facts.windows[-1].end_us - midnight_us
    return Interval(midnight_us + first // _HOUR_US * _HOUR_US, midnight_us - -last // _HOUR_US * _HOUR_US)


def _marks(kind: str, intervals: Iterable[Interval], whole: Interval, label: str = "") -> list[Mark]:
    out = []
    for interval in intervals:
        part = interval.intersection(whole)
        # Less than a second would be a hair that nobody can point at; the list beside it has them all.
        if part is not None and (part.duration_us >= US_PER_SECOND or kind != "recorded"):
            x = _percent(part.start_us - whole.start_us, whole)
            width = _percent(part.duration_us, whole)
            out.append(Mark(kind, interval, x, width, label))
    return out


def _percent(part_us: int, whole: Interval) -> str:
    return f"{100 * part_us / whole.duration_us:.3f}%"
