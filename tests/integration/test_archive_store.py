"""The contract of every store, raw and sealed; today there is one raw one."""

from __future__ import annotations

import pytest

from archive.key_database import KeyDatabase
from archive.keys import Keys
from archive.local_store import LocalStore
from archive.master_key import MasterKey
from archive.sealed import SealedStore
from archive.store import ObjectMissingError, StoreError, StoreFullError, open_raw_store

NAME = "108/2026-11-20/0190-abc.mp4"


@pytest.fixture
def raw(tmp_path):
    return LocalStore(tmp_path / "footage")


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


def test_nothing_bears_the_name_before_commit_and_nothing_stays_after_abort(store, raw):
    writer = store.writer(NAME)
    writer.write(b"half")
    assert writer.pread(1, 2) == b"al"
    with pytest.raises(ObjectMissingError):
        store.open(NAME)
    assert list(store.names()) == []
    writer.abort()
    writer.abort()
    assert [path for path in raw.root.rglob("*") if path.is_file()] == []


def test_commit_under_another_name_of_the_room_day(store):
    writer = store.writer(NAME)
    writer.write(b"x")
    writer.commit("108/2026-11-20/q-1.refused")
    assert list(store.names()) == ["108/2026-11-20/q-1.refused"]


def test_delete_is_idempotent(store):
    put(store, NAME, b"x")
    store.delete([NAME, "108/2026-11-21/never.mp4"])
    store.delete([NAME])
    assert list(store.names()) == []


def test_leftovers_of_a_crash_are_swept_and_never_listed(store):
    writer = store.writer(NAME)
    writer.write(b"torn")
    assert list(store.names()) == []
    assert store.sweep() == 1
    assert store.sweep() == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "108/x", "/abs/2026/x.mp4", "108/2026-11-20/.hidden"])
def test_a_name_that_is_no_object_name_is_refused(store, name):
    with pytest.raises(StoreError, match="not an object name"):
        store.open(name)


def test_a_foreign_file_is_refused_by_its_header(raw, keys):
    path = raw.root / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(StoreError, match="header"):
        SealedStore(raw, keys).open(NAME)


def test_a_full_disk_is_told_apart_and_leaves_nothing(tiny_disk):
    store = LocalStore(tiny_disk / "footage")
    writer = store.writer(NAME)
    with pytest.raises(StoreFullError):
        writer.write(b"\0" * (8 << 20))
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_an_unknown_kind_of_store_is_named():
    with pytest.raises(StoreError, match="gopher"):
        open_raw_store("gopher://host/x")
