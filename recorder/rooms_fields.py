"""The fields of rooms.yaml, each with its check: a message says what is wrong and what to write."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from recorder import hours_notation
from recorder.lookalikes import mixed_script, strangers_to_ascii

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_MAX_PORT = 65535
_MAX_SOUND_DEVICES = 1000


def _check_id(text: str) -> str:
    if not text.isascii():
        raise ValueError(f"{text!r} has {strangers_to_ascii(text)}; an id is ASCII, write it as 228-a")
    if not _ID.fullmatch(text):
        raise ValueError(
            f"{text!r} cannot stand in a URL; use at most 32 small Latin letters, digits and '-', as in 228-a"
        )
    return text


def _check_label(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} has blanks at its ends or unprintable characters; remove them")
    wrong = mixed_script(text)
    if wrong:
        raise ValueError(wrong)
    return text


def _check_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"no time zone {text!r}; write it as Europe/Kyiv") from error
    return text


def _check_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_is_right = parts.port is None or 0 < parts.port <= _MAX_PORT
    except ValueError as error:
        raise ValueError(f"{text!r} is no address; write it as rtsp://host/path") from error
    if parts.username is not None or parts.password is not None:
        # The text is not repeated: it may hold a password, and this message goes to a log.
        raise ValueError("holds a user or password; remove them and name a secret in `credentials`")
    if parts.scheme not in {"rtsp", "rtsps"} or not parts.hostname or not port_is_right:
        raise ValueError(f"{text!r} is no camera's address; write it as rtsp://host/path (or rtsps://)")
    if not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} has blanks in it; write them as %20 or remove them")
    return text


def _check_host(text: str) -> str:
    form = _HOST.fullmatch(text)
    if not form or not 0 < int((form[2] or ":80")[1:]) <= _MAX_PORT:
        raise ValueError(f"{text!r} is no host; write the camera's name or address, as in 10.1.8.20:8000")
    return text


def _check_secret_name(text: str) -> str:
    if not _SECRET_NAME.fullmatch(text):
        # Not repeated either: somebody may have written the password itself.
        raise ValueError("must be the name of a secret, as in cam-108; never the password itself")
    return text


def _check_sound_device(value: Any) -> str | int:
    """A text of digits alone is a number: a rooms file holds nothing but texts."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, str) and value.strip() and not value.isdecimal() and len(value) <= 200:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_SOUND_DEVICES:
        return value
    raise ValueError("is no sound device; write its name or its number, as `protokol agent probe` lists them")


def _check_transport(value: Any) -> Any:
    if value not in ("tcp", "udp"):
        raise ValueError(f"{str(value)[:20]!r} is no way to fetch a stream; write tcp (the usual) or udp")
    return value


def _check_window(text: str) -> str:
    hours_notation.window_minutes(text)
    return text.strip()


def _check_days(text: str) -> str:
    hours_notation.days_of(text)
    return text.strip().casefold()


def _check_day_windows(windows: tuple[str, ...]) -> tuple[str, ...]:
    hours_notation.check_day(windows)
    return tuple(sorted(windows))


def _check_week(hours: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    hours_notation.check_week(hours)
    if not any(hours.values()):
        raise ValueError('no windows at all; give at least one day, as in mon-fri: ["08:00-17:00"]')
    return hours


def _closed_is_empty(value: Any) -> Any:
    return () if value == hours_notation.CLOSED else value


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


Text = Annotated[str, Field(min_length=1, max_length=200)]
RoomId = Annotated[str, AfterValidator(_check_id)]
Label = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_check_label)]
TimeZone = Annotated[str, AfterValidator(_check_zone)]
CameraUrl = Annotated[str, AfterValidator(_check_url)]
Host = Annotated[str, AfterValidator(_check_host)]
SoundDeviceName = Annotated[str | int, BeforeValidator(_check_sound_device)]
Transport = Annotated[Literal["tcp", "udp"], BeforeValidator(_check_transport)]
SecretName = Annotated[str, AfterValidator(_check_secret_name)]

DayWindows = Annotated[
    tuple[Annotated[str, AfterValidator(_check_window)], ...], AfterValidator(_check_day_windows)
]
WeekDay = Annotated[DayWindows, BeforeValidator(_closed_is_empty)]
Hours = Annotated[dict[Annotated[str, AfterValidator(_check_days)], WeekDay], AfterValidator(_check_week)]

# Told apart by their form, so that a wrong window is reported as such and not also as "not closed".
UNION_TAGS = frozenset({"<closed>", "<windows>"})
CalendarDay = Annotated[
    Annotated[Literal["closed"], Tag("<closed>")] | Annotated[DayWindows, Tag("<windows>")],
    Discriminator(lambda value: "<windows>" if isinstance(value, list | tuple) else "<closed>"),
]
Calendar = Annotated[
    dict[Annotated[str, BeforeValidator(hours_notation.iso_date)], CalendarDay],
    BeforeValidator(_none_is_empty),
]
