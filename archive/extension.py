"""A recording window made longer before it closes: a change of the room's calendar in the live rooms file.

Versioned and told in the custody log like every other change of that file. A window is extended up to
the next one or to the local midnight, never over them, and never after it has closed.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from archive import custody
from archive.configuration import is_in_force, read_live_file
from archive.postgresql import serialise
from archive.system import Archive
from recorder.durable import sync_directory, write_all
from recorder.errors import ConfigurationError, ProtokolError
from recorder.hours_notation import CLOSED, days_of
from recorder.instants import US_PER_DAY, US_PER_MINUTE, local_date, local_midnight_us, to_datetime
from recorder.intervals import Interval
from recorder.rooms import RoomConfiguration, RoomsFile, parse_rooms
from recorder.working_hours import next_window, window_at, windows

MINUTES = (15, 30, 60)


class ExtensionError(ProtokolError):
    """The window cannot be made longer (any more), or not by so much."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A new end. `joins_until_us`: there the next window begins, and recording goes on until then."""

    minutes: int
    end_us: int
    joins_until_us: int | None = None


def choices(configuration: RoomConfiguration, now_us: int) -> list[Choice]:
    """What the present window's end may become; none when there is none, or when it has no room left."""
    window = window_at(configuration, now_us)
    if window is None:
        return []
    following = next_window(configuration, window.end_us)
    midnight_us = _next_midnight_us(window.end_us, configuration.timezone)
    limit_us = min(midnight_us, following.start_us) if following else midnight_us
    found = [
        Choice(each, end) for each in MINUTES if (end := window.end_us + each * US_PER_MINUTE) < limit_us
    ]
    left = (limit_us - window.end_us) // US_PER_MINUTE
    if 0 < left <= MINUTES[-1]:
        joins = following.end_us if following and following.start_us == limit_us else None
        found.append(Choice(left, limit_us, joins))
    return found


def extend(archive: Archive, room: str, seen_end_us: int, minutes: int, actor: str, now_us: int) -> int:
    """The window that ends at `seen_end_us` ends later; in force and durable on return. The new end.

    Raises ExtensionError where that window has closed, has another end by now, or may not reach so far;
    RoomsFileError, ConfigurationError for a live file that is broken or cannot be written.
    """
    path = archive.settings.rooms
    with _editing(path):
        # Somebody may have changed the file since: their change goes first, or is refused first.
        archive.sync_rooms_file(now_us)
        text = read_live_file(path)
        with archive.database.reading() as session:
            version, rooms = archive.configurations.current(session)
        configuration = rooms.configuration(room, version)
        window = window_at(configuration, now_us)
        if window is None or window.end_us != seen_end_us:
            raise ExtensionError("this recording window has closed, or was changed; look at the board again")
        choice = next((each for each in choices(configuration, now_us) if each.minutes == minutes), None)
        if choice is None:
            raise ExtensionError(f"this recording window cannot be extended by {minutes} minutes")
        changed, day = _changed_text(text, rooms, configuration, window, choice)
        _write(path, changed)
        with archive.database.transaction() as session:
            serialise(session, "configuration")
            if not is_in_force(session, changed):
                version = archive.configurations.publish(session, changed, actor, now_us)
            event = custody.Event(
                "recording_extended",
                actor,
                now_us,
                room=configuration.room.id,
                date=day.isoformat(),
                details={"from_us": window.end_us, "to_us": choice.end_us, "version": version},
            )
            custody.append(session, event)
    return choice.end_us


def _next_midnight_us(instant_us: int, zone: str) -> int:
    """At the instant or after it: what ends at midnight ends there."""
    return local_midnight_us(local_date(instant_us - 1, zone) + timedelta(days=1), zone)


def _changed_text(
    text: str, rooms: RoomsFile, configuration: RoomConfiguration, window: Interval, choice: Choice
) -> tuple[str, date]:
    """The file with the room's calendar of that day, comments and order kept, and the day.

    It is read again and compared: what differs in anything else is not written.
    """
    day, texts = _extended(configuration, window, choice)
    edited = _with_calendar(text, configuration.room.id, day, texts)
    parsed = parse_rooms(edited)
    wanted = rooms.model_copy(
        update={
            "rooms": tuple(
                each.model_copy(update={"calendar": {**each.calendar, day.isoformat(): texts}})
                if each.id == configuration.room.id
                else each
                for each in rooms.rooms
            )
        }
    )
    result = window_at(parsed.configuration(configuration.room.id, 0), window.end_us - 1)
    end_us = choice.joins_until_us or choice.end_us
    if parsed != wanted or result is None or result.end_us != end_us:
        raise ExtensionError("the rooms file cannot be changed by itself here; change its calendar by hand")
    return edited, day


def _extended(
    configuration: RoomConfiguration, window: Interval, choice: Choice
) -> tuple[date, tuple[str, ...]]:
    """The day whose window ends where this one ends, and its windows as text with the new end."""
    zone = configuration.timezone
    for day in (local_date(window.end_us - 1, zone), local_date(window.end_us - 1 - US_PER_DAY, zone)):
        texts = _texts(configuration, day)
        for number, text in enumerate(texts):
            alone = configuration.model_copy(update={"calendar": {day.isoformat(): (text,)}})
            if any(each.end_us == window.end_us for each in windows(alone, day)):
                end = to_datetime(choice.end_us, zone).strftime("%H:%M")
                if end == "00:00":
                    end = "24:00"
                changed = (*texts[:number], f"{text.split('-')[0].strip()}-{end}", *texts[number + 1 :])
                return day, changed
    raise ExtensionError("no window of this day ends there; change the calendar by hand")


def _texts(configuration: RoomConfiguration, day: date) -> tuple[str, ...]:
    texts = configuration.calendar.get(day.isoformat())
    if texts is None:
        of_day = [t for days, t in configuration.hours.items() if day.weekday() in days_of(days)]
        return tuple(text for each in of_day for text in each)
    return () if texts == CLOSED else tuple(texts)


def _with_calendar(text: str, room_id: str, day: date, texts: tuple[str, ...]) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        document: Any = yaml.load(text)
        room = next(each for each in document["rooms"] if str(each["id"]) == room_id)
        # JSON is YAML, and keeps the quotes that people write around times.
        entry = yaml.load(json.dumps(texts))
        if room.get("calendar") is None:
            calendar = yaml.load("{}")
            calendar.fa.set_block_style()
            room.pop("calendar", None)
            # Before the last key: the blank line or comment that follows a room stays behind it.
            room.insert(len(room) - 1, "calendar", calendar)
        room["calendar"][day] = entry
        written = io.StringIO()
        yaml.dump(document, written)
    except (YAMLError, StopIteration, KeyError, TypeError) as error:
        raise ExtensionError(
            "the rooms file cannot be changed by itself; change its calendar by hand"
        ) from error
    return written.getvalue()


@contextmanager
def _editing(path: Path) -> Iterator[None]:
    """One change of the file at a time, whichever process makes it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(f"cannot read the rooms file {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """Durable on return. In place, because the file's directory is not the server's to write; whoever
    reads half of it meanwhile waits until nobody has written for two seconds (`is_settled`).
    """
    try:
        descriptor = os.open(path, os.O_WRONLY)
        try:
            data = text.encode()
            write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the rooms file {path}: {error.strerror}; let the server's user write it, "
            "or change the calendar by hand"
        ) from error
