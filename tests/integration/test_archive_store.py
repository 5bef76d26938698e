"""The contract of every store: a directory and S3, raw and sealed; then what a directory alone can show."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from archive.key_database import KeyDatabase
from archive.keys import Keys
from archive.local_store import LocalStore
from archive.master_key import MasterKey
from archive.sealed import SealedStore
from archive.store import (
    NotAtHandError,
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreFullError,
    open_raw_store,
)
from recorder.settings import Settings
from tests.swift import open_store

NAME = "108/2026-11-20/0190-abc.mp4"


@pytest.fixture
def local(tmp_path):
    return LocalStore(tmp_path / "footage")


@pytest.fixture(params=["local", "s3"])
def raw(request):
    if request.param == "local":
        return request.getfixturevalue("local")
    swift = request.getfixturevalue("swift")
    return open_store(swift, swift.new_bucket())


@pytest.fixture
def keys(tmp_path):
    database = KeyDatabase(f"sqlite:///{tmp_path / 'keys.sqlite'}")
    database.create()
    keys = Keys(database, MasterKey(b"m" * 32))
    yield keys
    keys.close()


@pytest.fixture(params=["raw", "sealed"])
def store(request, raw, keys):
    return raw if request.param == "raw" else SealedStore(raw, keys)


def put(store, name, *pieces):
    writer = store.writer(name)
    for piece in pieces:
        writer.write(piece)
    writer.commit()


def test_what_was_committed_is_read_back_by_payload_offsets(store):
    put(store, NAME, b"abc", b"defg")
    reader = store.open(NAME)
    assert reader.size_bytes == 7
    assert reader.pread(2, 3) == b"cde"
    assert reader.pread(5, 100) == b"fg"
    reader.close()
    assert list(store.names()) == [NAME]


def test_who_may_not_wait_gets_the_same_bytes_or_is_told_to(store):
    content = bytes(range(256)) * 1000
    put(store, NAME, content)
    reader = store.open(NAME)
    for offset, length in ((0, 10), (70_000, 150_000), (200_000, 10**6)):
        try:
            found = reader.pread_at_hand(offset, length)
        except NotAtHandError:
            found = None
        assert found in (None, content[offset : offset + length])
        assert reader.pread(offset, length) == content[offset : offset + length]
    reader.close()


def test_an_object_without_payload_is_one(store):
    put(store, NAME)
    reader = store.open(NAME)
    assert (reader.size_bytes, reader.pread(0, 10)) == (0, b"")
    reader.close()


def test_reading_past_the_end_gives_what_there_is(store):
    put(store, NAME, b"abc")
    reader = store.open(NAME)
    assert (reader.pread(3, 1), reader.pread(100, 1), reader.pread(1, 0)) == (b"", b"", b"")
    reader.close()


def test_nothing_bears_the_name_before_commit_and_nothing_after_abort(store):
    writer = store.writer(NAME)
    writer.write(b"half")
    assert writer.pread(1, 2) == b"al"
    with pytest.raises(ObjectMissingError):
        store.open(NAME)
    assert list(store.names()) == []
    writer.abort()
    writer.abort()
    assert list(store.names()) == []
    assert store.sweep(alone=True) == 0


def test_a_second_object_of_the_same_name_takes_its_place(store):
    put(store, NAME, b"old and longer")
    put(store, NAME, b"new")
    reader = store.open(NAME)
    assert reader.pread(0, 100) == b"new"
    reader.close()
    assert list(store.names()) == [NAME]


def test_a_missing_object_is_told_apart(store):
    with pytest.raises(ObjectMissingError, match="0190-abc"):
        store.open(NAME)


def test_names_are_sorted_by_their_characters(store):
    names = ["108-a/2026-11-20/x.mp4", "108/2026-11-20/b.mp4", "108/2026-11-20/a.mp4", "2/2026-01-01/x.mp4"]
    for name in names:
        put(store, name, b"x")
    assert list(store.names()) == sorted(names)


def test_writers_and_readers_work_side_by_side(store):
    names = [f"108/2026-11-20/{number}.mp4" for number in range(12)]

    def both(name):
        put(store, name, name.encode() * 10_000)
        reader = store.open(name)
        try:
            return reader.pread(0, reader.size_bytes) == name.encode() * 10_000
        finally:
            reader.close()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, names))
    assert list(store.names()) == sorted(names)


def test_commit_under_another_name_of_the_room_day(store):
    writer = store.writer(NAME)
    writer.write(b"x")
    writer.commit("108/2026-11-20/q-1.refused")
    assert list(store.names()) == ["108/2026-11-20/q-1.refused"]


def test_the_names_of_one_directory_are_those_that_begin_with_it(store):
    names = ["108/2026-11-20/a.mp4", "108/2026-11-20/b.gap", "108/2026-11-2/a.mp4", "228-a/2026-11-20/a.mp4"]
    for name in names:
        put(store, name, b"x")
    assert list(store.names("108/2026-11-20")) == names[:2]
    assert list(store.names("108/2026-11-21")) == []


def test_delete_is_idempotent(store):
    put(store, NAME, b"x")
    store.delete([NAME, "108/2026-11-21/never.mp4"])
    store.delete([NAME])
    assert list(store.names()) == []


def test_what_a_crash_left_is_never_listed_and_swept_once(store):
    writer = store.writer(NAME)
    writer.write(b"torn")
    assert list(store.names()) == []
    store.sweep(alone=True)
    assert store.sweep(alone=True) == 0
    assert list(store.names()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "108/x", "/abs/2026/x.mp4", "108/2026-11-20/.hidden"])
def test_a_name_that_is_no_object_name_is_refused(store, name):
    with pytest.raises(StoreError, match="not an object name"):
        store.open(name)
    with pytest.raises(StoreError, match="not an object name"):
        store.writer(name)
    with pytest.raises(StoreError, match="not an object name"):
        store.delete([name])


def test_a_foreign_object_is_refused_by_its_header(raw, keys):
    put(raw, NAME, b"\0" * 100)
    with pytest.raises(StoreError, match="header"):
        SealedStore(raw, keys).open(NAME)


def test_a_crash_leaves_one_file_of_a_writer_in_a_directory_and_it_is_swept(local):
    local.writer(NAME).write(b"torn")
    assert local.sweep(alone=True) == 1
    assert [path for path in local.root.rglob("*") if path.is_file()] == []


def test_while_others_write_only_what_is_a_day_old_is_swept(local):
    young, old = local.writer(NAME), local.writer(NAME)
    old.write(b"torn")
    day_ago = time.time() - 25 * 3600
    os.utime(old._temporary, (day_ago, day_ago))
    assert local.sweep(alone=False) == 1
    young.write(b"whole")
    young.commit()
    assert [path.name for path in local.root.rglob("*") if path.is_file()] == [NAME.rpartition("/")[2]]


def test_a_deletion_that_is_not_durable_is_an_error(local, monkeypatch):
    """A certificate would be signed for what a power cut brings back."""
    put(local, NAME, b"x")

    def failing(directory):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("archive.local_store.sync_directory", failing)
    with pytest.raises(StoreError, match="durable: Input/output error"):
        local.delete([NAME])


def test_a_directory_that_is_gone_is_a_store_that_is_away(local):
    """Its disk is not mounted: what is written now would lie below the mount point."""
    put(local, NAME, b"x")
    local.root.rename(local.root.with_name("elsewhere"))
    for attempt in (
        lambda: local.open(NAME),
        lambda: local.writer(NAME),
        lambda: local.delete([NAME]),
        lambda: list(local.names()),
    ):
        with pytest.raises(StoreAwayError, match="mounted"):
            attempt()
    assert not local.root.exists()


def test_a_full_disk_is_told_apart_and_leaves_nothing(tiny_disk):
    store = LocalStore(tiny_disk / "footage")
    writer = store.writer(NAME)
    with pytest.raises(StoreFullError):
        writer.write(b"\0" * (8 << 20))
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_an_unknown_kind_of_store_is_named(tmp_path):
    with pytest.raises(StoreError, match="gopher"):
        open_raw_store(Settings(data_dir=tmp_path, store_url="gopher://host/x"))


def test_a_file_is_at_hand_as_long_as_it_is_in_memory(local):
    put(local, NAME, b"x" * 300_000)
    reader = local.open(NAME)
    assert len(reader.pread(0, 300_000)) == 300_000
    try:
        at_hand = reader.pread_at_hand(100_000, 200_000)
    except NotAtHandError:
        pytest.skip("this file system cannot tell what is in memory")
    assert at_hand == b"x" * 200_000
    assert reader.pread_at_hand(299_999, 5) == b"x"
    assert reader.pread_at_hand(300_000, 5) == b""
    with (local.root / NAME).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with pytest.raises(NotAtHandError):
        reader.pread_at_hand(100_000, 200_000)
    assert reader.pread(100_000, 200_000) == b"x" * 200_000
    reader.close()


def test_what_a_sealed_object_gave_stays_when_more_is_read_of_it(archive):
    plain = os.urandom(600_000)
    writer = archive.store.writer(NAME)
    writer.write(plain)
    writer.commit()
    reader = archive.store.open(NAME)
    first = reader.pread(0, 200_000)
    assert reader.pread(300_000, 200_000) == plain[300_000:500_000]
    assert first == plain[:200_000]
    reader.close()
