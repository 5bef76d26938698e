"""Two writers of one SQLite file: who waits, for how long, and what is told to whom waits in vain."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError, OperationalError

from archive import sqlite


@pytest.fixture
def file(tmp_path):
    return tmp_path / "index.sqlite"


@pytest.fixture(params=[300])
def writer(file, request):
    """Patient for so many milliseconds."""
    engine = create_engine(f"sqlite:///{file}")
    sqlite.prepare(engine, ("journal_mode=WAL", f"busy_timeout={request.param}"))
    yield engine.execution_options(**{sqlite.WRITE: True})
    engine.dispose()


@pytest.fixture
def other(file, writer):
    """Another process's connection, with the write lock."""
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE one (number INTEGER)")
    found = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    found.execute("BEGIN IMMEDIATE")
    yield found
    found.close()


def test_who_waits_in_vain_is_told_so_and_is_as_patient_again(writer, other):
    with writer.connect() as connection:
        for _ in range(2):
            with pytest.raises(OperationalError, match="locked"):
                connection.begin()
            assert connection.connection.driver_connection.execute("PRAGMA busy_timeout").fetchone() == (300,)
        other.execute("ROLLBACK")
        with connection.begin():
            connection.exec_driver_sql("INSERT INTO one VALUES (1)")
    assert other.execute("SELECT number FROM one").fetchall() == [(1,)]


@pytest.mark.parametrize("writer", [30_000], indirect=True)
def test_who_waits_gets_in_when_the_other_is_done(writer, other):
    done = threading.Timer(0.1, other.execute, ("COMMIT",))
    done.start()
    with writer.begin() as connection:
        connection.exec_driver_sql("INSERT INTO one VALUES (1)")
    done.join()
    assert other.execute("SELECT number FROM one").fetchall() == [(1,)]


def test_a_file_that_is_no_database_is_told_as_every_other_failure(file):
    """Nobody above looks for the driver's own errors."""
    file.write_bytes(b"no database at all" * 300)
    engine = create_engine(f"sqlite:///{file}")
    sqlite.prepare(engine, ("busy_timeout=300",))
    writer = engine.execution_options(**{sqlite.WRITE: True})
    with pytest.raises(DatabaseError, match="not a database"), writer.begin():
        pass
    engine.dispose()


def test_readers_wait_for_nobody(writer, other):
    with writer.execution_options(**{sqlite.WRITE: False}).begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM one").scalar_one() == 0
