"""The notation of recording hours: day ranges (`mon-thu`, `sat`, `daily`) and windows (`08:00-12:00`).

Local and symbolic: no date and no zone stands here. Each function raises ValueError with a message
that says what is wrong and what to write instead.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60
CLOSED = "closed"

_WINDOW = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@lru_cache(maxsize=1024)
def days_of(text: str) -> tuple[int, ...]:
    """Weekdays (Monday is 0) that a key names; `sat-mon` runs over the end of the week."""
    name = text.strip().casefold()
    if name == "daily":
        return tuple(range(7))
    first, _, last = name.partition("-")
    if first not in DAYS or (last or first) not in DAYS or name.endswith("-"):
        raise ValueError(f"{text!r} names no days; write mon, mon-thu, sat-sun or daily")
    start, end = DAYS.index(first), DAYS.index(last or first)
    return tuple((start + step) % 7 for step in range((end - start) % 7 + 1))


@lru_cache(maxsize=4096)
def window_minutes(text: str) -> tuple[int, int]:
    """`08:00-12:00` → minutes of the local day `[start, end)`; an end past 1440 is on the next day."""
    match = _WINDOW.fullmatch(text.strip())
    numbers = [int(each) for each in match.groups()] if match else []
    if not numbers or (numbers[2] == 24 and numbers[3]) or numbers[0] == 24:
        raise ValueError(f"{text!r} is no window; write it as 08:00-12:00 (24:00 ends a day)")
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if start == end:
        raise ValueError(f"{text!r} is empty; write 00:00-24:00 for a whole day, or remove it")
    return start, end if end > start else end + MINUTES_PER_DAY


def check_day(windows: Iterable[str]) -> None:
    """Refuses windows of one day that overlap; abutting ones are allowed."""
    known = sorted((window_minutes(each), each) for each in windows)
    for (before, first), (after, second) in itertools.pairwise(known):
        if after[0] < before[1]:
            raise ValueError(f"windows {first!r} and {second!r} overlap; join them or part them")


def check_week(keys: Iterable[str]) -> None:
    """Refuses a weekday that stands under two keys."""
    seen: dict[int, str] = {}
    for key in keys:
        for day in days_of(key):
            if day in seen:
                raise ValueError(f"{DAYS[day]} stands in {seen[day]!r} and in {key!r}; keep it in one")
            seen[day] = key


def iso_date(value: str | date) -> str:
    """`2026-12-31`, checked; only this one spelling, so that a date stands once."""
    text = value.isoformat() if isinstance(value, date) else value
    if _ISO_DATE.fullmatch(text):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(text).isoformat()
    raise ValueError(f"{text!r} is no date of the calendar; write it as 2026-12-31")
