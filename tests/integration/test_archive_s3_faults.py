"""What an S3 store's faults cost: nothing that was acknowledged, and a bounded time."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from archive.s3_retries import Patience
from archive.store import ObjectMissingError, StoreAwayError, StoreError
from tests.swift import Swift, open_store, require_swift
from tests.tampering import TamperingProxy

NAME = "108/2026-11-20/0190-abc.mp4"
MIB = 2**20
# The smallest that S3 takes.
PART_BYTES = 5 * MIB
SHORT = Patience(request_s=2, give_up_s=3)
# What the flipped byte is looked for by: the network cuts the stream where it likes.
MARK = b"footage-footage-footage"


@pytest.fixture
def store(swift):
    return open_store(swift, swift.new_bucket(), part_bytes=PART_BYTES)


@pytest.fixture
def fragile(tmp_path):
    """A Swift of the test's own, because it is broken here."""
    require_swift(tmp_path)
    swift = Swift(tmp_path / "swift")
    yield swift
    swift.close()


@pytest.fixture
def proxy(swift):
    proxy = TamperingProxy(swift.endpoint, MARK)
    yield proxy
    proxy.close()


def put(store, name, data):
    writer = store.writer(name)
    for offset in range(0, len(data), 65_536):
        writer.write(data[offset : offset + 65_536])
    writer.commit()


def read(store, name):
    reader = store.open(name)
    try:
        return reader.pread(0, reader.size_bytes)
    finally:
        reader.close()


@pytest.mark.parametrize("size", [2 * PART_BYTES, 2 * PART_BYTES + 1])
def test_a_large_object_goes_in_parts_and_comes_back_whole(store, size):
    data = os.urandom(size)
    put(store, NAME, data)
    assert read(store, NAME) == data
    reader = store.open(NAME)
    assert reader.pread(PART_BYTES - 2, 4) == data[PART_BYTES - 2 : PART_BYTES + 2]
    reader.close()


def test_a_deleted_object_in_parts_leaves_nothing_on_the_disks(swift, store):
    before = swift.files()
    put(store, NAME, os.urandom(2 * PART_BYTES))
    # Two parts and what lists them, three replicas each.
    assert len(swift.files() - before) == 9
    store.delete([NAME])
    assert swift.files() <= before


def test_more_objects_than_one_page_are_all_listed_and_deleted(swift, store):
    names = [f"108/2026-11-20/{number:04}.mp4" for number in range(130)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: put(store, name, b"x"), names))
    store.listed_at_once = 50
    assert list(store.names()) == names
    store.delete(names)
    assert list(store.names()) == []


def test_what_replaces_an_object_is_not_mixed_into_what_is_read(store):
    put(store, NAME, b"old")
    reader = store.open(NAME)
    put(store, NAME, b"new")
    with pytest.raises(StoreError, match=r"0190-abc.*412"):
        reader.pread(0, 3)


def test_a_torn_multipart_upload_is_swept_once_it_is_old(swift, store):
    store.rest.request("POST", store.key(NAME), uploads="")
    # Another server may be at it just now.
    assert store.sweep(alone=True) == 0
    store.unfinished_s = -1
    assert store.sweep(alone=True) == 1
    assert store.sweep(alone=True) == 0


@pytest.mark.parametrize("size", [MIB, PART_BYTES + MIB])
def test_a_byte_that_flips_on_the_way_is_seen_and_sent_again(swift, proxy, size):
    bucket = swift.new_bucket()
    store = open_store(swift, bucket, proxy.endpoint, part_bytes=PART_BYTES)
    data = (MARK * (size // len(MARK) + 1))[:size]
    proxy.flips = 1
    put(store, NAME, data)
    assert proxy.flips == 0
    assert read(store, NAME) == data
    assert list(store.rest.unfinished("")) == []


@pytest.mark.parametrize("size", [MIB, PART_BYTES + MIB])
def test_bytes_that_always_flip_are_never_acknowledged_nor_seen(swift, proxy, size):
    store = open_store(swift, swift.new_bucket(), proxy.endpoint, part_bytes=PART_BYTES, writing=SHORT)
    proxy.flips = 10**9
    with pytest.raises(StoreError, match=f"cannot store {NAME}: .*tried for 3 s"):
        put(store, NAME, (MARK * (size // len(MARK) + 1))[:size])
    with pytest.raises(ObjectMissingError):
        store.open(NAME)
    assert list(store.names()) == []
    assert list(store.rest.unfinished("")) == []


def test_a_hung_store_is_an_error_in_bounded_time(swift, proxy):
    store = open_store(swift, swift.new_bucket(), proxy.endpoint, writing=SHORT, reading=SHORT)
    put(store, NAME, b"x")
    reader = store.open(NAME)
    proxy.hangs = True
    tries = [
        lambda: put(store, "108/2026-11-20/more.mp4", b"x"),
        lambda: reader.pread(0, 1),
        lambda: store.open(NAME),
        lambda: store.delete([NAME]),
        lambda: list(store.names()),
    ]
    with ThreadPoolExecutor(len(tries)) as pool:
        running = [pool.submit(each) for each in tries]
        errors = [each.exception(timeout=60) for each in running]
    assert [type(error) for error in errors] == [StoreAwayError] * len(tries)
    assert all("tried for 3 s" in str(error) for error in errors)
    proxy.hangs = False
    assert read(store, NAME) == b"x"


def test_one_storage_daemon_of_three_killed_loses_nothing(fragile):
    """Objects go in and are read while it dies; what was acknowledged is there, also once it is back."""
    store = open_store(fragile, fragile.new_bucket(), part_bytes=PART_BYTES)
    acknowledged, wrong, stopping = {}, [], threading.Event()

    def keep_writing(worker):
        number = 0
        while not stopping.is_set():
            name, data = f"108/2026-11-20/{worker}-{number}.mp4", os.urandom(200_000)
            put(store, name, data)
            acknowledged[name] = data
            if read(store, name) != data:
                wrong.append(name)
            number += 1

    def reached(count):
        deadline = time.monotonic() + 60
        while len(acknowledged) < count:
            assert time.monotonic() < deadline, f"{len(acknowledged)} objects only"
            time.sleep(0.02)

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(keep_writing, worker) for worker in range(3)]
        try:
            reached(10)
            fragile.kill("object2")
            reached(len(acknowledged) + 20)
            put(store, "108/2026-11-21/large.mp4", large := os.urandom(2 * PART_BYTES))
        finally:
            stopping.set()
        for worker in workers:
            worker.result(60)
    assert wrong == []
    assert {name: read(store, name) for name in acknowledged} == acknowledged
    fragile.start("object2")
    fragile.wait_ready()
    assert {name: read(store, name) for name in acknowledged} == acknowledged
    assert read(store, "108/2026-11-21/large.mp4") == large
    assert {name for name in store.names() if "/2026-11-20/" in name} == set(acknowledged)


def test_a_proxy_that_is_killed_and_comes_back_is_waited_for(fragile):
    store = open_store(fragile, fragile.new_bucket(), part_bytes=PART_BYTES)
    data = os.urandom(4 * PART_BYTES)
    with ThreadPoolExecutor(1) as pool:
        before = fragile.files()
        writing = pool.submit(put, store, NAME, data)
        deadline = time.monotonic() + 60
        while not fragile.files() - before and not writing.done():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        fragile.kill("proxy")
        fragile.start("proxy")
        writing.result(120)
    assert read(store, NAME) == data
    store.unfinished_s = -1
    store.sweep(alone=True)
    assert list(store.rest.unfinished("")) == []


def test_a_proxy_that_stays_away_is_an_error_and_nothing_is_seen(fragile):
    bucket = fragile.new_bucket()
    store = open_store(fragile, bucket, part_bytes=PART_BYTES, writing=SHORT)
    fragile.kill("proxy")
    with pytest.raises(StoreError, match="no connection"):
        put(store, NAME, b"x" * MIB)
    fragile.start("proxy")
    fragile.wait_ready()
    assert list(store.names()) == []
