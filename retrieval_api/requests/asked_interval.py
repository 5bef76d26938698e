"""What a resident remembers («10:30, приблизно») → the interval that is kept for them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from recorder.instants import to_us
from recorder.intervals import Interval


class About(StrEnum):
    """How well the time is remembered."""

    HALF_HOUR = "half_hour"
    HOUR = "hour"
    MORNING = "morning"
    AFTERNOON = "afternoon"

    @property
    def needs_time(self) -> bool:
        return self in {About.HALF_HOUR, About.HOUR}


# A reception of a resident is planned for less than an hour; the margin is added on both sides.
_LENGTH = timedelta(hours=1)
_MARGIN = {About.HALF_HOUR: timedelta(minutes=30), About.HOUR: timedelta(hours=1)}
# Lunch is 12:00-13:00: who says "before lunch" or "after" may have been there during it.
_MORNING_END = time(13)
_AFTERNOON_START = time(12)
_TIME = re.compile(r"(\d{1,2})(?:\s*[:.,\-]\s*|\s+|(?=\d\d$))(\d{2})(?:\s*[:.]\s*(\d{2}))?|(\d{1,2})")
_DATE = re.compile(r"(\d{1,2})\s*[./\- ]\s*(\d{1,2})\s*[./\- ]\s*(\d{4})")


@dataclass(frozen=True, slots=True)
class Remembered:
    """A local date, how well the time is remembered, and the time (None for half a day)."""

    day: date
    about: About
    at: time | None


def asked_interval(remembered: Remembered, zone: str) -> Interval:
    """The interval to keep: within the local date, and wide enough under both readings of a time that a
    change of the clocks skipped or made ambiguous.
    """
    midnight = datetime.combine(remembered.day, time())
    next_midnight = midnight + timedelta(days=1)
    match remembered.about:
        case About.MORNING:
            start, end = midnight, datetime.combine(remembered.day, _MORNING_END)
        case About.AFTERNOON:
            start, end = datetime.combine(remembered.day, _AFTERNOON_START), next_midnight
        case _:
            if remembered.at is None:
                raise ValueError(f"{remembered.about.value} needs a time")
            at, margin = datetime.combine(remembered.day, remembered.at), _MARGIN[remembered.about]
            start, end = max(midnight, at - margin), min(next_midnight, at + _LENGTH + margin)
    return Interval(min(_readings(start, zone)), max(_readings(end, zone)))


def typed_interval(day: date, start_text: str, end_text: str, zone: str) -> Interval | None:
    """`10:02:14`, `10:41:30` of a local date → an interval; `24:00` ends the day. None for what is none."""
    ends_the_day = end_text.strip() in {"24:00", "24:00:00"}
    start, end = parse_time(start_text), time() if ends_the_day else parse_time(end_text)
    if start is None or end is None:
        return None
    start_us = local_instant_us(day, start, zone)
    end_us = local_instant_us(day + timedelta(days=1) if ends_the_day else day, end, zone)
    return Interval(start_us, end_us) if start_us < end_us else None


def local_instant_us(day: date, at: time, zone: str) -> int:
    """The (earlier) instant of a local time on a date."""
    return min(_readings(datetime.combine(day, at), zone))


def _readings(local: datetime, zone: str) -> tuple[int, int]:
    first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    return to_us(first), to_us(second)


def parse_time(text: str) -> time | None:
    """`10:30`, `10.30`, `1030`, `10`, `10:30:15` → a time of day; None when it is none."""
    found = _TIME.fullmatch(text.strip()[:16])
    if found is None:
        return None
    hours, minutes, seconds = found[1] or found[4], found[2] or "0", found[3] or "0"
    try:
        return time(int(hours), int(minutes), int(seconds))
    except ValueError:
        return None


def parse_day(text: str) -> date | None:
    """`20.11.2026` (as people write it) or `2026-11-20` (as `type=date` sends it); None for neither."""
    cleaned = text.strip()[:16]
    found = _DATE.fullmatch(cleaned)
    try:
        if found is not None:
            return date(int(found[3]), int(found[2]), int(found[1]))
        return date.fromisoformat(cleaned) if re.fullmatch(r"\d{4}-\d\d-\d\d", cleaned) else None
    except ValueError:
        return None
