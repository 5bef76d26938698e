"""One door to the database: transactions that mean the same on SQLite and PostgreSQL.

On SQLite, writers take the database's write lock at once (`BEGIN IMMEDIATE`): a transaction that
reads first and upgrades later could fail with SQLITE_BUSY halfway. `synchronous=FULL`, because an
acknowledgement must survive a power cut the instant after (NORMAL lost every row in the power-cut
test; FULL costs 0.2 ms a commit). What they are on PostgreSQL, and why: `archive.postgresql`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from archive import disk_errors, postgresql, sqlite
from recorder.errors import ProtokolError

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000")
MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseError(ProtokolError):
    """The database is missing, at another schema version, or cannot be opened."""


class Database:
    """An engine and its two kinds of transaction. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Opens no connection and makes no file. Raises DatabaseError for a URL that names no database."""
        self.url = url
        try:
            parsed = make_url(url)
        except SQLAlchemyError as error:
            raise DatabaseError(
                "DATABASE_URL names no database; write it as sqlite:////var/lib/protokol/archive.sqlite"
            ) from error
        self._shown = postgresql.shown(parsed)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if not self.is_sqlite and parsed.drivername not in {"postgresql", "postgresql+psycopg"}:
            raise DatabaseError(
                f"DATABASE_URL names {parsed.drivername}; the databases are sqlite and postgresql+psycopg"
            )
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database else None
        try:
            engine = create_engine(
                parsed if self.is_sqlite else parsed.set(drivername="postgresql+psycopg"),
                # Errors are logged, and rows bear names, addresses and digests of passwords.
                hide_parameters=True,
                **(
                    {"connect_args": {"timeout": 30}} if self.is_sqlite else postgresql.engine_options(parsed)
                ),
            )
        except (SQLAlchemyError, ImportError) as error:
            raise DatabaseError(f"cannot open the database {self._shown}: {error}") from error
        if self.is_sqlite:
            sqlite.prepare(engine, _PRAGMAS)
            self.engine, self._writer = engine, engine.execution_options(**{sqlite.WRITE: True})
        else:
            self.engine = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writer = engine.execution_options(isolation_level="READ COMMITTED")
        self.on_failed_sync: Callable[[], None] = disk_errors.nothing_more

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A writing transaction: committed (and durable) on leaving, rolled back on any exception.

        Raises DatabaseFullError. `on_failed_sync` is called before the error of a sync is raised.
        """
        failing = disk_errors.told_apart(self.on_failed_sync)
        with failing, Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent snapshot; nothing written in it is kept. Rows read in it stay readable after it."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
            # A rollback would expire the rows; detached first, they keep their values.
            session.expunge_all()
            session.rollback()

    def migrate(self) -> None:
        """Bring the schema to this version's head, making the database where there is none. Idempotent;
        safe when two processes do it at once. Raises DatabaseError.
        """
        with self._opening():
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._writer.begin() as connection:
                self._require_fit(connection)
                if not self.is_sqlite:
                    postgresql.lock_migration(connection)
                command.upgrade(self._alembic(connection), "head")

    def settle(self) -> None:
        """What it tells is durable on return, whatever died while writing. Raises DatabaseError."""
        if self.file is not None:
            try:
                disk_errors.settle(self.file)
            except (sqlite3.Error, OSError) as error:
                raise DatabaseError(f"cannot make the database {self._shown} durable: {error}") from error

    def require_current_schema(self) -> None:
        """Raises DatabaseError unless the database is there and its schema exactly this version's."""
        head = ScriptDirectory.from_config(self._alembic()).get_current_head()
        found = None
        # Connecting would make the file: a mistyped DATA_DIR must not look like an empty archive.
        if self.file is None or self.file.exists():
            with self._opening(), self.engine.connect() as connection:
                self._require_fit(connection)
                found = MigrationContext.configure(connection).get_current_revision()
        if found != head:
            raise DatabaseError(
                f"the database {self._shown} is at schema {found or 'none'}, this version needs {head}; "
                "run `protokol archive migrate`"
            )

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            hint = "" if self.is_sqlite else postgresql.advice(reason)
            raise DatabaseError(f"cannot open the database {self._shown}: {reason}{hint}") from error

    def _require_fit(self, connection: Connection) -> None:
        if not self.is_sqlite and (reason := postgresql.unfit(connection)):
            raise DatabaseError(f"the database {self._shown} cannot be used: {reason}")

    def _alembic(self, connection: Connection | None = None) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        return config

    def dispose(self) -> None:
        self.engine.dispose()
