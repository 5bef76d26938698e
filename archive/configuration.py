"""The live rooms file, versioned: agents work by the version they were handed, and the archive judges
each segment by the version that its manifest names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import RoomDay, RoomsVersion
from archive.records import Records
from recorder.errors import ConfigurationError
from recorder.hours_notation import CLOSED
from recorder.instants import US_PER_SECOND, local_date, parse_date
from recorder.intervals import Interval, intersect, merge
from recorder.keyfile import SignedConfiguration
from recorder.manifest import canonical
from recorder.rooms import RoomConfiguration, RoomsFile, parse_rooms, shipped_rooms_text
from recorder.working_hours import windows

# Before and after every instant that occurs.
_EVER = 2**53
# An editor's save takes milliseconds; a heartbeat that looks comes again within seconds.
_SETTLED_US = 2 * US_PER_SECOND
# How far ahead an agent looks for its next window, and more: it is told anew with each heartbeat.
_CLOSED_DAYS = 450


class Configurations:
    """Versions of the rooms file, parsed once each. Safe to share between threads."""

    def __init__(self, server_key: Ed25519PrivateKey, records: Records) -> None:
        self._server_key, self._records = server_key, records
        self._parsed: dict[int, RoomsFile] = {}

    def current(self, session: Session) -> tuple[int, RoomsFile]:
        """Raises ConfigurationError before the first version."""
        version = session.scalar(select(func.max(RoomsVersion.version)))
        if version is None:
            raise ConfigurationError(
                "the archive has no rooms yet; `protokol serve` reads them from ROOMS_FILE"
            )
        return version, self.at(session, version)

    def at(self, session: Session, version: int) -> RoomsFile:
        """Raises ConfigurationError for a version that never was."""
        if version not in self._parsed:
            row = session.get(RoomsVersion, version)
            if row is None:
                raise ConfigurationError(f"there is no version {version} of the rooms file")
            self._parsed[version] = parse_rooms(row.text, f"rooms.yaml (version {version})")
        return self._parsed[version]

    def room(self, session: Session, room_id: str, version: int | None = None) -> RoomConfiguration:
        """Raises UnknownRoomError, ConfigurationError."""
        if version is None:
            version, rooms = self.current(session)
        else:
            rooms = self.at(session, version)
        return rooms.configuration(room_id, version)

    def last_known(self, session: Session, room_id: str) -> RoomConfiguration:
        """The room as it is in force or, where it has left the rooms file, as it last was: its footage
        outlives it. Raises UnknownRoomError for an id that never was.
        """
        for version in session.scalars(select(RoomsVersion.version).order_by(RoomsVersion.version.desc())):
            rooms = self.at(session, version)
            # By the id alone: another room may bear the old one's label.
            if any(room.id == room_id for room in rooms.rooms):
                return rooms.configuration(room_id, version)
        return self.room(session, room_id)

    def history(self, session: Session) -> list[tuple[Interval, RoomsFile]]:
        """Every rooms file with the time in which it was in force, the first since ever, the last for
        ever; those that were replaced in the same instant are left out.
        """
        rows = session.execute(
            select(RoomsVersion.version, RoomsVersion.created_us).order_by(RoomsVersion.version)
        ).all()
        starts = [0, *(created_us for _, created_us in rows[1:]), _EVER]
        return [
            (Interval(start_us, end_us), self.at(session, version))
            for (version, _), start_us, end_us in zip(rows, starts, starts[1:], strict=False)
            if start_us < end_us
        ]

    def windows_in_force(self, session: Session, room_id: str, day: date) -> tuple[Interval, ...]:
        """The windows of a room that start on a local date as they would have been frozen: what has
        passed when a version is published stays as it was.
        """
        return windows_by(self.history(session), room_id, day)

    def signed(self, session: Session, room_id: str, now_us: int) -> SignedConfiguration:
        """What an agent is handed: canonical JSON of the room's configuration, signed by the server.

        A room that has left the rooms file is handed a calendar of closed days: its agent must stop, and
        would go on by its last good configuration if it were told nothing. Raises UnknownRoomError.
        """
        version, _ = self.current(session)
        configuration = self.last_known(session, room_id)
        if configuration.version != version:
            closed = _closed_from(local_date(now_us, configuration.timezone))
            configuration = configuration.model_copy(update={"version": version, "calendar": closed})
        text = canonical(configuration.model_dump(mode="json")).decode()
        signature = self._server_key.sign(text.encode())
        return SignedConfiguration(configuration=text, signature=base64.b64encode(signature).decode())

    def publish(self, session: Session, text: str, author: str, now_us: int) -> int:
        """Make `text` the rooms file in force; returns its version.

        Room-days from today on freeze their windows anew: what has passed stays as it was in force. A
        room that is not in the file any more has no windows from now on.
        Raises RoomsFileError, and changes nothing, for a file that is wrong.
        """
        rooms = parse_rooms(text)
        sha256 = _sha256(text)
        row = RoomsVersion(text=text, sha256=sha256, author=author, created_us=now_us)
        session.add(row)
        session.flush()
        self._records.keep(session, row)
        self._refreeze(session, rooms, row.version, now_us)
        custody.append(
            session,
            custody.Event(
                "configuration_changed",
                author,
                now_us,
                subject=f"configuration:{row.version}",
                details={"sha256": sha256},
            ),
        )
        return row.version

    def _refreeze(self, session: Session, rooms: RoomsFile, version: int, now_us: int) -> None:
        today = local_date(now_us, rooms.council.timezone).isoformat()
        known = {room.id for room in rooms.rooms}
        days = session.scalars(
            select(RoomDay)
            .where(RoomDay.date >= today, RoomDay.state == "open")
            .order_by(RoomDay.room, RoomDay.date)
            .with_for_update()
        )
        for day in days:
            before = intersect(frozen_windows(day), [Interval(0, now_us)])
            after: tuple[Interval, ...] = ()
            if day.room in known:
                configuration = rooms.configuration(day.room, version)
                after = intersect(windows(configuration, parse_date(day.date)), [Interval(now_us, _EVER)])
                # Kept for a room that left: certificates read it by the version that knew it.
                day.configuration_version = version
            day.windows = encode_windows(merge([*before, *after]))
            day.revision += 1


def _closed_from(today: date) -> dict[str, str]:
    """Yesterday too: its last window may reach into today."""
    return {(today + timedelta(days=number)).isoformat(): CLOSED for number in range(-1, _CLOSED_DAYS)}


def windows_by(
    history: Iterable[tuple[Interval, RoomsFile]], room_id: str, day: date
) -> tuple[Interval, ...]:
    """As `Configurations.windows_in_force`, for who asks about many days of one history."""
    found: list[Interval] = []
    for period, rooms in history:
        if any(room.id == room_id for room in rooms.rooms):
            found += intersect(windows(rooms.configuration(room_id, 0), day), [period])
    return merge(found)


def frozen_windows(day: RoomDay) -> tuple[Interval, ...]:
    return tuple(Interval(start, end) for start, end in json.loads(day.windows))


def encode_windows(intervals: tuple[Interval, ...]) -> str:
    return json.dumps([[each.start_us, each.end_us] for each in intervals])


def seed_live_file(path: Path) -> None:
    """Put the shipped rooms file where none is. Raises ConfigurationError."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_text(shipped_rooms_text(), "utf-8")
            temporary.rename(path)
    except OSError as error:
        raise ConfigurationError(f"cannot make the rooms file {path}: {error.strerror}") from error


def is_settled(path: Path, at_us: int) -> bool:
    """Whether nobody has written the file within the last moments: an editor may have written half of it,
    and half a list of rooms can be a valid one.
    """
    try:
        # One written "in the future" is settled too: a wrong clock must not keep it out for ever.
        return not 0 <= at_us - path.stat().st_mtime_ns // 1000 < _SETTLED_US
    except OSError:
        # Gone for the moment of a rename, or unreadable: the reading will tell.
        return True


def read_live_file(path: Path) -> str:
    """The live rooms file's text. Raises ConfigurationError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the rooms file {path}: {error}") from error


def is_stale(session: Session, path: Path, text: str) -> bool:
    """Whether the file is another server's copy that was left behind: an earlier version, written before the
    one in force was published. Who goes back to an earlier version writes it after that.
    """
    newest = session.scalars(
        select(RoomsVersion).order_by(RoomsVersion.version.desc()).limit(1)
    ).one_or_none()
    if newest is None or is_in_force(session, text):
        return False
    earlier = select(RoomsVersion.version).where(RoomsVersion.sha256 == _sha256(text)).limit(1)
    if session.scalar(earlier) is None:
        return False
    try:
        return path.stat().st_mtime_ns // 1000 < newest.created_us
    except OSError:
        return False


def is_in_force(session: Session, text: str) -> bool:
    """Whether the newest version is exactly this text."""
    newest = session.execute(
        select(RoomsVersion.sha256).order_by(RoomsVersion.version.desc()).limit(1)
    ).scalar_one_or_none()
    return newest == _sha256(text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
