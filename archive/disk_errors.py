"""What a database on a full or failing disk means for whoever wrote into it.

SQLite tells "full" and "the sync failed" in the number of its error; PostgreSQL looks after its own disk
and tells "full" in its SQLSTATE.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from recorder.errors import ProtokolError

_PRIMARY = 0xFF
_FAILED_SYNCS = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}
_POSTGRESQL_DISK_FULL = "53100"


class DatabaseFullError(ProtokolError):
    """The database has no room left; the transaction was rolled back whole."""


def nothing_more() -> None:
    """Commands end with their error anyway."""


@contextlib.contextmanager
def told_apart(on_failed_sync: Callable[[], None]) -> Iterator[None]:
    """Around a writing transaction. Raises DatabaseFullError in place of the driver's error.

    A failed sync is told first: the kernel forgets it with the telling, and would say of the next sync of
    the same file that all is well. No further promise may rest on this process's open files.
    """
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", None) or 0
        full = code & _PRIMARY == sqlite3.SQLITE_FULL
        if full or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DISK_FULL:
            raise DatabaseFullError("the database has no room left; free space on its disk") from error
        if code in _FAILED_SYNCS:
            on_failed_sync()
        raise


def settle(file: Path) -> None:
    """What a SQLite database tells is durable on return. Raises sqlite3.Error, OSError.

    A process that died between writing its commit and syncing it leaves a commit that the next one takes
    for done. An agent that asks again would be told "accepted, again", on the ground of what only the
    page cache holds. Hence everything is written anew into the main file, and that is synced.
    """
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            # Somebody reads an older state of it: then the log itself.
            with file.with_name(f"{file.name}-wal").open("rb") as log:
                os.fsync(log.fileno())
