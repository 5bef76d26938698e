"""A commit that a process wrote and did not live to sync: the next process takes it for done, so it must be
durable before anybody is told.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest
from sqlalchemy import text

from archive.database import Database, DatabaseError


@pytest.fixture
def died(tmp_path):
    """The files of a database as a process leaves them that was killed right after its commit."""
    living = Database(f"sqlite:///{tmp_path / 'living.sqlite'}")
    with living.transaction() as session:
        session.execute(text("CREATE TABLE told (id INTEGER)"))
        session.execute(text("INSERT INTO told VALUES (1)"))
    for suffix in ("", "-wal"):
        shutil.copy(f"{tmp_path / 'living.sqlite'}{suffix}", f"{tmp_path / 'died.sqlite'}{suffix}")
    living.dispose()
    return tmp_path / "died.sqlite"


def test_what_the_log_told_is_in_the_main_file_and_the_log_is_empty(died):
    database = Database(f"sqlite:///{died}")
    with database.reading():
        database.settle()
    # The log of this very moment; that the last connection's end empties it too is not meant.
    wal = died.with_name("died.sqlite-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    alone = died.with_name("alone.sqlite")
    shutil.copy(died, alone)
    with contextlib.closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("SELECT id FROM told").fetchall() == [(1,)]
    database.dispose()


def test_a_database_that_cannot_be_settled_is_refused(tmp_path):
    path = tmp_path / "rubbish.sqlite"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(DatabaseError, match="durable"):
        Database(f"sqlite:///{path}").settle()
