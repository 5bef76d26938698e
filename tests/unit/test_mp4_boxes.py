"""Boxes: whatever the bytes, walking ends and raises nothing but Mp4Error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.mp4 import boxes
from archive.mp4.boxes import Box, Fields, Mp4Error


@given(st.binary(max_size=400))
def test_any_bytes_are_walked_or_refused(data: bytes) -> None:
    try:
        found = list(boxes.children(data, 0, len(data)))
    except Mp4Error:
        return
    assert sum(8 + each.end - each.start for each in found) <= len(data)
    assert all(0 <= each.start <= each.end <= len(data) for each in found)


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=40)), max_size=20))
def test_built_boxes_are_read_back(contents: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(boxes.box(kind, payload) for kind, payload in contents)
    read = [(each.type, data[each.start : each.end]) for each in boxes.children(data, 0, len(data))]
    assert read == contents


def test_64_bit_sizes_are_understood() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd"
    assert list(boxes.children(data, 0, len(data))) == [Box(b"mdat", 16, 20)]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I4s", 0, b"mdat"),  # "to the end": two readings of one file
        struct.pack(">I4s", 7, b"mdat"),
        struct.pack(">I4s", 9, b"mdat"),
        struct.pack(">I4sQ", 1, b"mdat", 15),
        struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1),
        b"\0\0\0",
    ],
)
def test_impossible_sizes_are_refused(data: bytes) -> None:
    with pytest.raises(Mp4Error):
        list(boxes.children(data, 0, len(data)))


def test_a_child_cannot_reach_over_its_parent() -> None:
    data = boxes.box(b"moov", struct.pack(">I4s", 100, b"trak")) + bytes(200)
    with pytest.raises(Mp4Error, match="trak"):
        boxes.find(data, 0, len(data[:16]), b"moov", b"trak")


def test_fields_end_with_their_box() -> None:
    fields = Fields(b"\x00\x01\x02\x03", Box(b"test", 0, 2))
    assert fields.uint(2) == 1
    with pytest.raises(Mp4Error, match="too short"):
        fields.uint(1)


def test_countless_children_are_refused() -> None:
    data = boxes.box(b"free") * (boxes.MAX_BOX_CHILDREN + 1)
    with pytest.raises(Mp4Error, match="more than"):
        list(boxes.children(data, 0, len(data)))
