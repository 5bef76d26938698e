"""An answer of many pieces: how large they are, who reads them, and what is left when something fails."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fastapi import Request

from archive.local_store import LocalStore
from archive.mp4.layout import Layout
from archive.mp4.sliced import SlicedFile
from archive.store import NotAtHandError, StoreError
from archive.streaming import FIRST_BYTES, PIECE_BYTES
from retrieval_api import sliced_response
from tests.event_loops import run_apart

NAME = "108/2026-11-20/0190-abc.mp4"
CONTENT = bytes(range(256)) * 16_384
FILE = SlicedFile(len(CONTENT), '"1"', b"", Layout([], len(CONTENT), [0], [0], [0]), (NAME,), b"")


class Journal:
    def __init__(self, error=None):
        self.error, self.told, self.opened = error, [], 0

    def open(self):
        self.opened += 1

    def is_due(self):
        return False

    def tell(self, start, end):
        if self.error:
            raise self.error
        self.told.append((start, end))


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "footage")
    writer = store.writer(NAME)
    writer.write(CONTENT)
    writer.commit()
    return store


class ElsewhereReader:
    def __init__(self, reader, reads):
        self._reader, self._reads = reader, reads

    def pread(self, offset, length):
        self._reads.append(length)
        return self._reader.pread(offset, length)

    def pread_at_hand(self, offset, length):
        raise NotAtHandError

    def close(self):
        self._reader.close()


class Elsewhere:
    """As a store behind a network: nothing is ever at hand."""

    def __init__(self, store):
        self._store, self.reads = store, []

    def open(self, name):
        return ElsewhereReader(self._store.open(name), self.reads)


def fetch(store, journal, *, takes_s=0.0, leaves_after=None, file=FILE, sizes=None):
    """The sizes of the pieces that the reader got, who takes so long for each."""
    scope = {"type": "http", "method": "GET", "headers": []}
    answer = sliced_response.answer(Request(scope), store, file, {}, journal)
    sizes, got = sizes if sizes is not None else [], b""

    async def run():
        nonlocal got
        left = anyio.Event()

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            nonlocal got
            piece = message.get("body", b"")
            if piece:
                sizes.append(len(piece))
                got += piece
                if leaves_after is not None and len(sizes) >= leaves_after:
                    left.set()
                await anyio.sleep(takes_s)

        await answer(scope, receive, send)

    run_apart(run())
    assert CONTENT.startswith(got)
    return sizes


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_who_keeps_up_gets_large_pieces_after_a_first_that_is_soon_there(store):
    journal = Journal()
    sizes = fetch(store, journal)
    assert sum(sizes) == len(CONTENT)
    assert (sizes[0], max(sizes)) == (FIRST_BYTES, PIECE_BYTES)
    assert len(sizes) <= 2 + len(CONTENT) // PIECE_BYTES + PIECE_BYTES // FIRST_BYTES
    assert (journal.opened, journal.told) == (1, [(0, len(CONTENT))])


def test_what_waits_for_a_slow_reader_is_small(store):
    sizes = fetch(store, Journal(), takes_s=0.06, leaves_after=6)
    assert max(sizes[3:]) < PIECE_BYTES


def test_a_store_behind_a_network_is_asked_for_large_pieces_however_slow_the_reader(store):
    elsewhere = Elsewhere(store)
    assert sum(fetch(elsewhere, Journal(), takes_s=0.06)) == len(CONTENT)
    assert len(elsewhere.reads) <= 2 + len(CONTENT) // PIECE_BYTES


def test_who_leaves_is_told_of_and_leaves_no_object_open(store):
    # What the first event loop opens stays.
    fetch(store, Journal())
    journal, before = Journal(), open_files()
    sizes = fetch(Elsewhere(store), journal, takes_s=0.01, leaves_after=2)
    assert len(sizes) < 2 + len(CONTENT) // PIECE_BYTES
    assert journal.told == [(0, sum(sizes))]
    assert open_files() == before


def test_a_journal_that_fails_leaves_no_object_open(store):
    fetch(store, Journal())
    before = open_files()
    for _ in range(3):
        with pytest.raises(OSError, match="no database"):
            fetch(store, Journal(OSError("no database")))
    assert open_files() == before


@pytest.mark.parametrize("behind_a_network", [False, True])
def test_an_object_that_ends_too_early_cuts_the_answer_off_and_what_was_sent_is_told(store, behind_a_network):
    fetch(store, Journal())
    longer = len(CONTENT) + PIECE_BYTES
    file = SlicedFile(longer, '"1"', b"", Layout([], longer, [0], [0], [0]), (NAME,), b"")
    journal, sizes, before = Journal(), [], open_files()
    with pytest.raises(ExceptionGroup) as raised:
        fetch(Elsewhere(store) if behind_a_network else store, journal, file=file, sizes=sizes)
    assert raised.group_contains(StoreError, match="shorter")
    # What is promised by Content-Length is never padded.
    assert sum(sizes) <= len(CONTENT)
    assert journal.told == [(0, sum(sizes))]
    assert open_files() == before
