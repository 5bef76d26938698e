"""Room-day keys: made on first use, wrapped by the master key, destroyed with their day.

What is destroyed here is destroyed in every copy of the footage and of the index, backups included. A held
object outlives its day's key by its *retained key*: its object secret, which opens nothing else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from archive.cipher import KEY_BYTES, object_secret
from archive.database import DatabaseError
from archive.key_database import FORMAT, KeyDatabase, master, retained_key, room_day_key
from archive.master_key import MasterKey
from archive.store import StoreError, room_day_of
from recorder.errors import ConfigurationError
from recorder.instants import now_us

# How long another process's destruction may go unseen here; a look costs about 0.2 ms.
CACHE_S = 10.0
# Seven rooms and the days that staff look at; beyond it keys are read again.
_CACHED_DAYS = 64
# Well below the number of parameters that either database takes in one statement.
_BATCH = 400


class KeyGoneError(StoreError):
    """There is no key (any more) for that object: its day was destroyed, or its key was never here."""


class KeyDamagedError(StoreError):
    """The key is in the key database, and is not what was put there: restore that one from its backup."""


@dataclass(frozen=True, slots=True)
class _Cached:
    key: bytes
    until_s: float


class Keys:
    """All keys of one archive. Safe to share between threads and processes.

    A day's key stays in memory for CACHE_S after it was read, and is dropped at once when this process
    destroys it, so that a destruction by another process holds here too within CACHE_S. Objects that are
    open then stay open: an upload or a viewing under way bears its own object's key until it is closed.
    """

    def __init__(
        self,
        database: KeyDatabase,
        master_key: MasterKey,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError when the keys there were wrapped by another master key, DatabaseError."""
        self._database, self._master, self._clock_s = database, master_key, clock_s
        self._cache: dict[tuple[str, str], _Cached] = {}
        self._lock = threading.Lock()
        if not is_begun(database):
            self._begin()
        with database.reading() as connection:
            self._require_current(connection)
            # Tells this key database from others, whatever master key is in force; a backup of it is it.
            self.begun_us: int = connection.execute(select(master.c.created_us)).scalar_one()

    def _begin(self) -> None:
        """This master key is the one of a key database that has none yet."""
        row = {"id": 1, "format": FORMAT, "check_value": self._master.check_value, "created_us": now_us()}
        try:
            with self._database.transaction() as connection:
                if connection.execute(select(master.c.id)).first() is None:
                    connection.execute(insert(master).values(row))
        except DatabaseError:
            # PostgreSQL: another process was quicker; whose key it is, is looked at next.
            if not is_begun(self._database):
                raise

    def _require_current(self, connection: Connection) -> None:
        """The master row, locked: this process's master key is (still) the one in force.

        Without it a process that a rotation has left behind would wrap a new key under the old one.
        """
        row = connection.execute(select(master.c.check_value, master.c.format).with_for_update()).one()
        if row.format != FORMAT:
            raise ConfigurationError(
                f"the key database has format {row.format}, this version reads {FORMAT}: update Protokol"
            )
        if not self._master.is_of(row.check_value):
            raise ConfigurationError(
                "the keys of this archive are wrapped by another master key than PROTOKOL_MASTER_KEY_FILE "
                "names: give the one in force; after `protokol archive rotate-key`, restart the server"
            )

    def on_failed_sync(self, call: Callable[[], None]) -> None:
        """What to call when the key database's sync fails, before the error is raised."""
        self._database.on_failed_sync = call

    # --- use ---

    def writing_key(self, room: str, date: str) -> bytes:
        """The room-day's key, made where there is none: durable before this returns.

        Raises KeyGoneError for a day that was destroyed, KeyDamagedError, ConfigurationError, DatabaseError.
        """
        known = self._day_key(room, date)
        if known is not None:
            return known
        with self._database.transaction() as connection:
            self._require_current(connection)
            row = connection.execute(_of_day(room, date)).first()
            if row is None:
                key = os.urandom(KEY_BYTES)
                connection.execute(
                    insert(room_day_key).values(
                        room=room, date=date, wrapped=self._master.wrap(key), created_us=now_us()
                    )
                )
            elif row.wrapped is None:
                raise KeyGoneError(
                    f"the key of room-day {room} {date} was destroyed: nothing is stored under it"
                )
            else:
                key = self._unwrap(row.wrapped, f"room-day {room} {date}")
        return self._remember(room, date, key)

    def secret(self, name: str, salt: bytes) -> bytes:
        """The object secret of an object by its name and the salt that it (or its sample index) bears.

        By the day's key, or the object's retained one. Raises KeyGoneError, KeyDamagedError,
        ConfigurationError, DatabaseError.
        """
        room, date = room_day_of(name)
        key = self._day_key(room, date)
        if key is not None:
            return object_secret(key, salt, room, date)
        statement = select(retained_key.c.wrapped).where(
            retained_key.c.object_name == name, retained_key.c.salt == salt
        )
        with self._database.reading() as connection:
            wrapped = connection.execute(statement).scalar()
        if wrapped is None:
            raise KeyGoneError(f"{name} cannot be read: its key was destroyed, or is not in the key database")
        return self._unwrap(wrapped, name)

    def _day_key(self, room: str, date: str) -> bytes | None:
        with self._lock:
            now_s = self._clock_s()
            for day in [day for day, cached in self._cache.items() if cached.until_s <= now_s]:
                del self._cache[day]
            known = self._cache.get((room, date))
        if known is not None:
            return known.key
        with self._database.reading() as connection:
            row = connection.execute(_of_day(room, date)).first()
        if row is None or row.wrapped is None:
            return None
        return self._remember(room, date, self._unwrap(row.wrapped, f"room-day {room} {date}"))

    def _unwrap(self, wrapped: bytes, what: str) -> bytes:
        try:
            return self._master.unwrap(wrapped)
        except ConfigurationError as error:
            # Rotated since this process began, which is told better than "damaged".
            with self._database.reading() as connection:
                self._require_current(connection)
            raise KeyDamagedError(f"the key of {what} is damaged") from error

    def _remember(self, room: str, date: str, key: bytes) -> bytes:
        with self._lock:
            while len(self._cache) >= _CACHED_DAYS:
                del self._cache[next(iter(self._cache))]
            self._cache[room, date] = _Cached(key, self._clock_s() + CACHE_S)
        return key

    # --- destruction ---

    def retain(self, secrets: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Keep `(object name, salt, secret)`s beyond their day's key; durable on return, idempotent."""
        wanted = {(name, salt): secret for name, salt, secret in secrets}
        if not wanted:
            return
        names = sorted({name for name, _ in wanted})
        with self._database.transaction() as connection:
            self._require_current(connection)
            for start in range(0, len(names), _BATCH):
                known = select(retained_key.c.object_name, retained_key.c.salt).where(
                    retained_key.c.object_name.in_(names[start : start + _BATCH])
                )
                for row in connection.execute(known):
                    wanted.pop((row.object_name, bytes(row.salt)), None)
            rows = [
                {
                    "object_name": name,
                    "salt": salt,
                    "room": room_day_of(name)[0],
                    "date": room_day_of(name)[1],
                    "wrapped": self._master.wrap(secret),
                    "created_us": now_us(),
                }
                for (name, salt), secret in wanted.items()
            ]
            if rows:
                connection.execute(insert(retained_key), rows)

    def destroy(self, room: str, date: str, keep: Iterable[str], at_us: int) -> bool:
        """The room-day's key is gone durably on return, and its retained keys but those of objects in `keep`.

        It is never made again, even where there was none. Idempotent; whether anything was destroyed.
        """
        kept = set(keep)
        day = (room_day_key.c.room == room) & (room_day_key.c.date == date)
        of_day = (retained_key.c.room == room) & (retained_key.c.date == date)
        with self._lock:
            self._cache.pop((room, date), None)
        with self._database.transaction() as connection:
            # The order of every writer here: the master row first.
            self._require_current(connection)
            row = connection.execute(_of_day(room, date)).first()
            if row is None:
                connection.execute(insert(room_day_key).values(room=room, date=date, destroyed_us=at_us))
            elif row.wrapped is not None:
                connection.execute(update(room_day_key).where(day).values(wrapped=None, destroyed_us=at_us))
            names = set(connection.execute(select(retained_key.c.object_name).where(of_day)).scalars())
            dropped = sorted(names - kept)
            for start in range(0, len(dropped), _BATCH):
                batch = dropped[start : start + _BATCH]
                connection.execute(delete(retained_key).where(retained_key.c.object_name.in_(batch)))
        with self._lock:
            # Read again by another thread before the commit.
            self._cache.pop((room, date), None)
        return bool(dropped) or (row is not None and row.wrapped is not None)

    def retained(self, room: str, date: str) -> set[str]:
        """Names of the room-day's objects that have a retained key. Raises DatabaseError."""
        of_day = (retained_key.c.room == room) & (retained_key.c.date == date)
        with self._database.reading() as connection:
            return set(connection.execute(select(retained_key.c.object_name).where(of_day)).scalars())

    def destroyed(self) -> dict[tuple[str, str], int]:
        """`(room, date)` of every day whose key was destroyed → when."""
        gone = select(room_day_key).where(room_day_key.c.destroyed_us.is_not(None))
        with self._database.reading() as connection:
            return {(row.room, row.date): row.destroyed_us for row in connection.execute(gone)}

    def days(self) -> set[tuple[str, str]]:
        """`(room, date)` of every day of which a key, its own or a retained one, is left."""
        live = select(room_day_key.c.room, room_day_key.c.date).where(room_day_key.c.wrapped.is_not(None))
        retained = select(retained_key.c.room, retained_key.c.date).distinct()
        with self._database.reading() as connection:
            return {(room, date) for each in (live, retained) for room, date in connection.execute(each)}

    # --- the master key ---

    def rotate(self, new: MasterKey, at_us: int, before_commit: Callable[[], None] = lambda: None) -> int:
        """Wrap every key anew, in one transaction: all by the old key or all by `new`; how many.

        `before_commit` is called with all of it written. Where `new` is in force already (an earlier call,
        cut off after its commit), nothing is done: 0.
        """
        with self._database.transaction() as connection:
            in_force = connection.execute(select(master.c.check_value).with_for_update()).scalar_one()
            if new.is_of(in_force):
                self._master = new
                return 0
            self._require_current(connection)
            days = connection.execute(select(room_day_key).where(room_day_key.c.wrapped.is_not(None))).all()
            for row in days:
                at = (room_day_key.c.room == row.room) & (room_day_key.c.date == row.date)
                wrapped = new.wrap(self._master.unwrap(row.wrapped))
                connection.execute(update(room_day_key).where(at).values(wrapped=wrapped))
            kept = connection.execute(select(retained_key)).all()
            for row in kept:
                at = (retained_key.c.object_name == row.object_name) & (retained_key.c.salt == row.salt)
                wrapped = new.wrap(self._master.unwrap(row.wrapped))
                connection.execute(update(retained_key).where(at).values(wrapped=wrapped))
            connection.execute(update(master).values(check_value=new.check_value, rotated_us=at_us))
            before_commit()
        self._master = new
        return len(days) + len(kept)

    def close(self) -> None:
        with self._lock:
            self._cache.clear()
        self._database.dispose()


def is_begun(database: KeyDatabase) -> bool:
    """Whether keys were ever made there. Raises DatabaseError."""
    with database.reading() as connection:
        return connection.execute(select(master.c.id)).first() is not None


def _of_day(room: str, date: str) -> Select[Any]:
    return select(room_day_key).where(room_day_key.c.room == room, room_day_key.c.date == date)
