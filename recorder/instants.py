"""Instants: UTC microseconds in integers inside, aware datetimes and text at the edges."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from recorder.errors import BadInstantError

US_PER_SECOND = 1_000_000
US_PER_MINUTE = 60 * US_PER_SECOND
US_PER_DAY = 86_400 * US_PER_SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """The host's wall clock. Decisions never call it: they take `now_us`."""
    return time.time_ns() // 1000


def to_us(moment: datetime) -> int:
    """An aware datetime in UTC microseconds, exactly; a naive one is a defect of the caller."""
    if moment.tzinfo is None:
        raise ValueError("naive datetime")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(instant_us: int, zone: str = "UTC") -> datetime:
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(ZoneInfo(zone))


def parse_instant(text: str) -> int:
    """RFC 3339 text with a zone (`2026-11-20T10:00:00+02:00`, `…Z`) → UTC microseconds.

    Raises BadInstantError, naming what is wrong, for text that is no instant or bears no zone.
    A `+` that a browser turned into a blank is understood.
    """
    cleaned = text.strip().replace(" ", "+") if "T" in text else text.strip()
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError as error:
        raise BadInstantError(f"not a time: {text[:60]!r}; write it as 2026-11-20T10:00:00+02:00") from error
    if moment.tzinfo is None:
        raise BadInstantError(
            f"no time zone in {text[:60]!r}; add one, as in 2026-11-20T10:00:00+02:00 or …Z"
        )
    try:
        return to_us(moment)
    except OverflowError as error:
        raise BadInstantError(f"a time out of range: {text[:60]!r}") from error


def parse_date(text: str) -> date:
    """ISO date (`2026-11-20`); raises BadInstantError."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise BadInstantError(f"not a date: {text[:60]!r}; write it as 2026-11-20") from error


def format_instant(instant_us: int, zone: str = "UTC") -> str:
    """RFC 3339 with milliseconds and the zone's offset; `Z` for UTC."""
    text = to_datetime(instant_us, zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if zone == "UTC" else text


def format_exactly(instant_us: int, zone: str = "UTC") -> str:
    """RFC 3339 with microseconds: for an address, where a rounded instant would be another one."""
    return to_datetime(instant_us, zone).isoformat(timespec="microseconds")


def local_date(instant_us: int, zone: str) -> date:
    return to_datetime(instant_us, zone).date()


def local_midnight_us(day: date, zone: str) -> int:
    """The instant that begins the local date; its first instant where a clock change skips midnight."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC))
