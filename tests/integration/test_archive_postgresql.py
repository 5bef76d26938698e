"""What PostgreSQL alone can do to the archive: be away, be wrong, lose connections, let two in at once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from archive import custody, room_days, viewing
from archive.database import Database, DatabaseError
from archive.door import Ground
from archive.models import CustodyEvent, RoomDay, Viewing
from archive.system import Archive
from recorder.intervals import Interval
from recorder.settings import Settings
from tests.footage import make_archive


@pytest.fixture
def url(postgresql):
    with postgresql.database() as url:
        yield url


@pytest.fixture
def archive(tmp_path, url):
    archive = make_archive(tmp_path, database_url=url)
    yield archive
    archive.close()


def refusal(url: str) -> str:
    database = Database(url)
    with pytest.raises(DatabaseError) as refused:
        database.require_current_schema()
    database.dispose()
    return str(refused.value)


def test_a_server_that_is_away_is_named_without_the_password():
    said = refusal("postgresql+psycopg://protokol:s3cret@127.0.0.1:9/protokol?application_name=s3cret")
    assert "127.0.0.1:9/protokol" in said
    assert "refused" in said
    assert "s3cret" not in said


def test_a_missing_database_comes_with_the_command_that_makes_it(postgresql):
    assert "createdb --template=template0 --encoding=UTF8 --locale=C.UTF-8" in refusal(postgresql.url("none"))


def test_a_wrong_password_is_never_shown(postgresql, tmp_path):
    postgresql.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
    hba = postgresql.directory / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("local all clerk scram-sha-256\n" + before)
    postgresql.execute("SELECT pg_reload_conf()")
    try:
        said = refusal(f"postgresql+psycopg://clerk:wr0ng@/postgres?host={postgresql.directory}")
    finally:
        hba.write_text(before)
        postgresql.execute("SELECT pg_reload_conf()")
    assert "wr0ng" not in said
    assert "check the user and the password in PROTOKOL_DATABASE_URL" in said


def test_a_database_that_sorts_by_language_is_refused(postgresql):
    postgresql.execute(
        "CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'uk' LOCALE 'C.UTF-8'"
    )
    try:
        assert "does not sort text by code point" in refusal(postgresql.url("sorted"))
    finally:
        postgresql.execute("DROP DATABASE sorted")


def test_an_unknown_kind_of_database_is_refused():
    with pytest.raises(DatabaseError, match="sqlite and postgresql"):
        Database("mysql://somebody@somewhere/protokol")


def test_a_lost_connection_costs_one_transaction(archive, postgresql):
    def backend(session):
        return session.scalar(text("SELECT pg_backend_pid()"))

    def cut_off():
        with archive.database.transaction() as session:
            custody.append(session, custody.Event("never", "system", 9))
            postgresql.execute(f"SELECT pg_terminate_backend({backend(session)})")

    with pytest.raises(DBAPIError):
        cut_off()
    # Lost while it lay in the pool: nobody's error.
    with archive.database.reading() as session:
        lost = backend(session)
    postgresql.execute(f"SELECT pg_terminate_backend({lost})")
    with archive.database.transaction() as session:
        custody.append(session, custody.Event("always", "system", 9))
    with archive.database.reading() as session:
        assert "never" not in session.scalars(select(CustodyEvent.action)).all()
        assert list(custody.verify(session)) == []


def test_reading_is_a_snapshot_and_writes_nothing(archive):
    with archive.database.reading() as session:
        before = session.scalars(select(CustodyEvent.sequence)).all()
        with archive.database.transaction() as other:
            custody.append(other, custody.Event("meanwhile", "system", 9))
        assert session.scalars(select(CustodyEvent.sequence)).all() == before
        with pytest.raises(DBAPIError, match="read-only"):
            session.execute(text("DELETE FROM custody_event"))


def test_a_room_day_that_many_make_at_once_is_made_once_and_none_fails(archive):
    dates = [f"2026-11-{day:02}" for day in range(1, 15)]
    barrier, errors = threading.Barrier(6), []

    def contend(number: int) -> None:
        barrier.wait(30)
        try:
            # Each names them in another order: the lock sorts.
            for _ in range(3):
                with archive.database.transaction() as session:
                    wanted = [
                        (room, date) for date in dates[number:] + dates[:number] for room in ("228-a", "108")
                    ]
                    locked = room_days.lock(session, archive.configurations, wanted)
                    for day in locked.values():
                        day.revision += 1
                    custody.append(session, custody.Event("locked", "system", number))
        except Exception as error:  # noqa: BLE001 (told by the assertion)
            errors.append(error)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    with archive.database.reading() as session:
        assert session.scalars(select(RoomDay.revision)).all() == [18] * 28
        assert list(custody.verify(session)) == []


def test_range_requests_at_once_are_one_viewing_and_every_byte_of_it_counts(archive):
    barrier, interval = threading.Barrier(5), Interval(10, 20)

    def look() -> None:
        barrier.wait(30)
        number = viewing.open_viewing(archive, "user:1", "108", interval, Ground("audit"), 1000)
        viewing.served(archive, number, interval, 7, 1001)

    threads = [threading.Thread(target=look) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with archive.database.reading() as session:
        assert session.scalars(select(Viewing.served_bytes)).all() == [35]


def test_two_servers_that_open_a_new_archive_at_once_publish_one_rooms_file(tmp_path, url):
    make_archive(tmp_path).close()
    barrier, opened = threading.Barrier(2), []
    settings = Settings(data_dir=tmp_path, database_url=url, store_url=str(tmp_path / "new"), demo=True)

    def start() -> None:
        barrier.wait(30)
        # A store of their own: the one there has records of the archive that was made above.
        opened.append(Archive.open(settings))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(opened) == 2
    with opened[0].database.reading() as session:
        assert opened[0].configurations.current(session)[0] == 1
    for each in opened:
        each.close()
