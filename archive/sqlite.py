"""What the index and the keys, each in an SQLite file of its own, have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

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
    writing = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
