"""Slices as pieces: the same bytes however they are cut, and whoever may not wait loses nothing by it."""

from __future__ import annotations

import os
import tempfile
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archive.mp4.sliced import Literal, Stored
from archive.store import NotAtHandError, StoreError
from archive.streaming import FIRST_BYTES, PIECE_BYTES, SliceReader, write_whole

_KIB = 1024
CONTENT = bytes(range(251)) * 8000


class _Object:
    size_bytes = len(CONTENT)

    def __init__(self, store):
        self._store = store

    def pread(self, offset, length):
        return CONTENT[offset : offset + length]

    def pread_at_hand(self, offset, length):
        if not next(self._store.at_hand, False):
            raise NotAtHandError
        # The next call of the same thread overwrites what it gave.
        view = memoryview(self._store.rooms.setdefault(threading.get_ident(), bytearray(len(CONTENT))))[
            :length
        ]
        view[:] = self.pread(offset, length)
        return view

    def close(self):
        self._store.open_objects -= 1


class _Store:
    """Every object holds CONTENT; what is at hand is told by `at_hand`, one read after the other."""

    def __init__(self, at_hand=()):
        self.at_hand = iter(at_hand)
        self.open_objects = 0
        self.rooms = {}

    def open(self, name):
        del name
        self.open_objects += 1
        return _Object(self)


lengths = st.one_of(st.integers(1, 5 * _KIB), st.integers(1, 1200 * _KIB))
stored = st.builds(Stored, st.sampled_from(["one", "two"]), st.integers(0, 700 * _KIB), lengths)
slices = st.lists(st.one_of(stored, st.builds(Literal, st.binary(min_size=1, max_size=40))), max_size=8)


def content_of(parts):
    return b"".join(
        part.data if isinstance(part, Literal) else CONTENT[part.offset : part.offset + part.length]
        for part in parts
    )


@given(slices, st.lists(st.booleans()))
# One that was given, and one that waits for its piece to be full, while the next is read.
@example([Stored("one", 0, 1700 * _KIB)], [True] * 5)
@example([Stored("one", 0, 600 * _KIB), Stored("one", 0, 50 * _KIB), Stored("one", 0, 1 * _KIB)], [True] * 5)
def test_pieces_are_the_slices_bytes_whoever_waits(parts, at_hand):
    store = _Store(at_hand)
    reader, found = SliceReader(store, parts), []
    while True:
        try:
            piece = reader.read(wait=False)
        except NotAtHandError:
            piece = reader.read()
        if not piece:
            break
        # The next call overwrites it.
        found.append(bytes(piece))
    reader.close()
    assert b"".join(found) == content_of(parts)
    assert all(len(piece) <= PIECE_BYTES for piece in found)
    assert reader.has_read_stored == any(isinstance(part, Stored) for part in parts)
    assert store.open_objects == 0


class _File:
    """A sliced file of these parts."""

    def __init__(self, parts):
        self._parts = parts
        self.size = sum(part.length for part in parts)

    def slices(self, start, end):
        at = 0
        for part in self._parts:
            first, last = max(start - at, 0), min(end - at, part.length)
            at += part.length
            if first < last and isinstance(part, Literal):
                yield Literal(part.data[first:last])
            elif first < last:
                yield Stored(part.name, part.offset + first, last - first)


@given(slices.filter(bool), st.lists(st.booleans()))
@example([Stored("one", 0, 1700 * _KIB), Stored("two", 0, 50 * _KIB), Stored("one", 0, 1 * _KIB)], [True] * 9)
def test_a_file_written_whole_is_the_slices_bytes(parts, at_hand):
    store = _Store(at_hand)
    with tempfile.TemporaryFile(buffering=0) as output:
        write_whole(store, _File(parts), output.fileno())
        assert output.read() == content_of(parts)
    assert store.open_objects == 0


@pytest.mark.parametrize("place", [0, 3])
def test_a_file_that_cannot_be_written_whole_leaves_no_object_open(place):
    parts = [Stored("one", 0, 1_900_000)] * 3
    parts.insert(place, Stored("one", len(CONTENT) - 5, 10))
    store = _Store()
    with tempfile.TemporaryFile(buffering=0) as output, pytest.raises(StoreError, match="shorter"):
        write_whole(store, _File(parts), output.fileno())
    assert store.open_objects == 0


def test_what_the_disk_has_no_room_for_is_not_begun():
    file = _File([Stored("one", 0, 2**60)])
    with tempfile.TemporaryFile(buffering=0) as output:
        with pytest.raises(OSError, match=r"No space|too large"):
            write_whole(_Store(), file, output.fileno())
        assert os.fstat(output.fileno()).st_size == 0


def test_the_first_bytes_are_one_chunk_and_a_head_is_a_piece():
    slices = [Literal(b"h" * 900 * _KIB), Stored("one", 100, 1_500_000)]
    reader = SliceReader(_Store(), slices, FIRST_BYTES)
    sizes = [len(reader.read()) for _ in range(2)]
    reader.piece_bytes = PIECE_BYTES
    assert [*sizes, len(reader.read())] == [900 * _KIB, FIRST_BYTES - 100, PIECE_BYTES - FIRST_BYTES]


def test_an_object_that_is_shorter_than_its_index_says_is_an_error():
    reader = SliceReader(_Store(), [Stored("one", len(CONTENT) - 5, 10)])
    with pytest.raises(StoreError, match="shorter"):
        reader.read()
