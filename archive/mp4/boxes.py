"""Boxes of the ISO base media file format (ISO/IEC 14496-12): walked with strict bounds, and built.

Footage comes over a network, so every length is hostile until checked: whatever the bytes, walking
ends, allocates no more than it was given, and raises nothing but Mp4Error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recorder.errors import ProtokolError

# A stored segment nests moov/trak/mdia/minf/stbl: five levels below the file.
MAX_BOX_DEPTH = 8
# Children of one box; a real one has under 20.
MAX_BOX_CHILDREN = 1000


class Mp4Error(ProtokolError):
    """Bytes that are no MP4, or none of the kind this archive stores; the message says where."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box inside a buffer: `type`, and its payload `[start, end)` as offsets of that buffer."""

    type: bytes
    start: int
    end: int


def header(head: bytes, at: int, limit: int) -> tuple[bytes, int, int]:
    """The box header that `head` begins with → (type, header bytes, whole size).

    `at` is its offset and `limit` the end of what contains it, both for the bounds and the message.
    A size of 0 ("to the end of the file") is refused: no stored segment needs it, and it would let
    one file be read in two ways.
    """
    if len(head) < 8:
        raise Mp4Error(f"a box header is cut off at byte {at}")
    size, kind = struct.unpack_from(">I4s", head)
    header_bytes = 8
    if size == 1:
        if len(head) < 16:
            raise Mp4Error(f"a box header is cut off at byte {at}")
        size, header_bytes = struct.unpack_from(">Q", head, 8)[0], 16
    if size < header_bytes or at + size > limit:
        raise Mp4Error(f"box {kind!r} at byte {at} claims {size} bytes; {limit - at} are there")
    return kind, header_bytes, size


def children(buffer: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes that fill `[start, end)` of the buffer, in order; raises Mp4Error."""
    at, count = start, 0
    while at < end:
        kind, header_bytes, size = header(buffer[at : min(at + 16, end)], at, end)
        count += 1
        if count > MAX_BOX_CHILDREN:
            raise Mp4Error(f"more than {MAX_BOX_CHILDREN} boxes in one at byte {start}")
        yield Box(kind, at + header_bytes, at + size)
        at += size


def find(buffer: bytes, start: int, end: int, *path: bytes) -> Box | None:
    """The first box down `path`; None where a step is missing."""
    if len(path) > MAX_BOX_DEPTH:
        raise ValueError("path is deeper than any stored file")
    found = None
    for kind in path:
        found = next((box for box in children(buffer, start, end) if box.type == kind), None)
        if found is None:
            return None
        start, end = found.start, found.end
    return found


def need(buffer: bytes, start: int, end: int, *path: bytes) -> Box:
    """As `find`, but a missing step raises Mp4Error."""
    found = find(buffer, start, end, *path)
    if found is None:
        raise Mp4Error(f"no box {b'/'.join(path)!r}")
    return found


class Fields:
    """Big-endian fields of a box's payload, read in order; reading past its end raises Mp4Error."""

    def __init__(self, buffer: bytes, box: Box) -> None:
        self._buffer = buffer
        self._box = box
        self.at = box.start

    def skip(self, count: int) -> None:
        self._need(count)
        self.at += count

    def take(self, count: int) -> bytes:
        self._need(count)
        self.at += count
        return self._buffer[self.at - count : self.at]

    def uint(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def sint(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big", signed=True)

    @property
    def left(self) -> int:
        return self._box.end - self.at

    def _need(self, count: int) -> None:
        if count < 0 or self.at + count > self._box.end:
            raise Mp4Error(f"box {self._box.type!r} at byte {self._box.start} is too short")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of `parts`; below 4 GiB, which everything but `mdat` always is."""
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def box_parts(kind: bytes, parts: Iterable[bytes]) -> list[bytes]:
    """As `box`, not joined: a megabyte of tables lies four boxes deep, and would be copied in each."""
    inner = list(parts)
    return [struct.pack(">I4s", 8 + sum(map(len, inner)), kind), *inner]


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)
