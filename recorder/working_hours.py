"""When a room is recorded: hours and calendar of its configuration → recording windows in UTC, exactly.

Pure. A window is the instants between two readings of the wall clock, so a change of the clock needs a
rule. It loses nothing that was promised and records nothing that was not:

- a reading that a change skips (spring) means the first instant after the change, as a start and as an
  end; a window that lies wholly in the skipped hour does not exist on that day;
- a reading that comes twice (autumn) means the first one as a start and the second one as an end.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from recorder.hours_notation import CLOSED, days_of, window_minutes
from recorder.instants import US_PER_DAY, local_date, local_midnight_us, to_datetime, to_us
from recorder.intervals import Interval, merge
from recorder.rooms import RoomConfiguration

_LOOK_AHEAD_DAYS = 400
# How far a window is followed either way: a room around the clock has one that never ends.
_REACH_DAYS = (2, 31)
_DAY = timedelta(days=1)


def windows(configuration: RoomConfiguration, day: date) -> tuple[Interval, ...]:
    """The windows that *start* on that local date, sorted and disjoint; the calendar wins over the hours.

    `22:00-02:00` and `24:00` end on the next date, so windows of neighbouring days may abut or overlap:
    `windows_between` joins them.
    """
    texts = configuration.calendar.get(day.isoformat())
    if texts is None:
        texts = tuple(
            text
            for days, of_days in configuration.hours.items()
            if day.weekday() in days_of(days)
            for text in of_days
        )
    if texts == CLOSED:
        return ()
    zone = ZoneInfo(configuration.timezone)
    found = []
    for text in texts:
        start_minute, end_minute = window_minutes(text)
        start_us = _reading_us(day, start_minute, zone)[0]
        end_us = _reading_us(day, end_minute, zone)[1]
        if start_us < end_us:
            found.append(Interval(start_us, end_us))
    return merge(found)


def windows_between(configuration: RoomConfiguration, interval: Interval) -> tuple[Interval, ...]:
    """Recorded time inside the interval: sorted, disjoint, abutting windows joined, clipped to it."""
    zone = configuration.timezone
    # A window ends at the latest on the date after its own, so the day before the first one counts too.
    day = local_date(interval.start_us, zone) - _DAY
    last = local_date(interval.end_us - 1, zone)
    found: list[Interval] = []
    while day <= last:
        found += windows(configuration, day)
        day += _DAY
    return tuple(clipped for each in merge(found) if (clipped := each.intersection(interval)))


def window_at(configuration: RoomConfiguration, instant_us: int) -> Interval | None:
    """The joined window that contains the instant, or None when the room is closed then.

    What reaches further than 31 days from the instant is cut off there (a room around the clock).
    """
    found: Interval | None = None
    for days in _REACH_DAYS:
        around = Interval(instant_us - days * US_PER_DAY, instant_us + days * US_PER_DAY)
        found = next(
            (each for each in windows_between(configuration, around) if each.contains(instant_us)), None
        )
        if found is None or (around.start_us < found.start_us and found.end_us < around.end_us):
            break
    return found


def next_window(configuration: RoomConfiguration, instant_us: int) -> Interval | None:
    """The first joined window that ends after the instant: the current one inside a window.

    None when no window begins within the next 400 days.
    """
    current = window_at(configuration, instant_us)
    if current:
        return current
    day = local_date(instant_us, configuration.timezone)
    for offset in range(_LOOK_AHEAD_DAYS + 1):
        for window in windows(configuration, day + timedelta(days=offset)):
            if window.start_us > instant_us:
                return window_at(configuration, window.start_us)
    return None


def due_us(day: date, months: int, timezone: str) -> int:
    """When footage of a local date falls due: the instant from which it must not be readable any more.

    It is the local midnight that begins the same day `months` later, or the last day of that month where
    it has no such day (31 January → 28 or 29 February).
    """
    if months < 1:
        raise ValueError(f"months must be at least 1, not {months}")
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return local_midnight_us(date(year, month + 1, min(day.day, last)), timezone)


def _reading_us(day: date, minute: int, zone: ZoneInfo) -> tuple[int, int]:
    """First and last instant at which a clock on the wall shows `minute` of the local day.

    Both are the first instant after the change where a change of the clock skips that reading.
    """
    reading = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 the zone follows
    candidates = [reading.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    shown = [each for each in candidates if _wall(each, zone) == reading]
    if shown:
        return to_us(shown[0]), to_us(shown[-1])
    # Skipped. The two readings of it lie on either side of the change: halve the way to it.
    before, after = sorted(to_us(each) for each in candidates)
    while after - before > 1:
        middle = (before + after) // 2
        if _wall(to_datetime(middle), zone) < reading:
            before = middle
        else:
            after = middle
    return after, after


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
