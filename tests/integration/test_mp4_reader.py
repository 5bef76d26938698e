"""Reading real segment files, whole, torn and hostile."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.mp4 import boxes
from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import AacLc, aac_lc, codec_of
from archive.mp4.index import SegmentIndex, TrackIndex
from archive.mp4.reader import TornFileError, find_manifest, read_index
from recorder.manifest import MAX_MANIFEST_BYTES
from tests.mp4_media import Shape, manifest_box, record

SHAPES = {
    "plain": Shape(seconds=4),
    "b-frames": Shape(seconds=4, bframes=2),
    "hevc": Shape(seconds=4, codec="libx265", bframes=2),
    "camera sound": Shape(seconds=4, rate=16_000),
    "stereo": Shape(seconds=4, layout="stereo"),
    "sound only": Shape(seconds=4, video=False),
    "picture only": Shape(seconds=4, audio=False),
}


def index_of(data: bytes) -> SegmentIndex:
    return read_index(lambda at, length: data[at : at + length], len(data))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_index_says_what_was_muxed(shape: Shape) -> None:
    recorded = record(shape)
    for data, packets in zip(recorded.segments, recorded.packets, strict=True):
        index = index_of(data)
        assert index.size_bytes == len(data)
        assert index.media_bytes == len(data) - len(manifest_box())
        for kind in ("video", "audio"):
            muxed = [packet for packet in packets if packet.kind == kind]
            track = index.video if kind == "video" else index.audio
            assert (track is None) == (not muxed)
            if track is None:
                continue
            scale = track.timescale
            assert track.pts.tolist() == [packet.start * scale for packet in muxed]
            assert track.sync.tolist() == [packet.key for packet in muxed]
            digests = [
                hashlib.sha256(data[at : at + size]).digest()
                for at, size in zip(track.offset.tolist(), track.size.tolist(), strict=True)
            ]
            assert digests == [packet.digest for packet in muxed]


def test_codecs_are_told_apart() -> None:
    def track(name: str, kind: str) -> TrackIndex:
        index = index_of(record(SHAPES[name]).segments[0])
        found = index.video if kind == "video" else index.audio
        assert found is not None
        return found

    assert codec_of(track("plain", "video")) == codec_of(track("stereo", "video"))
    assert codec_of(track("plain", "video")) != codec_of(track("hevc", "video"))
    assert aac_lc(codec_of(track("plain", "audio"))) == AacLc(48_000, 1, 1024)
    assert aac_lc(codec_of(track("camera sound", "audio"))) == AacLc(16_000, 1, 1024)
    assert aac_lc(codec_of(track("stereo", "audio"))) == AacLc(48_000, 2, 1024)
    assert (track("plain", "video").width, track("plain", "video").height) == (160 << 16, 120 << 16)


def test_the_manifest_is_found_behind_the_media() -> None:
    media = record(SHAPES["plain"]).segments[0][: -len(manifest_box())]
    data = media + manifest_box(b'{"a":1}')
    found = find_manifest(lambda at, length: data[at : at + length], len(data))
    assert (found.encoded, found.media_bytes) == (b'{"a":1}', len(media))


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"", "bears no manifest"),
        (manifest_box() + boxes.box(b"free"), "after the manifest"),
        (manifest_box() + manifest_box(), "after the manifest"),
        (manifest_box(bytes(MAX_MANIFEST_BYTES + 1)), "the limit is"),
        (boxes.box(b"mdat", manifest_box()), "bears no manifest"),
    ],
    ids=["none", "a box behind", "two", "too long", "inside media"],
)
def test_what_is_no_trailing_manifest(tail: bytes, reason: str) -> None:
    data = record(SHAPES["plain"]).segments[0][: -len(manifest_box())] + tail
    with pytest.raises(Mp4Error, match=reason):
        find_manifest(lambda at, length: data[at : at + length], len(data))


def test_a_torn_tail_names_the_last_whole_fragment() -> None:
    data = record(SHAPES["plain"]).segments[0]
    ends, at = [0], 0
    while at < len(data):
        kind, _, size = boxes.header(data[at : at + 16], at, len(data))
        at += size
        if kind == b"mdat":
            ends.append(at)
    whole = index_of(data)
    for cut in [*range(1, len(data) - len(manifest_box()), 211), ends[2] + 1, ends[-1] - 1, len(data) - 1]:
        expected = max(end for end in ends if end <= cut)
        if cut in ends or cut == len(data) - len(manifest_box()):
            continue
        with pytest.raises(Mp4Error) as caught:
            index_of(data[:cut])
        if isinstance(caught.value, TornFileError):
            assert caught.value.whole_bytes == expected
        else:
            assert "no sample" in str(caught.value)
    torn = index_of(data[: ends[3]])
    assert torn.video is not None
    assert whole.video is not None
    assert torn.video.dts.tolist() == whole.video.dts.tolist()[: len(torn.video)]


def test_a_source_that_is_shorter_than_it_says() -> None:
    data = record(SHAPES["plain"]).segments[0]
    with pytest.raises(TornFileError):
        read_index(lambda at, length: data[at : min(at + length, 5000)], len(data))


def patched(kind: bytes, at: int, value: bytes, nth: int = 0) -> bytes:
    """A real segment with some bytes of the nth box of that kind replaced."""
    data = bytearray(record(SHAPES["plain"]).segments[0])
    found = -1
    for _ in range(nth + 1):
        found = data.index(kind, found + 1)
    data[found + 4 + at : found + 4 + at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "at", "value", "reason"),
    [
        (b"trun", 4, b"\xff\xff\xff\xff", "more than|too short"),
        (b"trun", 8, b"\x00\x00\x00\x00", "outside the mdat"),
        (b"trun", 8, b"\x7f\xff\xff\xff", "outside the mdat"),
        (b"trun", 8, b"\xff\xff\xff\xff", "outside the mdat"),
        (b"tfdt", 4, b"\xff" * 8, "impossible decoding time"),
        (b"tfhd", 4, b"\x00\x00\x00\x63", "unknown track"),
        (b"mdhd", 12, b"\x00\x00\x00\x00", "timescale"),
        (b"mdhd", 12, b"\xff\xff\xff\xff", "timescale"),
        (b"hdlr", 8, b"subt", "only picture and sound"),
        (b"mdat", -4, b"free", "moof without its mdat"),
        (b"moof", -4, b"free", "mdat without its moof"),
        (b"moov", -4, b"free", "moof before moov"),
        (b"mvex", -4, b"free", "mvex"),
    ],
)
def test_lies_are_refused_by_name(kind: bytes, at: int, value: bytes, reason: str) -> None:
    with pytest.raises(Mp4Error, match=reason):
        index_of(patched(kind, at, value))


def test_time_that_goes_backwards_is_refused() -> None:
    with pytest.raises(Mp4Error, match="backwards"):
        index_of(patched(b"tfdt", 4, struct.pack(">Q", 5), nth=4))


def test_two_samples_in_one_place_are_refused() -> None:
    """Else a small file could promise a clip of any size."""
    data = record(SHAPES["picture only"]).segments[0]
    at = data.index(b"traf") - 4
    size = struct.unpack_from(">I", data, at)[0]
    moof_at = data.index(b"moof") - 4
    moof_bytes = struct.unpack_from(">I", data, moof_at)[0]
    twice = bytearray(data[:at] + data[at : at + size] * 2 + data[at + size :])
    struct.pack_into(">I", twice, moof_at, moof_bytes + size)
    offset_at = twice.index(b"trun") + 12
    for offset in (offset_at, offset_at + size):
        struct.pack_into(">i", twice, offset, struct.unpack_from(">i", twice, offset)[0] + size)
    with pytest.raises(Mp4Error, match="overlapping"):
        index_of(bytes(twice))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes changed, removed or repeated: an index inside the file's bounds, or Mp4Error."""
    original = record(SHAPES["b-frames"]).segments[0]
    damaged = bytearray(original[: data.draw(st.integers(0, len(original)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if not damaged:
            break
        # Half of the hits land in the first bytes, where moov and the first moof are.
        limit = data.draw(st.sampled_from([min(2200, len(damaged)), len(damaged)]))
        at = data.draw(st.integers(0, limit - 1))
        new = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\xff\xff\xff\xff", bytes(4)])))
        damaged[at : at + data.draw(st.sampled_from([len(new), 0, 4]))] = new
    whole = bytes(damaged)
    with contextlib.suppress(Mp4Error):
        index = index_of(whole)
        for track in index.tracks:
            assert (track.offset >= 0).all()
            assert (track.offset + track.size <= len(whole)).all()
        assert SegmentIndex.from_bytes(index.to_bytes()).digest == index.digest
    with contextlib.suppress(Mp4Error):
        find_manifest(lambda at, length: whole[at : at + length], len(whole))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Mp4Error):
        index_of(data)


def test_reading_touches_headers_only() -> None:
    data = record(SHAPES["plain"]).segments[0]
    read: list[int] = []

    def pread(at: int, length: int) -> bytes:
        read.append(length)
        return data[at : at + length]

    read_index(pread, len(data))
    fragments = data.count(b"moof")
    assert len(read) <= 2 * fragments + 4
    assert max(read) <= 4096
