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

from archive.mp4.boxes import Mp4Error

Kind = Literal["video", "audio"]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FORMAT = b"PSIX\x01"
# Two minutes hold 3600 pictures at 30/s and 5625 packets of 48 kHz AAC; generous for high frame rates.
MAX_SAMPLES = 50_000
MAX_STSD_BYTES = 16 * 1024
# A frozen picture of three hours still fits the 32-bit duration of a sample.
MAX_TIMESCALE = 384_000
_MAX_RAW_BYTES = 2 * (MAX_SAMPLES * 40 + MAX_STSD_BYTES + 64)
_ZEROS = bytes(8 * MAX_SAMPLES)
_TRACK = struct.Struct(">cIIIIII")  # kind, timescale, width, height (16.16), stsd bytes, samples, extents
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
        return self.dts + self.cts


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
        """About 8 KB for a minute of 25 pictures/s with sound. Deterministic for one zlib version."""
        return FORMAT + zlib.compress(self._raw(), 6)

    @classmethod
    def from_bytes(cls, encoded: bytes) -> SegmentIndex:
        """The inverse of `to_bytes`; raises Mp4Error for anything else, in bounded memory."""
        if not encoded.startswith(FORMAT):
            raise Mp4Error("not a sample index of a known version; rebuild it from the segment")
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(encoded[len(FORMAT) :], _MAX_RAW_BYTES)
        except zlib.error as error:
            raise Mp4Error(f"sample index is damaged: {error}") from error
        if not inflate.eof or inflate.unused_data:
            raise Mp4Error("sample index is damaged: cut off, or too long")
        cursor = _Cursor(raw)
        size_bytes, media_bytes, count = cursor.unpack(_FILE)
        if count > 2:
            raise Mp4Error("sample index is damaged: more than two tracks")
        tracks = tuple(_unpack_track(cursor) for _ in range(count))
        if cursor.at != len(raw) or len({t.kind for t in tracks}) != count:
            raise Mp4Error("sample index is damaged: bytes left over, or a track twice")
        return cls(size_bytes, media_bytes, tracks)

    def _track(self, kind: Kind) -> TrackIndex | None:
        return next((track for track in self.tracks if track.kind == kind and len(track)), None)

    def _raw(self) -> bytes:
        head = _FILE.pack(self.size_bytes, self.media_bytes, len(self.tracks))
        return head + b"".join(_pack_track(track) for track in self.tracks)


def _planes(column: NDArray[np.generic]) -> bytes:
    """All first bytes, then all second bytes, …: small numbers compress far better that way."""
    raw = np.ascontiguousarray(column).view(np.uint8)
    return raw.reshape(len(column), column.dtype.itemsize).T.tobytes()


def _deltas(values: Ints, predicted: Ints) -> bytes:
    """What a linear prediction gets wrong: nearly always zero."""
    return _planes((values - predicted).astype("<i8"))


def _pack_track(track: TrackIndex) -> bytes:
    count = len(track)
    # A sample normally begins where the one before it ended, in time and in the file.
    dts_guess = np.concatenate(([0], track.dts[:-1] + track.duration[:-1]))
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
    return b"".join(
        (
            head,
            track.stsd,
            _deltas(track.dts, dts_guess[:count]),
            _planes(track.duration.astype("<u4")),
            _planes(track.size.astype("<u4")),
            _planes(track.cts.astype("<i4")),
            np.packbits(track.sync).tobytes(),
            _planes(starts.astype("<u4")),
            _planes(track.offset[starts].astype("<i8")),
        )
    )


def _unpack_track(cursor: _Cursor) -> TrackIndex:
    letter, timescale, width, height, stsd_bytes, count, extents = cursor.unpack(_TRACK)
    kinds: dict[bytes, Kind] = {b"v": "video", b"a": "audio"}
    if letter not in kinds or count > MAX_SAMPLES or extents > count or (count and not extents):
        raise Mp4Error("sample index is damaged: impossible track")
    if not 0 < timescale <= MAX_TIMESCALE:
        raise Mp4Error("sample index is damaged: impossible timescale")
    stsd = cursor.take(stsd_bytes)
    dts_error = cursor.column("<i8", count).astype(np.int64)
    duration = cursor.column("<u4", count).astype(np.uint32)
    size = cursor.column("<u4", count).astype(np.uint32)
    cts = cursor.column("<i4", count).astype(np.int32)
    bits = np.frombuffer(cursor.take((count + 7) // 8), np.uint8)
    sync = np.unpackbits(bits, count=count).astype(np.bool_)
    starts = cursor.column("<u4", extents).astype(np.int64)
    at = cursor.column("<i8", extents).astype(np.int64)
    if count and (starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= count):
        raise Mp4Error("sample index is damaged: impossible extents")
    guess_step = np.concatenate(([0], duration[:-1].astype(np.int64)))[:count]
    dts = np.cumsum(dts_error + guess_step)
    before = np.concatenate(([0], np.cumsum(size, dtype=np.int64)))[:-1]
    lengths = np.diff(np.append(starts, count))
    offset = before + np.repeat(at - before[starts], lengths)
    return TrackIndex(kinds[letter], timescale, stsd, width, height, dts, duration, size, cts, sync, offset)


class _Cursor:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self._raw):
            raise Mp4Error("sample index is damaged: cut off")
        self.at += count
        return self._raw[self.at - count : self.at]

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def column(self, dtype: str, count: int) -> NDArray[np.generic]:
        width = np.dtype(dtype).itemsize
        raw = self.take(width * count)
        # Numbers are small: planes of zeros, nearly always the upper ones, need not be woven in.
        for narrow in (0, 1, 2, 4):
            if narrow < width and raw.endswith(_ZEROS[: (width - narrow) * count]):
                planes = np.frombuffer(raw, np.uint8, narrow * count).reshape(narrow, count)
                woven = np.ascontiguousarray(planes.T)
                return (woven.view(f"<u{narrow}") if narrow else np.zeros(count, np.uint8)).reshape(count)
        planes = np.frombuffer(raw, np.uint8).reshape(width, count)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
