"""The database of keys: its tables, and its two kinds of transaction.

Apart from the index, because what is deleted here must be gone: SQLite keeps a deleted key in the `-wal` file
of a WAL database, and a backup of the index must not be one of the keys. On SQLite a rollback journal that
is deleted with each commit, `secure_delete` (freed bytes are overwritten) and `synchronous=EXTRA` (the
journal's end is durable too, or a power cut could roll a destruction back); on PostgreSQL the same tables.

Three tables and no Alembic: they are made where they are missing, and the `format` of the master row tells a
later version what it has found. A second migration tree would also meet the first one's version table
where both databases are one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    inspect,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from archive import disk_errors, postgresql, sqlite
from archive.database import DatabaseError
from recorder.durable import sync_directory

FORMAT = 1
_PRAGMAS = ("busy_timeout=30000", "journal_mode=DELETE", "secure_delete=ON", "synchronous=EXTRA")

metadata = MetaData()
# One row. `check_value` tells which master key has wrapped the others.
master = Table(
    "key_master",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("check_value", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("rotated_us", BigInteger),
)
# A destroyed key leaves its row without the key, so that it is never made again.
room_day_key = Table(
    "room_day_key",
    metadata,
    Column("room", String(32), primary_key=True),
    Column("date", String(10), primary_key=True),
    Column("wrapped", LargeBinary),
    Column("created_us", BigInteger),
    Column("destroyed_us", BigInteger),
)
# The object secret of one held object, dropped with its last hold. An object that was sent twice at once
# may have one salt and its sample index the other: each is kept.
retained_key = Table(
    "retained_key",
    metadata,
    Column("object_name", String, primary_key=True),
    Column("salt", LargeBinary, primary_key=True),
    Column("room", String(32), nullable=False),
    Column("date", String(10), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index("ix_retained_key_room_date", "room", "date"),
)


class KeyDatabase:
    """An engine and its two kinds of transaction. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Opens no connection and makes no file. Raises DatabaseError for a URL that names no database."""
        try:
            parsed = make_url(url)
            self._is_sqlite = parsed.get_backend_name() == "sqlite"
            if not self._is_sqlite and parsed.drivername not in {"postgresql", "postgresql+psycopg"}:
                raise DatabaseError(
                    f"KEYS_URL names {parsed.drivername}; the databases are sqlite and postgresql+psycopg"
                )
            # Many threads of short transactions: the wait is for another process's commit.
            self.engine = create_engine(
                parsed if self._is_sqlite else parsed.set(drivername="postgresql+psycopg"),
                # They are keys.
                hide_parameters=True,
                **(
                    {"connect_args": {"timeout": 30}}
                    if self._is_sqlite
                    else postgresql.engine_options(parsed, postgresql.KEYS_POOL)
                ),
            )
        except (SQLAlchemyError, ImportError) as error:
            raise DatabaseError(
                "KEYS_URL names no database; write it as sqlite:////var/lib/protokol/keys.sqlite"
            ) from error
        self._shown = postgresql.shown(parsed)
        self._file = Path(parsed.database) if self._is_sqlite and parsed.database else None
        if self._is_sqlite:
            sqlite.prepare(self.engine, _PRAGMAS)
        self._writer = self.engine.execution_options(**{sqlite.WRITE: True})
        self.on_failed_sync: Callable[[], None] = disk_errors.nothing_more

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed, and durable, on leaving; rolled back on any exception. Raises DatabaseError,
        DatabaseFullError. `on_failed_sync` is called before the error of a sync is raised: the key may be
        read again by then, and footage would be sealed under what a power cut takes away.
        """
        failing = disk_errors.told_apart(self.on_failed_sync)
        with self._telling(), failing, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Raises DatabaseError."""
        with self._telling(), self.engine.begin() as connection:
            yield connection

    def create(self) -> None:
        """Make the tables that are missing; two processes at once are one. Raises DatabaseError."""
        if self.exists():
            return
        try:
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                # Before SQLite would make it readable by others; journals take the same mode.
                self._file.touch(mode=0o600)
                sync_directory(self._file.parent)
            with self.transaction() as connection:
                metadata.create_all(connection)
        except OSError as error:
            raise DatabaseError(f"cannot make the key database {self._shown}: {error.strerror}") from error
        except DatabaseError:
            # PostgreSQL: another process was quicker between the look and the making.
            if not self.exists():
                raise

    def settle(self) -> None:
        """What it tells is durable on return, whatever died while writing. Raises DatabaseError.

        A process killed between its commit (the journal's unlinking) and the directory's sync leaves a key
        that the next process reads, and that a power cut takes away: with all that was encrypted under it.
        """
        if self._file is None:
            return
        try:
            with self._file.open("rb") as file:
                os.fsync(file.fileno())
            sync_directory(self._file.parent)
        except OSError as error:
            raise DatabaseError(
                f"cannot make the key database {self._shown} durable: {error.strerror}"
            ) from error

    def exists(self) -> bool:
        """Whether the tables are there. Raises DatabaseError for a database that cannot be opened."""
        # Connecting would make the file.
        if self._file is not None and not self._file.exists():
            return False
        with self.reading() as connection:
            if not self._is_sqlite and (reason := postgresql.unfit(connection)):
                raise DatabaseError(f"the key database {self._shown} cannot be used: {reason}")
            return set(metadata.tables) <= set(inspect(connection).get_table_names())

    def dispose(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # Never str(error): SQLAlchemy shows a statement's parameters, and these are keys.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise DatabaseError(f"the key database {self._shown} failed: {reason}") from None
