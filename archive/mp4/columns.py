"""Columns of a sample index as bytes that compress well and are read fast.

A column is its least value and, of what each value exceeds that by, as many planes of bytes as the greatest
needs: all lowest bytes, then all second ones, and so on. Most columns are one value, and need none.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive.mp4.boxes import Mp4Error

_HEAD = struct.Struct(">qB")  # least value, planes


class Cursor:
    """Reads from the front of `raw`; raises Mp4Error where it ends too early."""

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


def pack(column: NDArray[np.integer[Any]]) -> bytes:
    """The inverse of `unpack`."""
    if not len(column):
        return _HEAD.pack(0, 0)
    least = int(column.min())
    # Modulo 2^64, in which no difference is too large.
    excess = (column.astype(np.uint64) - np.array(least, np.int64).astype(np.uint64)).astype("<u8")
    planes = (int(excess.max()).bit_length() + 7) // 8
    body: bytes = excess.view(np.uint8).reshape(-1, 8)[:, :planes].T.tobytes()
    return _HEAD.pack(least, planes) + body


def unpack(cursor: Cursor, count: int, dtype: str) -> NDArray[Any]:
    """`count` values of `dtype`, modulo its range. Raises Mp4Error where there are fewer."""
    least, planes = cursor.unpack(_HEAD)
    width = np.dtype(dtype).itemsize
    start = least % (1 << 8 * width)
    if not planes:
        return np.full(count, start, f"<u{width}").view(dtype)
    if planes > 8:
        raise Mp4Error("sample index is damaged: impossible column")
    raw = np.frombuffer(cursor.take(planes * count), np.uint8).reshape(planes, count)
    values = raw[-1].astype(f"<u{width}")
    for plane in raw[-2::-1]:
        values <<= 8
        values |= plane
    values += start
    found: NDArray[Any] = values.view(dtype)
    return found


def unpack_v1(cursor: Cursor, count: int, dtype: str) -> NDArray[Any]:
    """Of an index of format 1, which bears every plane, zeros or not."""
    width = np.dtype(dtype).itemsize
    raw = cursor.take(width * count)
    planes = np.frombuffer(raw, np.uint8).reshape(width, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
