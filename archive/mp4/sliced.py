"""A file that exists in slices only: bytes made here, and slices of stored objects for the caller to read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from archive.mp4 import layout

_LITERAL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are stored nowhere: headers, made silence."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes `[offset, offset + length)` of the object `name`, as its index counts them."""

    name: str
    offset: int
    length: int


Slice = Literal | Stored


@dataclass(frozen=True, eq=False)
class SlicedFile:
    """`head`, then what the layout names. `etag` is strong (quotes included): equal ETags, equal bytes."""

    size: int
    etag: str
    head: bytes
    _layout: layout.Layout = field(repr=False)
    _names: tuple[str, ...] = field(repr=False)
    _silence: bytes = field(repr=False)

    @property
    def slice_count(self) -> int:
        """Of the media bytes."""
        return len(self._layout.part_at)

    def slices(self, start: int, end: int) -> Iterator[Slice]:
        """What the bytes `[start, end)` consist of, in order; neighbours in one object are one slice.

        Raises ValueError unless `0 <= start <= end <= size`.
        """
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"[{start}, {end}) is no range of {self.size} bytes")
        if start < min(end, len(self.head)):
            yield Literal(self.head[start:end])
        at, until = max(start - len(self.head), 0), end - len(self.head)
        parts = self._layout
        number = bisect_right(parts.part_at, at) - 1
        while at < until:
            following = parts.part_at[number + 1] if number + 1 < len(parts.part_at) else parts.length
            inner, stop = at - parts.part_at[number], min(following, until)
            if parts.part_piece[number] == layout.SILENT:
                yield from self._silent(inner, stop - at)
            else:
                name = self._names[parts.part_piece[number]]
                yield Stored(name, parts.part_offset[number] + inner, stop - at)
            at, number = stop, number + 1

    def _silent(self, inner: int, length: int) -> Iterator[Literal]:
        frame = self._silence
        while length > 0:
            step = min(length, _LITERAL_BYTES)
            turned = inner % len(frame)
            repeated = frame * ((turned + step) // len(frame) + 1)
            yield Literal(repeated[turned : turned + step])
            inner, length = inner + step, length - step
