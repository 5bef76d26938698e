"""What is PostgreSQL's own: how it is connected to, what a server must be, and its advisory locks.

Writing transactions are READ COMMITTED: every decision here locks rows first and reads after, and
those reads must see what the lock waited for. A snapshot taken before the wait (REPEATABLE READ)
would not, and would fail with a serialization error instead. So there is nothing to retry: locks are
taken in one order (`serialise`, room-days sorted, requests, holds, the custody head), which leaves no
deadlock between writers that keep to it; one that PostgreSQL breaks all the same is an error of that
one transaction, which has then written nothing. Readers get a REPEATABLE READ READ ONLY snapshot.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, false, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import InstrumentedAttribute, Session

OLDEST_VERSION = 15
# Connections that are kept, and more that may be opened. The web framework's thread pool has 40 threads,
# each with one transaction at a time; keys are asked for seldom and briefly. Two server processes with index
# and keys on one PostgreSQL take at most 2 x (40 + 8) = 96 of the 97 connections that it gives by default.
INDEX_POOL, KEYS_POOL = (10, 30), (2, 6)
# As long as SQLite's busy_timeout: a writer waits for others, but not for one that hangs.
LOCK_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 10
# A server whose machine is gone is noticed within 10 + 3 x 5 s instead of two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_FACTS = text(
    "SELECT CAST(current_setting('server_version_num') AS integer), current_setting('server_encoding'), "
    "'B' < 'a', current_setting('synchronous_commit')"
)
_CREATE = "createdb --template=template0 --encoding=UTF8 --locale=C.UTF-8 NAME"


def engine_options(url: URL, pool: tuple[int, int] = INDEX_POOL) -> dict[str, Any]:
    """Arguments of create_engine. What the URL's own `options` say is kept, and comes before ours."""
    pool_size, max_overflow = pool
    given = url.query.get("options", "")
    own = f"-c lock_timeout={LOCK_TIMEOUT_S}s"
    return {
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        # A connection that was lost while it lay in the pool costs nobody's request.
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "protokol",
            "options": f"{own} {given if isinstance(given, str) else ' '.join(given)}".strip(),
            **_KEEPALIVES,
        },
    }


def shown(url: URL) -> str:
    """The URL for people: without password, and without parameters, for one of them may be a password."""
    return url.set(
        query={name: url.query[name] for name in ("host", "port") if name in url.query}
    ).render_as_string()


def unfit(connection: Connection) -> str:
    """Why this server or database will not do, or nothing.

    The order of text is the order of code points everywhere else in the program, and locks are taken
    in it: another collation would let two transactions lock the same rooms in two orders.
    """
    version, encoding, by_code_point, synchronous_commit = connection.execute(_FACTS).one()
    if version < OLDEST_VERSION * 10_000:
        return f"PostgreSQL {version // 10_000} is too old; {OLDEST_VERSION} or newer is needed"
    if encoding != "UTF8":
        return f"the database's encoding is {encoding}, not UTF8; make it with: {_CREATE}"
    if not by_code_point:
        return f"the database does not sort text by code point; make it with: {_CREATE}"
    if synchronous_commit == "off":
        return "synchronous_commit is off: what is acknowledged would not survive a power cut; set it to on"
    return ""


def advice(reason: str) -> str:
    """What to do about a failure to connect, by what the server said."""
    if "does not exist" in reason and "database" in reason:
        return f"; make it with: {_CREATE}"
    if "authentication failed" in reason or "no password supplied" in reason:
        return "; check the user and the password in PROTOKOL_DATABASE_URL"
    return ""


def lock_migration(connection: Connection) -> None:
    """Until the transaction ends no other process migrates; waits as long as that takes."""
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("migration")})


def serialise(session: Session, what: str) -> None:
    """One transaction at a time does `what`, until it ends. Where a transaction wants this, it is its
    first lock, and its only one of this kind. On SQLite every writer has that already.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(what)})


def count_on(session: Session, key: InstrumentedAttribute[int]) -> None:
    """After rows were inserted with keys of their own: the next one that is not given a key takes the one
    after the greatest. SQLite counts from the rows.
    """
    if session.get_bind().dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(key.class_.__tablename__, key.key)
        greatest = select(func.coalesce(func.max(key), 0) + 1).scalar_subquery()
        # false: the number is the next one itself.
        session.execute(select(func.setval(sequence, greatest, false())))


def _key(what: str) -> int:
    """PostgreSQL's advisory locks are signed 64-bit numbers, of the whole database."""
    return int.from_bytes(hashlib.sha256(f"protokol {what}".encode()).digest()[:8], "big", signed=True)
