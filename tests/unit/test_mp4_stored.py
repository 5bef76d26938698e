"""The sample index as the archive keeps it: the groups before it are those that it says itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from archive.mp4.boxes import Mp4Error
from archive.mp4.groups import COLUMNS, Groups, groups_of
from archive.mp4.stored import encode, index_of, read_groups
from tests.mp4_footage import footage
from tests.mp4_synthetic import Footage, minute_index


def assert_same(one: Groups, two: Groups) -> None:
    for name in COLUMNS:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    for name in ("anchor_us", "packet_us", "video", "audio", "coding"):
        assert getattr(one, name) == getattr(two, name)


@settings(max_examples=30, deadline=None)
@given(footage())
def test_groups_and_index_come_back(footage: Footage) -> None:
    for piece in footage.pieces:
        encoded = encode(piece.index)
        assert_same(read_groups(encoded), groups_of(piece.index))
        assert index_of(encoded).digest == piece.index.digest


def test_an_index_of_before_there_were_groups_is_read() -> None:
    index = minute_index()
    assert_same(read_groups(index.to_bytes()), groups_of(index))
    assert index_of(index.to_bytes()).digest == index.digest


def test_groups_of_a_minute_are_small() -> None:
    index = minute_index()
    assert len(encode(index)) - len(index.to_bytes()) < 700


def test_damage_is_named() -> None:
    encoded = encode(minute_index())
    for damaged in (encoded[:7], encoded[:40], encoded[:9] + b"\xff" + encoded[10:], b"", b"x" * 50):
        with pytest.raises(Mp4Error):
            read_groups(damaged)
            index_of(damaged)
