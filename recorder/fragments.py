"""What a fragmented MP4 file says about itself: its tracks and how much media its fragments hold.

Read from the very bytes that are written, so that a manifest states what is in the file and not
what was meant to be. Knows the boxes that our muxer writes (ISO/IEC 14496-12), not all of them.

Pure.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recorder.errors import ProtokolError
from recorder.manifest import Track, TrackStatement

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex"})
_HANDLERS = {b"vide": Track.VIDEO, b"soun": Track.AUDIO}
# trun: which members each sample has, in this order.
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET = 0x100, 0x200, 0x400, 0x800


class FragmentError(ProtokolError):
    """Bytes that are not the fragmented MP4 that this agent writes."""


@dataclass(slots=True)
class TrackContent:
    """One track of a file. Ticks of `timescale`; `end_ticks` is decoding time after the last sample.

    `codec_sha256` is the SHA-256 of the whole `stsd` box: same digest, same decoder configuration.
    """

    track: Track
    timescale: int = 0
    codec: str = ""
    codec_sha256: str = ""
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0
    default_duration: int = 0
    samples: int = 0
    start_ticks: int = 0
    duration_ticks: int = 0
    end_ticks: int = 0

    def statement(self) -> TrackStatement:
        return TrackStatement(
            track=self.track.value,
            codec=self.codec,
            timescale=self.timescale,
            start_ticks=self.start_ticks,
            duration_ticks=self.duration_ticks,
            samples=self.samples,
            codec_sha256=self.codec_sha256,
            width=self.width,
            height=self.height,
            sample_rate=self.sample_rate,
            channels=self.channels,
        )


def boxes(
    data: bytes | memoryview, start: int = 0, end: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of payload, end) of each box; raises FragmentError where one does not fit."""
    end = len(data) if end is None else end
    while start < end:
        if start + 8 > end:
            raise FragmentError(f"{end - start} stray bytes after the last box")
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        if size < header or start + size > end:
            raise FragmentError(f"box {kind!r} of {size} bytes does not fit")
        yield kind, start + header, start + size
        start += size


class FileContent:
    """Fed with whole top-level boxes in the order of the file, knows the content of all so far.

    Boxes are only kept when they are fed and read when something is asked, all at once: while footage
    is written every microsecond counts. Both may raise FragmentError.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, TrackContent] = {}
        self._unread: list[bytes] = []

    def __getitem__(self, track: Track) -> TrackContent | None:
        self._read()
        return next((content for content in self._tracks.values() if content.track is track), None)

    def statements(self) -> list[TrackStatement]:
        """Of the tracks that hold samples, the picture first."""
        self._read()
        with_media = [c for c in self._tracks.values() if c.samples]
        return [c.statement() for c in sorted(with_media, key=lambda c: c.track is Track.AUDIO)]

    def feed(self, data: bytes | memoryview) -> None:
        """Whole boxes; only `moov` and `moof` are looked into."""
        for kind, start, end in boxes(data):
            if kind in (b"moof", b"moov"):
                self._unread.append(bytes(data[start:end]))

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        try:
            for data in unread:
                for kind, at, stop in boxes(data):
                    if kind == b"traf":
                        self._read_traf(data, at, stop)
                    elif kind == b"trak":
                        self._read_trak(data, at, stop)
                    elif kind == b"mvex":
                        self._read_mvex(data, at, stop)
        except (struct.error, IndexError) as error:
            raise FragmentError(f"a box is cut short: {error}") from error

    def _read_mvex(self, data: bytes, start: int, end: int) -> None:
        for kind, at, _ in boxes(data, start, end):
            if kind == b"trex":
                track_id, _, duration = struct.unpack_from(">III", data, at + 4)
                if track_id in self._tracks:
                    self._tracks[track_id].default_duration = duration

    def _read_trak(self, data: bytes, start: int, end: int) -> None:
        found = {kind: (a, b) for kind, a, b in _leaves(data, start, end)}
        if not {b"tkhd", b"mdhd", b"hdlr", b"stsd"} <= found.keys():
            raise FragmentError("a track lacks a header")
        track = _HANDLERS.get(bytes(data[found[b"hdlr"][0] + 8 : found[b"hdlr"][0] + 12]))
        if track is None:
            return
        at = found[b"tkhd"][0]
        (track_id,) = struct.unpack_from(">I", data, at + (20 if data[at] else 12))
        at = found[b"mdhd"][0]
        (timescale,) = struct.unpack_from(">I", data, at + (20 if data[at] else 12))
        at, stop = found[b"stsd"]
        entry = at + 8
        content = TrackContent(track, timescale=timescale)
        content.codec = bytes(data[entry + 4 : entry + 8]).decode("latin-1")
        content.codec_sha256 = hashlib.sha256(data[at - 8 : stop]).hexdigest()
        if track is Track.VIDEO:
            content.width, content.height = struct.unpack_from(">HH", data, entry + 32)
        else:
            (content.channels,) = struct.unpack_from(">H", data, entry + 24)
            (content.sample_rate,) = struct.unpack_from(">H", data, entry + 32)
        self._tracks[track_id] = content

    def _read_traf(self, data: bytes, start: int, end: int) -> None:
        content: TrackContent | None = None
        duration = decode_ticks = 0
        for kind, at, _ in boxes(data, start, end):
            if kind == b"tfhd":
                flags, track_id = struct.unpack_from(">II", data, at)
                content = self._tracks.get(track_id)
                duration = content.default_duration if content else 0
                if flags & 0x8:
                    skip = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
                    (duration,) = struct.unpack_from(">I", data, at + skip)
            elif kind == b"tfdt":
                wide = data[at] != 0
                (decode_ticks,) = struct.unpack_from(">Q" if wide else ">I", data, at + 4)
            elif kind == b"trun" and content is not None:
                decode_ticks = _read_trun(data, at, content, duration, decode_ticks)


def _leaves(data: bytes | memoryview, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for kind, at, stop in boxes(data, start, end):
        if kind in _CONTAINERS:
            yield from _leaves(data, at, stop)
        else:
            yield kind, at, stop


def _read_trun(
    data: bytes | memoryview, at: int, content: TrackContent, default: int, decode_ticks: int
) -> int:
    """Adds the run's samples to `content`; decoding time after the last of them."""
    flags, count = struct.unpack_from(">II", data, at)
    flags &= 0xFFFFFF
    at += 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    members = [bit for bit in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET) if flags & bit]
    row = struct.Struct(">" + "i" * len(members))
    if content.samples == 0 and count:
        first = row.unpack_from(data, at)
        offset = first[members.index(_TRUN_OFFSET)] if flags & _TRUN_OFFSET else 0
        content.start_ticks = decode_ticks + offset
    duration: int = count * default
    if flags & _TRUN_DURATION:
        durations = struct.unpack_from(f">{len(members) * count}I", data, at)
        duration = sum(durations[:: len(members)])
    content.samples += count
    content.duration_ticks += duration
    content.end_ticks = decode_ticks + duration
    return decode_ticks + duration
