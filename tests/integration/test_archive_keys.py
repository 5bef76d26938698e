"""Keys: made once, wrapped, found again, destroyed without a trace, wrapped anew."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from archive.check import ADVICE, check
from archive.cipher import object_secret
from archive.database import DatabaseError
from archive.key_database import KeyDatabase, retained_key, room_day_key
from archive.keys import CACHE_S, KeyDamagedError, KeyGoneError, Keys
from archive.keys_cli import rotate
from archive.master_key import MasterKey, make_master_key, read_master_key
from archive.models import CustodyEvent
from archive.system import Archive
from recorder.errors import ConfigurationError
from recorder.settings import Settings
from tests.footage import FakeAgent, make_archive

DAY = ("108", "2026-11-20")
NAME, SALT = "108/2026-11-20/a.mp4", b"s" * 32
OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
SECOND = 1_000_000
START = 1_795_190_400 * SECOND  # 2026-11-20 18:00 in Kyiv


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'keys.sqlite'}"


def open_keys(url, key=OLD, **options):
    database = KeyDatabase(url)
    database.create()
    return Keys(database, key, **options)


def files(tmp_path):
    return b"".join(path.read_bytes() for path in tmp_path.glob("keys.sqlite*"))


def test_a_days_key_is_made_once_and_kept(url):
    first = open_keys(url).writing_key(*DAY)
    again = open_keys(url)
    assert again.writing_key(*DAY) == first
    assert again.writing_key("108", "2026-11-21") != first
    assert again.secret(NAME, SALT) == object_secret(first, SALT, *DAY)


def test_many_that_begin_a_day_at_once_get_one_key(url):
    many = [open_keys(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda keys: keys.writing_key(*DAY), many))) == 1


def test_reading_makes_no_key(url):
    with pytest.raises(KeyGoneError, match="not in the key database"):
        open_keys(url).secret(NAME, SALT)


def test_another_master_key_is_refused(url):
    open_keys(url)
    with pytest.raises(ConfigurationError, match="another master key"):
        open_keys(url, NEW)


def test_a_destroyed_day_is_never_given_a_key_again(url):
    keys = open_keys(url)
    keys.writing_key(*DAY)
    assert keys.destroy(*DAY, [], 1)
    assert not keys.destroy(*DAY, [], 2)
    keys.destroy("108", "2026-11-21", [], 1)
    for date in ("2026-11-20", "2026-11-21"):
        with pytest.raises(KeyGoneError):
            keys.writing_key("108", date)
    assert keys.days() == set()


def test_a_retained_key_opens_its_object_until_it_is_dropped(url):
    keys = open_keys(url)
    keys.writing_key(*DAY)
    secret = keys.secret(NAME, SALT)
    for _ in range(2):
        keys.retain([(NAME, SALT, secret)])
    keys.destroy(*DAY, [NAME], 1)
    assert keys.secret(NAME, SALT) == secret
    for name, salt in ((NAME, b"t" * 32), ("108/2026-11-20/b.mp4", SALT)):
        with pytest.raises(KeyGoneError):
            keys.secret(name, salt)
    assert keys.days() == {DAY}
    keys.destroy(*DAY, [], 2)
    with pytest.raises(KeyGoneError):
        keys.secret(NAME, SALT)
    assert keys.days() == set()


def test_another_process_sees_a_destruction_within_the_caches_time(url):
    now_s = [0.0]
    other = open_keys(url, clock_s=lambda: now_s[0])
    other.writing_key(*DAY)
    open_keys(url).destroy(*DAY, [], 1)
    now_s[0] = CACHE_S
    with pytest.raises(KeyGoneError):
        other.secret(NAME, SALT)
    with pytest.raises(KeyGoneError):
        other.writing_key(*DAY)


def test_what_was_destroyed_is_nowhere_in_the_files_though_a_reader_was_at_work(url, tmp_path):
    keys = open_keys(url)
    for day in range(1, 29):
        keys.writing_key("108", f"2026-11-{day:02}")
        keys.retain([(f"108/2026-11-{day:02}/a.mp4", SALT, bytes([day]) * 32)])
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as look:
        days = "SELECT wrapped FROM room_day_key WHERE date <> '2026-11-05'"
        gone = [row[0] for row in look.execute("SELECT wrapped FROM room_day_key WHERE date = '2026-11-05'")]
        gone += [row[0] for row in look.execute("SELECT wrapped FROM retained_key WHERE date = '2026-11-05'")]
        left = [row[0] for row in look.execute(days)]
    assert len(gone) == 2
    assert all(each in files(tmp_path) for each in gone)

    reader = sqlite3.connect(tmp_path / "keys.sqlite", check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM room_day_key").fetchall()
    # The destruction waits for the reader, as its end is what lets it be true.
    released = threading.Timer(0.3, reader.rollback)
    released.start()
    keys.destroy("108", "2026-11-05", [], 1)
    released.join()
    found = files(tmp_path)
    assert not any(each in found for each in gone)
    assert all(each in found for each in left)
    reader.close()


def test_rotation_wraps_everything_anew_and_leaves_the_keys_as_they_are(url, tmp_path):
    keys, behind = open_keys(url), open_keys(url)
    key = keys.writing_key(*DAY)
    keys.writing_key("116", "2026-11-20")
    keys.destroy("116", "2026-11-20", [], 1)
    secret = keys.secret(NAME, SALT)
    keys.retain([(NAME, SALT, secret)])
    assert keys.rotate(NEW, 2) == 2
    assert keys.rotate(NEW, 3) == 0
    assert keys.writing_key("108", "2026-11-21")
    with pytest.raises(ConfigurationError, match="another master key"):
        open_keys(url, OLD)
    # A process that did not see it must not wrap a new day's key under the old master key.
    for refused in (
        lambda: behind.writing_key("108", "2026-11-22"),
        lambda: behind.writing_key(*DAY),
        lambda: behind.retain([(NAME, b"t" * 32, secret)]),
    ):
        with pytest.raises(ConfigurationError, match="restart the server"):
            refused()
    new = open_keys(url, NEW)
    assert new.writing_key(*DAY) == key
    new.destroy(*DAY, [NAME], 4)
    assert new.secret(NAME, SALT) == secret


def test_a_rotation_that_fails_midway_leaves_the_old_key_in_force(url):
    keys = open_keys(url)
    keys.writing_key(*DAY)
    keys.retain([(NAME, SALT, b"x" * 32)])
    database = KeyDatabase(url)
    with database.transaction() as connection:
        connection.execute(retained_key.update().values(wrapped=b"damaged " * 5))
    with pytest.raises(ConfigurationError, match="damaged"):
        keys.rotate(NEW, 1)
    again = open_keys(url, OLD)
    with database.reading() as connection:
        wrapped = connection.execute(select(room_day_key.c.wrapped)).scalar_one()
    assert OLD.unwrap(wrapped) == again.writing_key(*DAY)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_master_key_of_another_size_is_refused(tmp_path, size):
    (tmp_path / "key").write_bytes(b"k" * size)
    with pytest.raises(ConfigurationError, match=f"is {size} bytes, a master key is 32"):
        read_master_key(tmp_path / "key")


def test_a_master_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "master.key"
    make_master_key(path)
    first = path.read_bytes()
    make_master_key(path)
    assert path.read_bytes() == first
    assert (len(first), path.stat().st_mode & 0o777) == (32, 0o600)


def test_an_archive_is_not_opened_without_its_master_key(tmp_path):
    make_archive(tmp_path, demo=False).close()
    named = Settings(data_dir=tmp_path, master_key_file=tmp_path / "master.key")
    Archive.open(named).close()
    with pytest.raises(ConfigurationError, match="PROTOKOL_MASTER_KEY_FILE"):
        Archive.open(Settings(data_dir=tmp_path))
    (tmp_path / "master.key").write_bytes(b"another key of 32 bytes in place")
    with pytest.raises(ConfigurationError, match="another master key"):
        Archive.open(named)
    (tmp_path / "master.key").unlink()
    with pytest.raises(ConfigurationError, match="there is no master key"):
        Archive.open(named)


def test_footage_whose_keys_are_lost_is_told_at_the_opening(archive, tmp_path):
    FakeAgent(archive).record(START)
    (tmp_path / "keys.sqlite").unlink()
    with pytest.raises(ConfigurationError, match="restore the key database"):
        Archive.open(archive.settings, migrate=True)


def test_a_rotated_archive_reads_what_it_had_and_tells_the_rotation(archive, tmp_path):
    FakeAgent(archive).record(START)
    (name,) = archive.store.names()
    make_master_key(tmp_path / "new.key")
    assert rotate(archive, read_master_key(tmp_path / "new.key"), "cli:0", START) == 1
    with closing(
        Archive.open(archive.settings.model_copy(update={"master_key_file": tmp_path / "new.key"}))
    ) as anew:
        anew.store.open(name).close()
        with anew.database.reading() as session:
            told = list(session.scalars(select(CustodyEvent.action)))
    assert [each for each in told if "master" in each] == ["master_key_rotation_begun", "master_key_rotated"]


def test_a_damaged_key_is_a_finding_and_not_the_end_of_the_check(archive):
    agent = FakeAgent(archive)
    agent.record(START)
    FakeAgent(archive, "228-a").record(START)
    with archive.store.keys._database.transaction() as connection:
        connection.execute(
            room_day_key.update().where(room_day_key.c.room == "108").values(wrapped=b"damaged " * 5)
        )
    archive.store.keys._cache.clear()
    found = list(check(archive))
    assert [each.kind for each in found] == ["damaged_key"]
    assert "room-day 108" in found[0].what
    assert "restore the key database" in ADVICE["damaged_key"]
    # Nor does anybody seal under a key that is not known.
    with pytest.raises(KeyDamagedError, match="108"):
        agent.record(START + 60 * SECOND)


def test_a_failed_sync_is_told_before_its_error(url):
    """Else a key that no disk has would be read again, and footage be sealed under it."""
    database = KeyDatabase(url)
    database.create()
    keys, told = Keys(database, OLD), []
    keys.on_failed_sync(lambda: told.append(True))

    @event.listens_for(database.engine, "commit")
    def fail(connection):
        if not connection.get_execution_options().get("protokol_write"):
            return
        failed = sqlite3.OperationalError("disk I/O error")
        failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_DIR_FSYNC
        raise OperationalError("COMMIT", {}, failed)

    with pytest.raises(DatabaseError, match="I/O"):
        keys.writing_key(*DAY)
    assert told == [True]


def test_keys_are_kept_in_postgresql_by_the_url_that_the_index_takes(postgresql):
    with postgresql.database() as shown:
        plain = shown.replace("postgresql+psycopg", "postgresql")
        with closing(open_keys(plain)) as keys, closing(open_keys(shown)) as again:
            keys.writing_key(*DAY)
            assert again.days() == {DAY}
        loose = make_url(shown).update_query_dict({"options": "-c synchronous_commit=off"})
        database = KeyDatabase(loose.render_as_string(hide_password=False))
        with pytest.raises(DatabaseError, match="synchronous_commit"):
            database.create()
        database.dispose()


def test_two_servers_of_one_index_do_not_keep_keys_of_their_own_each(tmp_path):
    """What one of them takes in the other could not open, nor destroy the key of."""
    archive = make_archive(tmp_path)
    other = archive.settings.model_copy(update={"keys_url": f"sqlite:///{tmp_path / 'other.sqlite'}"})
    with pytest.raises(ConfigurationError, match="PROTOKOL_KEYS_URL"):
        Archive.open(other, migrate=True)
    Archive.open(archive.settings, migrate=True).close()
    archive.close()
