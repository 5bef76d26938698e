"""The sample index of a segment as the archive keeps it: what a day's playlist needs of it before the rest.

A day has some five hundred of them, and inflating them whole would take a second.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import Codec
from archive.mp4.groups import COLUMNS, Groups, groups_of
from archive.mp4.index import MAX_SAMPLES, MAX_STSD_BYTES, SegmentIndex

_FORMAT = b"PSID\x01"
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">IIqd8s")  # groups, of them with bounds one more; anchor_us; packet_us; coding
_CODEC = struct.Struct(">4sIIII")  # format, timescale, width, height, bytes of configuration
_MAX_RAW_BYTES = (MAX_SAMPLES + 1) * 8 * len(COLUMNS) + 2 * MAX_STSD_BYTES + 256


def encode(index: SegmentIndex) -> bytes:
    """Deterministic for one zlib version. Its groups are left out where no day can show the segment."""
    try:
        head = zlib.compress(_pack(groups_of(index)), 6)
    except Mp4Error:
        head = b""
    return _FORMAT + _LENGTH.pack(len(head)) + head + index.to_bytes()


def index_of(encoded: bytes) -> SegmentIndex:
    """The index of `encode`, or of an archive of before there were groups. Raises Mp4Error."""
    return SegmentIndex.from_bytes(_split(encoded)[1])


def read_groups(encoded: bytes) -> Groups:
    """The groups of it, made anew where they were not kept. Raises Mp4Error."""
    head, index = _split(encoded)
    if not head:
        return groups_of(SegmentIndex.from_bytes(index))
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(head, _MAX_RAW_BYTES)
        if not inflate.eof:
            raise Mp4Error("the groups of a sample index are cut off, or too long")
        return _unpack(raw)
    except (zlib.error, struct.error, ValueError) as error:
        raise Mp4Error(f"the groups of a sample index are damaged: {error}") from error


def _split(encoded: bytes) -> tuple[bytes, bytes]:
    start = len(_FORMAT) + _LENGTH.size
    if not encoded.startswith(_FORMAT):
        return b"", encoded
    if len(encoded) < start:
        raise Mp4Error("a stored sample index is cut off")
    end = start + int(_LENGTH.unpack_from(encoded, len(_FORMAT))[0])
    return encoded[start:end], encoded[end:]


def _pack(groups: Groups) -> bytes:
    codecs = b"".join(_pack_codec(each) for each in (groups.video, groups.audio))
    columns = (getattr(groups, name) for name in COLUMNS)
    # Differences of differences: groups follow one another evenly.
    return (
        _HEAD.pack(
            len(groups), len(codecs), groups.anchor_us, groups.packet_us, groups.coding.encode().ljust(8)
        )
        + codecs
        + b"".join(_planes(np.diff(column, prepend=0)) for column in columns)
    )


def _planes(column: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bytes:
    """All first bytes, then all second bytes, …: small numbers compress far better that way."""
    return column.astype("<i8").view(np.uint8).reshape(len(column), 8).T.tobytes()


def _unpack(raw: bytes) -> Groups:
    count, codecs_bytes, anchor_us, packet_us, coding = _HEAD.unpack_from(raw)
    at = _HEAD.size
    codecs: list[Codec | None] = []
    for _ in range(2):
        codec, at = _unpack_codec(raw, at)
        codecs.append(codec)
    if at != _HEAD.size + codecs_bytes or not 0 < count <= MAX_SAMPLES + 1:
        raise ValueError("impossible lengths")
    columns = {}
    for name, more in COLUMNS.items():
        length = count + more
        planes = np.frombuffer(raw, np.uint8, 8 * length, at).reshape(8, length)
        columns[name] = np.cumsum(np.ascontiguousarray(planes.T).view("<i8").reshape(length))
        at += 8 * length
    if at != len(raw):
        raise ValueError("bytes are left over")
    video, audio = codecs
    return Groups(
        **columns,
        anchor_us=anchor_us,
        packet_us=packet_us,
        video=video,
        audio=audio,
        coding=coding.rstrip().decode("ascii"),
    )


def _pack_codec(codec: Codec | None) -> bytes:
    if codec is None:
        return _CODEC.pack(b"", 0, 0, 0, 0)
    sizes = codec.timescale, codec.width, codec.height, len(codec.config)
    return _CODEC.pack(codec.format, *sizes) + codec.config


def _unpack_codec(raw: bytes, at: int) -> tuple[Codec | None, int]:
    kind, timescale, width, height, length = _CODEC.unpack_from(raw, at)
    at += _CODEC.size
    if not timescale:
        return None, at
    return Codec(kind, raw[at : at + length], timescale, width, height), at + length
