"""A stored segment file → its sample index and its manifest.

The file is read through `pread(offset, length)`, never by a path: the store is the only door to
footage, and what it hands out may have been decrypted on the way. Headers alone are read, in bounded
work and memory whatever the bytes say; everything that is wrong raises Mp4Error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from archive.mp4 import boxes
from archive.mp4.boxes import Box, Mp4Error
from archive.mp4.fragments import Extent, Track, read_moof, read_moov
from archive.mp4.index import SegmentIndex
from recorder.manifest import MANIFEST_BOX_UUID, MAX_MANIFEST_BYTES

Pread = Callable[[int, int], bytes]

# Four boxes a fragment (prft, moof, mdat, and one to spare), 600 fragments in 120 s, times eight.
MAX_FILE_BOXES = 20_000
MAX_HEADER_BOX_BYTES = 1 << 20  # moov or moof; real ones have 1 KB
# All of them together: 600 fragments of 600 bytes, times eight. A megabyte can hold 130 000 boxes, and
# walking a million takes a second or two.
MAX_HEADER_BYTES = 3 << 20
# A fragment's boxes come to about 600 bytes: one read fetches prft, moof and the head of mdat.
_READ_AHEAD_BYTES = 4096


class TornFileError(Mp4Error):
    """The file ends inside a box. `whole_bytes`: end of its last whole fragment, 0 if it has none."""

    def __init__(self, message: str, whole_bytes: int) -> None:
        super().__init__(message)
        self.whole_bytes = whole_bytes


@dataclass(frozen=True, slots=True)
class TrailingManifest:
    """The last box of a segment file, still encoded; `media_bytes` is what lies before it."""

    encoded: bytes
    media_bytes: int


def read_index(pread: Pread, size_bytes: int) -> SegmentIndex:
    """The sample index of the file of `size_bytes`, whose manifest box may be missing.

    Raises TornFileError where the file ends inside a box or between `moof` and `mdat`, and Mp4Error for
    anything but a fragmented MP4 with at most one picture and one sound track, all samples of a
    fragment inside its own `mdat`, none overlapping, and time never going backwards.
    """
    scan = _Scan(pread, size_bytes)
    reading = _Reading(scan)
    media_bytes = size_bytes
    for top in scan.boxes():
        reading.box(top)
        if scan.is_manifest(top):
            media_bytes = top.at
    if reading.fragment is not None:
        raise TornFileError("the file ends between moof and mdat", scan.whole_bytes)
    indexes = tuple(track.index() for track in reading.tracks.values() if track.parts)
    if not indexes:
        raise Mp4Error("the file holds no sample")
    return SegmentIndex(size_bytes, media_bytes, indexes)


def find_manifest(pread: Pread, size_bytes: int) -> TrailingManifest:
    """The manifest box, which must be the last; found by walking, so that no media bytes can pose as it.

    Raises TornFileError or Mp4Error, also where there is none.
    """
    scan = _Scan(pread, size_bytes)
    for top in scan.boxes():
        if top.kind == b"mdat":
            scan.whole_bytes = top.end
        if scan.is_manifest(top):
            if top.end != size_bytes:
                raise Mp4Error(f"bytes after the manifest, at {top.end}")
            length = top.end - top.payload - 16
            if length > MAX_MANIFEST_BYTES:
                raise Mp4Error(f"manifest of {length} bytes; the limit is {MAX_MANIFEST_BYTES}")
            return TrailingManifest(scan.read(top.payload + 16, length), top.at)
    raise Mp4Error("the file bears no manifest")


@dataclass(frozen=True, slots=True)
class _Top:
    """A box of the file itself: its offset, where its payload begins, its end."""

    kind: bytes
    at: int
    payload: int
    end: int


class _Scan:
    """The boxes of the file, one after another, through a small read-ahead."""

    def __init__(self, pread: Pread, size_bytes: int) -> None:
        self._pread = pread
        self._size_bytes = size_bytes
        self._window_at = 0
        self._window = b""
        self._header_bytes = 0
        self.whole_bytes = 0

    def read(self, at: int, length: int) -> bytes:
        start = at - self._window_at
        if start < 0 or start + length > len(self._window):
            wanted = min(max(length, _READ_AHEAD_BYTES), self._size_bytes - at)
            self._window_at, self._window, start = at, self._pread(at, wanted), 0
            if len(self._window) < length:
                raise TornFileError(f"the file ends before byte {at + length}", self.whole_bytes)
        return self._window[start : start + length]

    def boxes(self) -> Iterator[_Top]:
        at, count, closed = 0, 0, False
        while at < self._size_bytes:
            if closed:
                raise Mp4Error(f"bytes after the manifest, at {at}")
            head = self.read(at, min(16, self._size_bytes - at))
            try:
                kind, header_bytes, size = boxes.header(head, at, self._size_bytes)
            except Mp4Error as error:
                raise TornFileError(str(error), self.whole_bytes) from error
            count += 1
            if count > MAX_FILE_BOXES:
                raise Mp4Error(f"more than {MAX_FILE_BOXES} boxes")
            top = _Top(kind, at, at + header_bytes, at + size)
            closed = self.is_manifest(top)
            yield top
            at = top.end

    def is_manifest(self, top: _Top) -> bool:
        if top.kind != b"uuid" or top.end - top.payload < 16:
            return False
        return self.read(top.payload, 16) == MANIFEST_BOX_UUID.bytes

    def header_box(self, top: _Top) -> tuple[bytes, Box]:
        """The whole of a moov or moof, and its payload as a box of that buffer."""
        size = top.end - top.at
        if size > MAX_HEADER_BOX_BYTES:
            raise Mp4Error(f"{top.kind!r} of {size} bytes at byte {top.at}")
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Mp4Error(f"more than {MAX_HEADER_BYTES} bytes of moov and moof")
        return self.read(top.at, size), Box(top.kind, top.payload - top.at, size)


class _Reading:
    """What has been understood so far: one moov, then pairs of moof and mdat."""

    def __init__(self, scan: _Scan) -> None:
        self._scan = scan
        self.tracks: dict[int, Track] = {}
        # The samples of a moof whose mdat has not come yet.
        self.fragment: list[Extent] | None = None

    def box(self, top: _Top) -> None:
        if self.fragment is not None and top.kind != b"mdat":
            raise Mp4Error(f"moof without its mdat before byte {top.at}")
        if top.kind == b"moov":
            if self.tracks:
                raise Mp4Error(f"a second moov at byte {top.at}")
            self.tracks = read_moov(*self._scan.header_box(top))
        elif top.kind == b"moof":
            if not self.tracks:
                raise Mp4Error(f"moof before moov at byte {top.at}")
            self.fragment = read_moof(*self._scan.header_box(top), top.at, self.tracks)
        elif top.kind == b"mdat":
            if self.fragment is None:
                raise Mp4Error(f"mdat without its moof at byte {top.at}")
            _check_extents(self.fragment, top)
            self.fragment = None
            self._scan.whole_bytes = top.end


def _check_extents(extents: list[Extent], mdat: _Top) -> None:
    """All inside the mdat and apart from each other: so a file's samples never exceed the file."""
    end = mdat.payload
    for extent in sorted(extents, key=lambda each: each.start):
        if extent.start < end or extent.end > mdat.end:
            raise Mp4Error(f"samples outside the mdat at byte {mdat.at}, or overlapping")
        end = extent.end
