"""Sample indexes: small, exact both ways, and never trusted when damaged."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.mp4.boxes import Mp4Error
from archive.mp4.index import FORMAT, Kind, SegmentIndex, TrackIndex
from tests.mp4_synthetic import minute_index

COLUMNS = ("dts", "duration", "size", "cts", "sync", "offset")
u32 = st.integers(0, 2**32 - 1)


@st.composite
def tracks(draw: st.DrawFn, kind: Kind) -> TrackIndex:
    count = draw(st.integers(0, 20))

    def column(elements: st.SearchStrategy[int], dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(elements, min_size=count, max_size=count)), dtype)

    return TrackIndex(
        kind,
        draw(st.integers(1, 384_000)),
        draw(st.binary(max_size=40)),
        draw(u32),
        draw(u32),
        column(st.integers(-(2**53), 2**53), np.int64),
        column(u32, np.uint32),
        column(u32, np.uint32),
        column(st.integers(-(2**31), 2**31 - 1), np.int32),
        column(st.booleans(), np.bool_),
        column(st.integers(0, 2**53), np.int64),
    )


@given(tracks("video"), tracks("audio"), st.integers(0, 2**53))
def test_what_is_kept_is_what_was_read(video: TrackIndex, audio: TrackIndex, size: int) -> None:
    index = SegmentIndex(size, size // 2, (video, audio))
    again = SegmentIndex.from_bytes(index.to_bytes())
    assert (again.size_bytes, again.media_bytes) == (size, size // 2)
    for before, after in zip(index.tracks, again.tracks, strict=True):
        assert (before.kind, before.timescale, before.stsd) == (after.kind, after.timescale, after.stsd)
        for name in COLUMNS:
            assert np.array_equal(getattr(before, name), getattr(after, name)), name
            assert getattr(before, name).dtype == getattr(after, name).dtype
    assert index.digest == again.digest


@pytest.mark.parametrize("starts", [b"\0\3", b"\0\5", b"\0\0", b"\1\2", b"\2\1", b"\0\xff"])
def test_extents_that_are_not_the_track_s_own_are_refused(starts: bytes) -> None:
    def track(kind: Kind) -> TrackIndex:
        numbers = np.arange(3)
        return TrackIndex(
            kind, 1000, b"", 0, 0, numbers.astype(np.int64), np.ones(3, np.uint32), np.ones(3, np.uint32),
            np.zeros(3, np.int32), np.ones(3, np.bool_), np.array([7, 70, 71], np.int64),
        )  # fmt: skip

    raw = zlib.decompress(SegmentIndex(0, 0, (track("video"), track("audio"))).to_bytes()[len(FORMAT) :])
    # The second sample of either begins a second extent.
    stored = struct.pack(">qB", 0, 1) + b"\0\1"
    assert raw.count(stored) == 2
    damaged = raw.replace(stored, stored[:-2] + starts, 1)
    with pytest.raises(Mp4Error, match="extents"):
        SegmentIndex.from_bytes(FORMAT + zlib.compress(damaged))


def test_an_index_of_the_first_format_is_read_as_it_was_written() -> None:
    encoded = bytes.fromhex(
        "5053495801789c636060628000c6ff40f09ba98c81317e025303909f01161606621620662a2e294e51c84f5328c9485528c84c"
        "2e292d4afdc90ed4c4c080130b0808f0f30101d40686028596ff82ccccff1981720c20acf0818141e623038c3b01e698140638"
        "600411890c0cbb1b185001134c1215b0801ccbc0c5832a7a0044b0423900f9b92bbc"
    )
    index = SegmentIndex.from_bytes(encoded)
    assert (index.size_bytes, index.media_bytes) == (2**41, 2**41 - 5)
    video, audio = index.tracks
    assert (video.timescale, video.stsd, video.width) == (90_000, b"stsd of the picture", 640 << 16)
    assert video.dts.tolist() == [-7, 3600, 7201, 10_800]
    assert video.duration.tolist() == [3600, 3600, 3600, 3599]
    assert video.size.tolist() == [70_000, 800, 900, 2**32 - 1]
    assert video.cts.tolist() == [0, 7200, -3600, 0]
    assert video.sync.tolist() == [True, False, False, True]
    assert video.offset.tolist() == [100, 70_100, 2**40, 2**40 + 900]
    assert (audio.dts.tolist(), audio.size.tolist(), audio.offset.tolist()) == ([0, 1024], [10, 12], [5, 15])
    for track in index.tracks:
        types = [getattr(track, name).dtype for name in COLUMNS]
        assert types == [np.int64, np.uint32, np.uint32, np.int32, np.bool_, np.int64]
    assert SegmentIndex.from_bytes(index.to_bytes()).digest == index.digest


def test_a_minute_takes_little() -> None:
    assert len(minute_index().to_bytes()) < 9_000


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for encoded in (data, FORMAT + data, FORMAT + zlib.compress(data)):
        with pytest.raises(Mp4Error):
            SegmentIndex.from_bytes(encoded)


@given(st.data())
def test_damage_inside_is_refused_or_read(data: st.DataObject) -> None:
    """Behind the compression's checksum a changed byte can still be a valid index; never a crash."""
    raw = bytearray(zlib.decompress(minute_index().to_bytes()[len(FORMAT) :]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 400) - 1))] = data.draw(st.integers(0, 255))
    del raw[len(raw) - data.draw(st.integers(0, 3)) :]
    with contextlib.suppress(Mp4Error):
        SegmentIndex.from_bytes(FORMAT + zlib.compress(bytes(raw), 1))


def test_a_compression_bomb_is_refused() -> None:
    with pytest.raises(Mp4Error, match="damaged"):
        SegmentIndex.from_bytes(FORMAT + zlib.compress(bytes(50_000_000)))
