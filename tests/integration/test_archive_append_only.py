"""The database itself refuses to change what proves something, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from archive import checkpoint, custody, custody_check
from archive.custody import Event
from archive.models import Certificate
from recorder.instants import now_us
from tests.attacker import unguard
from tests.footage import make_archive


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def archive(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("guarded")
    if request.param == "sqlite":
        made = make_archive(directory)
        yield filled(made)
        made.close()
        return
    with request.getfixturevalue("postgresql").database() as url:
        made = make_archive(directory, database_url=url)
        yield filled(made)
        made.close()


def filled(archive):
    with archive.database.transaction() as session:
        for number in range(3):
            custody.append(session, Event("tested", "system", number, details={"мова": 'так "\n'}))
        session.add(
            Certificate(id=1, room="108", date="2026-11-20", created_us=1, body="{}", signature="", sha256="")
        )
    checkpoint.make_checkpoint(archive, now_us())
    return archive


def run(archive, statement) -> None:
    with archive.database.transaction() as session:
        session.connection().exec_driver_sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE custody_event SET actor = 'user:9' WHERE sequence = 2",
        "UPDATE custody_event SET sha256 = sha256",
        "DELETE FROM custody_event WHERE sequence = 2",
        "DELETE FROM custody_event",
        "UPDATE custody_head SET sequence = sequence - 1",
        "UPDATE custody_head SET sequence = sequence",
        "UPDATE custody_head SET sequence = sequence + 1",
        "UPDATE custody_head SET sha256 = 'x'",
        "DELETE FROM custody_head",
        "UPDATE custody_checkpoint SET body = '{}'",
        "UPDATE custody_checkpoint SET time_stamp = NULL",
        "UPDATE custody_checkpoint SET time_stamp = '1', date = '2000-01-01'",
        "DELETE FROM custody_checkpoint",
        "UPDATE certificate SET room = '109'",
        "DELETE FROM certificate",
        "INSERT INTO custody_head (id, sequence, sha256) VALUES (1, 0, '')",
        "INSERT INTO certificate SELECT * FROM certificate",
    ],
)
def test_a_change_is_refused(archive, statement):
    with pytest.raises(IntegrityError):
        run(archive, statement)


@pytest.mark.parametrize("table", ["custody_event", "custody_checkpoint", "certificate", "custody_head"])
def test_no_way_around_row_by_row_refusals(archive, table):
    if archive.database.is_sqlite:
        around = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"  # noqa: S608 (names of ours)
    else:
        around = f"TRUNCATE {table}"
    with pytest.raises(IntegrityError, match="append-only"):
        run(archive, around)


def test_a_time_stamp_is_added_once_and_stays(archive):
    number = checkpoint.make_checkpoint(archive, now_us()).number
    assert checkpoint.keep_time_stamp(archive, number, b"\x30first")
    assert not checkpoint.keep_time_stamp(archive, number, b"\x30second")
    checkpoint.publish(archive)
    with pytest.raises(IntegrityError):
        run(archive, "UPDATE custody_checkpoint SET time_stamp = '2'")


def test_the_log_goes_on_and_its_guards_are_looked_for(archive):
    with archive.database.transaction() as session:
        custody.append(session, Event("tested", "system", 9), Event("tested", "system", 10))
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []
    # The bare certificate of this test proves nothing.
    assert {kind for kind, _ in custody_check.check(archive)} == {"certificate"}
    with archive.database.transaction() as session:
        unguard(session)
        told = [line for kind, line in custody_check._guards(session)]
        session.rollback()
    assert len(told) == 12
