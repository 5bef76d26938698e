"""Dates and times as people and programs ask for them: read, and kept within the years of an archive.

Beyond these years nothing is recorded, and a calendar with a time zone or a step of a day added to it
ends in an overflow: refused here, once, with words.
"""

from __future__ import annotations

import re
from datetime import date

from recorder.errors import BadInstantError
from recorder.instants import local_midnight_us, parse_date, parse_instant

_FIRST, _LAST = date(1970, 1, 1), date(2199, 12, 29)
_FIRST_US, _LAST_US = local_midnight_us(_FIRST, "UTC"), local_midnight_us(_LAST, "UTC")


def instant_of(text: str) -> int:
    """RFC 3339 text with a zone → UTC microseconds. Raises BadInstantError."""
    instant_us = parse_instant(text)
    if not _FIRST_US <= instant_us <= _LAST_US:
        raise BadInstantError(f"no archive reaches to {text[:40]!r}; check the year")
    return instant_us


def date_of(text: str) -> date:
    """An ISO date. Raises BadInstantError."""
    day = parse_date(text)
    if not _FIRST <= day <= _LAST:
        raise BadInstantError(f"no archive reaches to {text[:40]!r}; check the year")
    return day


def month_of(text: str) -> date:
    """The first day of a month that is written `2026-11`. Raises BadInstantError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", text.strip()):
        raise BadInstantError(f"not a month: {text[:40]!r}; write it as 2026-11")
    first = date_of(f"{text.strip()}-01")
    if (first.year, first.month) == (_LAST.year, _LAST.month):
        raise BadInstantError(f"no archive reaches to {text[:40]!r}; check the year")
    return first
