"""The sample index of a stored segment: where each coded picture and sound packet lies, and when.

Built once, when a segment is accepted; kept beside the segment's row; a clip is made of nothing else.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archive.mp4 import columns
from archive.mp4.boxes import Mp4Error
from archive.mp4.columns import Cursor

Kind = Literal["video", "audio"]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FORMAT = b"PSIX\x02"
_VERSIONS = {b"PSIX\x01": 1, FORMAT: 2}
# Two minutes hold 3600 pictures at 30/s and 5625 packets of 48 kHz AAC; generous for high frame rates.
MAX_SAMPLES = 50_000
MAX_STSD_BYTES = 16 * 1024
# A frozen picture of three hours still fits the 32-bit duration of a sample.
MAX_TIMESCALE = 384_000
_MAX_RAW_BYTES = 2 * (MAX_SAMPLES * 40 + MAX_STSD_BYTES + 64)
_TRACK = struct.Struct(">cIIIIII")  # kind, timescale, width, height (16.16), stsd bytes, samples, extents
_FIRST = struct.Struct(">q")  # dts of the first sample
_FILE = struct.Struct(">QQB")  # size_bytes, media_bytes, tracks


@dataclass(frozen=True, eq=False)
class TrackIndex:
    """One track. All columns have one element per sample, in stored (decoding) order.

    `dts` are ticks of `timescale` on the run's media timeline, edit lists already applied, so that the
    presentation time is `dts + cts`. `offset` and `size` are bytes of the stored file.
    """

    kind: Kind
    timescale: int
    stsd: bytes  # the whole sample description box: codec parameters
    width: int  # 16.16 fixed point, as in tkhd; 0 for sound
    height: int
    dts: Ints
    duration: NDArray[np.uint32]
    size: NDArray[np.uint32]
    cts: NDArray[np.int32]
    sync: Flags
    offset: Ints

    def __len__(self) -> int:
        return len(self.dts)

    @cached_property
    def pts(self) -> Ints:
        return self.dts + self.cts if self.cts.any() else self.dts


@dataclass(frozen=True, eq=False)
class SegmentIndex:
    """`size_bytes` of the whole file, `media_bytes` of it before the manifest box; one or two tracks."""

    size_bytes: int
    media_bytes: int
    tracks: tuple[TrackIndex, ...]

    @property
    def video(self) -> TrackIndex | None:
        return self._track("video")

    @property
    def audio(self) -> TrackIndex | None:
        return self._track("audio")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over every column: equal exactly for equal indexes."""
        return hashlib.sha256(self._raw()).digest()

    def to_bytes(self) -> bytes:
        """About 7 KB for a minute of 25 pictures/s with sound. Deterministic for one zlib version."""
        return FORMAT + zlib.compress(self._raw(), 6)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> SegmentIndex:
        """The inverse of `to_bytes`; raises Mp4Error for anything else, in bounded memory."""
        version = _VERSIONS.get(encoded[: len(FORMAT)])
        if version is None:
            raise Mp4Error("not a sample index of a known version; rebuild it from the segment")
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(encoded[len(FORMAT) :], _MAX_RAW_BYTES)
        except zlib.error as error:
            raise Mp4Error(f"sample index is damaged: {error}") from error
        if not inflate.eof or inflate.unused_data:
            raise Mp4Error("sample index is damaged: cut off, or too long")
        cursor = Cursor(raw)
        size_bytes, media_bytes, count = cursor.unpack(_FILE)
        if count > 2:
            raise Mp4Error("sample index is damaged: more than two tracks")
        tracks = tuple(_unpack_track(cursor, version) for _ in range(count))
        if cursor.at != len(raw) or len({t.kind for t in tracks}) != count:
            raise Mp4Error("sample index is damaged: bytes left over, or a track twice")
        return cls(size_bytes, media_bytes, tracks)

    def _track(self, kind: Kind) -> TrackIndex | None:
        return next((track for track in self.tracks if track.kind == kind and len(track)), None)

    def _raw(self) -> bytes:
        head = _FILE.pack(self.size_bytes, self.media_bytes, len(self.tracks))
        return head + b"".join(_pack_track(track) for track in self.tracks)


def _pack_track(track: TrackIndex) -> bytes:
    count = len(track)
    # A sample normally begins where the one before it ended, in time and in the file.
    first = int(track.dts[0]) if count else 0
    guess = first + np.concatenate(([0], np.cumsum(track.duration[:-1], dtype=np.int64)))[:count]
    starts = np.flatnonzero(
        np.concatenate(([True], track.offset[1:] != track.offset[:-1] + track.size[:-1]))[:count]
    )
    head = _TRACK.pack(
        track.kind[:1].encode(),
        track.timescale,
        track.width,
        track.height,
        len(track.stsd),
        count,
        len(starts),
    )
    packed = (track.dts - guess, track.duration, track.size, track.cts, starts, track.offset[starts])
    return b"".join(
        (head, track.stsd, _FIRST.pack(first), np.packbits(track.sync).tobytes(), *map(columns.pack, packed))
    )


def _unpack_track(cursor: Cursor, version: int) -> TrackIndex:
    letter, timescale, width, height, stsd_bytes, count, extents = cursor.unpack(_TRACK)
    kinds: dict[bytes, Kind] = {b"v": "video", b"a": "audio"}
    if letter not in kinds or count > MAX_SAMPLES or extents > count or (count and not extents):
        raise Mp4Error("sample index is damaged: impossible track")
    if not 0 < timescale <= MAX_TIMESCALE:
        raise Mp4Error("sample index is damaged: impossible timescale")
    stsd = cursor.take(stsd_bytes)
    read = _columns_v1 if version == 1 else _columns
    dts, duration, size, cts, sync, starts, at = read(cursor, count, extents)
    if count and (starts[0] != 0 or (starts[1:] <= starts[:-1]).any() or starts[-1] >= count):
        raise Mp4Error("sample index is damaged: impossible extents")
    # Where a sample would lie if nothing lay between any two, and how much does before each extent.
    ends = np.cumsum(size, dtype=np.int64)
    before = ends - size
    apart = at - before[starts]
    lengths = np.empty_like(starts)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1:] = count - starts[-1:]
    offset = before + np.repeat(apart, lengths)
    return TrackIndex(kinds[letter], timescale, stsd, width, height, dts, duration, size, cts, sync, offset)


def _columns(cursor: Cursor, count: int, extents: int) -> tuple[NDArray[Any], ...]:
    (first,) = cursor.unpack(_FIRST)
    sync = _flags(cursor, count)
    beside, duration, size, cts = (
        columns.unpack(cursor, count, dtype) for dtype in ("<i8", "<u4", "<u4", "<i4")
    )
    starts, at = (columns.unpack(cursor, extents, "<i8") for _ in range(2))
    dts = beside + first
    dts[1:] += np.cumsum(duration[:-1], dtype=np.int64)
    return dts, duration, size, cts, sync, starts, at


def _columns_v1(cursor: Cursor, count: int, extents: int) -> tuple[NDArray[Any], ...]:
    """Of the archives of before: each sample's time was told by the one before it."""
    off, duration, size, cts = (
        columns.unpack_v1(cursor, count, dtype) for dtype in ("<i8", "<u4", "<u4", "<i4")
    )
    sync = _flags(cursor, count)
    starts = columns.unpack_v1(cursor, extents, "<u4").astype(np.int64)
    at = columns.unpack_v1(cursor, extents, "<i8")
    dts = np.cumsum(off + np.concatenate(([0], duration[:-1].astype(np.int64)))[:count])
    return dts, duration, size, cts, sync, starts, at


def _flags(cursor: Cursor, count: int) -> Flags:
    bits = np.frombuffer(cursor.take((count + 7) // 8), np.uint8)
    return np.unpackbits(bits, count=count).view(np.bool_)
