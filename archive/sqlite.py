"""What the index and the keys, each in an SQLite file of its own, have in common."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

# Who waits for the write lock looks again each 5 ms: within these 8 SQLite sleeps for 1, 2 and 5, after them
# longer and longer, up to 100. A purge, of many short transactions, keeps ingest out for several of them.
_LOOK_MS = 8
# The execution option of an engine whose transactions write.
WRITE = "protokol_write"


def prepare(engine: Engine, pragmas: Sequence[str]) -> None:
    """Every connection of the engine begins with these pragmas, in their order. A writing transaction takes
    the write lock at once: one that reads first and upgrades later could fail with SQLITE_BUSY halfway.
    """

    def connected(connection: Any, record: Any) -> None:
        del record
        # SQLAlchemy's begin event issues BEGIN itself; the driver must not guess transactions.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITE):
        connection.exec_driver_sql("BEGIN")
        return
    driver: Any = connection.connection.driver_connection
    (patience_ms,) = driver.execute("PRAGMA busy_timeout").fetchone()
    until = time.monotonic() + patience_ms / 1000
    driver.execute(f"PRAGMA busy_timeout={min(_LOOK_MS, patience_ms)}")
    try:
        while time.monotonic() < until:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            else:
                return
        # Whatever it is, it is told as SQLAlchemy tells it.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience_ms}")
