"""The header boxes of a fragmented MP4: `moov` (what the tracks are), `moof` (where their samples lie).

Works on buffers that are in memory already; every count in them is checked against what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archive.mp4 import boxes
from archive.mp4.boxes import Box, Fields, Mp4Error
from archive.mp4.index import MAX_SAMPLES, MAX_STSD_BYTES, MAX_TIMESCALE, Kind, TrackIndex

MAX_TICKS = 2**53
# Two minutes are 600 fragments with one run a track; times eight. Each costs about 1 KB while it is read.
MAX_RUNS = 4_800
# No stored file is larger than an exabyte; beyond 2^63 the columns would overflow.
_MAX_OFFSET = 2**60

_TFHD_BASE, _TFHD_DESCRIPTION, _TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
_TFHD_BASE_IS_MOOF = 0x20000
_TRUN_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_CTS = 0x100, 0x200, 0x400, 0x800
_TRUN_COLUMNS = (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_CTS)
_NOT_SYNC = 0x10000


@dataclass(frozen=True, slots=True)
class Extent:
    start: int
    end: int


@dataclass(slots=True)
class Part:
    """The samples of one `trun`."""

    dts: NDArray[np.int64]
    duration: NDArray[np.uint32]
    size: NDArray[np.uint32]
    cts: NDArray[np.int32]
    sync: NDArray[np.bool_]
    offset: NDArray[np.int64]


@dataclass(slots=True)
class Track:
    kind: Kind
    timescale: int
    stsd: bytes
    width: int
    height: int
    # What the edit list adds to every presentation time, in ticks.
    edit_shift: int
    defaults: tuple[int, int, int] = (0, 0, 0)  # duration, size, flags (trex)
    parts: list[Part] = field(default_factory=list)
    samples: int = 0
    runs: int = 0

    def index(self) -> TrackIndex:
        dts = np.concatenate([part.dts for part in self.parts])
        if (np.diff(dts) < 0).any():
            raise Mp4Error(f"{self.kind}: decoding time goes backwards")
        return TrackIndex(
            self.kind,
            self.timescale,
            self.stsd,
            self.width,
            self.height,
            dts + self.edit_shift,
            np.concatenate([part.duration for part in self.parts]),
            np.concatenate([part.size for part in self.parts]),
            np.concatenate([part.cts for part in self.parts]),
            np.concatenate([part.sync for part in self.parts]),
            np.concatenate([part.offset for part in self.parts]),
        )


def read_moov(buffer: bytes, moov: Box) -> dict[int, Track]:
    """The tracks by id, still without samples; raises Mp4Error for other than one picture, one sound."""
    mvhd = Fields(buffer, boxes.need(buffer, moov.start, moov.end, b"mvhd"))
    mvhd.skip(16 if mvhd.uint(4) >> 24 else 8)
    movie_timescale = mvhd.uint(4)
    tracks: dict[int, Track] = {}
    for box in boxes.children(buffer, moov.start, moov.end):
        if box.type == b"trak":
            track_id, track = _read_trak(buffer, box, movie_timescale)
            if track_id in tracks or any(other.kind == track.kind for other in tracks.values()):
                raise Mp4Error(f"a second {track.kind} track")
            tracks[track_id] = track
    if not tracks:
        raise Mp4Error("moov without a track")
    extends = boxes.need(buffer, moov.start, moov.end, b"mvex")
    for box in boxes.children(buffer, extends.start, extends.end):
        if box.type == b"trex":
            fields = Fields(buffer, box)
            fields.skip(4)
            extended = tracks.get(fields.uint(4))
            fields.skip(4)
            if extended is not None:
                extended.defaults = (fields.uint(4), fields.uint(4), fields.uint(4))
    return tracks


def _read_trak(buffer: bytes, trak: Box, movie_timescale: int) -> tuple[int, Track]:
    tkhd = Fields(buffer, boxes.need(buffer, trak.start, trak.end, b"tkhd"))
    tkhd.skip(16 if tkhd.uint(4) >> 24 else 8)
    track_id = tkhd.uint(4)
    tkhd.skip(tkhd.left - 8)
    width, height = tkhd.uint(4), tkhd.uint(4)
    mdia = boxes.need(buffer, trak.start, trak.end, b"mdia")
    mdhd = Fields(buffer, boxes.need(buffer, mdia.start, mdia.end, b"mdhd"))
    mdhd.skip(16 if mdhd.uint(4) >> 24 else 8)
    timescale = mdhd.uint(4)
    if not 0 < timescale <= MAX_TIMESCALE:
        raise Mp4Error(f"timescale {timescale}; at most {MAX_TIMESCALE}")
    hdlr = Fields(buffer, boxes.need(buffer, mdia.start, mdia.end, b"hdlr"))
    hdlr.skip(8)
    handler = hdlr.take(4)
    kinds: dict[bytes, Kind] = {b"vide": "video", b"soun": "audio"}
    if handler not in kinds:
        raise Mp4Error(f"a track of kind {handler!r}; only picture and sound are stored")
    stsd = boxes.need(buffer, mdia.start, mdia.end, b"minf", b"stbl", b"stsd")
    if stsd.end - stsd.start > MAX_STSD_BYTES:
        raise Mp4Error("the sample description is too large")
    # Built again rather than sliced: its header may have been the 64-bit one.
    description = boxes.box(b"stsd", buffer[stsd.start : stsd.end])
    shift = _edit_shift(buffer, trak, timescale, movie_timescale)
    return track_id, Track(kinds[handler], timescale, description, width, height, shift)


def _edit_shift(buffer: bytes, trak: Box, timescale: int, movie_timescale: int) -> int:
    """What the edit list adds to presentation times: an initial empty edit, less the media's start.

    Writers state a constant shift in that way (the reorder delay of B-frames). A list that does more
    would hide media, and no segment may.
    """
    elst = boxes.find(buffer, trak.start, trak.end, b"edts", b"elst")
    if elst is None:
        return 0
    fields = Fields(buffer, elst)
    width = 8 if fields.uint(4) >> 24 else 4
    count = fields.uint(4)
    empty = 0
    for position in range(min(count, 3)):
        duration, media_time = fields.uint(width), fields.sint(width)
        fields.skip(4)
        if media_time >= 0:
            if position != count - 1:
                break
            if movie_timescale == 0 or max(empty, media_time) > MAX_TICKS:
                raise Mp4Error("impossible edit list")
            shift = empty * timescale // movie_timescale - media_time
            if abs(shift) > MAX_TICKS:
                raise Mp4Error("an edit list that shifts a track out of time")
            return shift
        empty += duration
    raise Mp4Error("an edit list that does more than shift a track")


def read_moof(buffer: bytes, moof: Box, moof_at: int, tracks: dict[int, Track]) -> list[Extent]:
    """Adds the fragment's samples to `tracks`; returns where they lie in the file. `moof_at`: its offset."""
    extents: list[Extent] = []
    for traf in boxes.children(buffer, moof.start, moof.end):
        if traf.type == b"traf":
            extents += _read_traf(buffer, traf, moof_at, tracks)
    return extents


def _read_traf(buffer: bytes, traf: Box, moof_at: int, tracks: dict[int, Track]) -> list[Extent]:
    tfhd = Fields(buffer, boxes.need(buffer, traf.start, traf.end, b"tfhd"))
    flags, track = tfhd.uint(4), tracks.get(tfhd.uint(4))
    if track is None:
        raise Mp4Error(f"a fragment of an unknown track at byte {moof_at}")
    duration, size, sample_flags = track.defaults
    base = tfhd.uint(8) if flags & _TFHD_BASE else moof_at
    if not flags & (_TFHD_BASE | _TFHD_BASE_IS_MOOF):
        raise Mp4Error(f"a fragment without its base offset at byte {moof_at}")
    tfhd.skip(4 if flags & _TFHD_DESCRIPTION else 0)
    duration = tfhd.uint(4) if flags & _TFHD_DURATION else duration
    size = tfhd.uint(4) if flags & _TFHD_SIZE else size
    sample_flags = tfhd.uint(4) if flags & _TFHD_FLAGS else sample_flags
    tfdt = Fields(buffer, boxes.need(buffer, traf.start, traf.end, b"tfdt"))
    dts = tfdt.uint(8 if tfdt.uint(4) >> 24 else 4)
    extents: list[Extent] = []
    data_at = base
    for box in boxes.children(buffer, traf.start, traf.end):
        if box.type == b"trun":
            if dts > MAX_TICKS:
                raise Mp4Error(f"impossible decoding time at byte {moof_at}")
            part = _read_trun(
                Fields(buffer, box), track, (duration, size, sample_flags), dts, (base, data_at)
            )
            if not len(part.dts):
                continue
            dts = int(part.dts[-1]) + int(part.duration[-1])
            data_at = int(part.offset[-1]) + int(part.size[-1])
            extents.append(Extent(int(part.offset[0]), data_at))
            track.parts.append(part)
    return extents


def _read_trun(
    fields: Fields, track: Track, defaults: tuple[int, int, int], dts: int, data: tuple[int, int]
) -> Part:
    """`data`: what a stated offset counts from, and where the data goes on if none is stated."""
    flags, count = fields.uint(4), fields.uint(4)
    version, flags = flags >> 24, flags & 0xFFFFFF
    track.samples += count
    track.runs += 1
    if track.samples > MAX_SAMPLES or track.runs > MAX_RUNS:
        raise Mp4Error(f"more than {MAX_SAMPLES} samples or {MAX_RUNS} runs of them in a track")
    at = data[0] + fields.sint(4) if flags & _TRUN_OFFSET else data[1]
    if not 0 <= at <= _MAX_OFFSET:
        raise Mp4Error(f"samples at byte {at}, where no file is")
    first_flags = fields.uint(4) if flags & _TRUN_FIRST_FLAGS else None
    present = [column for column in _TRUN_COLUMNS if flags & column]
    raw = np.frombuffer(fields.take(4 * count * len(present)), ">u4")
    table = raw.reshape(count, len(present)).astype(np.uint32)

    def column(which: int, default: int) -> NDArray[np.uint32]:
        if which in present:
            return np.ascontiguousarray(table[:, present.index(which)])
        return np.full(count, default, np.uint32)

    duration, size = column(_TRUN_DURATION, defaults[0]), column(_TRUN_SIZE, defaults[1])
    sample_flags = column(_TRUN_FLAGS, defaults[2])
    if first_flags is not None and count:
        sample_flags[0] = first_flags
    cts = column(_TRUN_CTS, 0).view(np.int32)
    if version == 0 and (cts < 0).any():
        raise Mp4Error("a composition offset of more than 2^31 ticks")
    before = np.cumsum(size, dtype=np.int64) - size
    dts_column = dts + np.cumsum(duration, dtype=np.int64) - duration
    return Part(dts_column, duration, size, cts, (sample_flags & _NOT_SYNC) == 0, at + before)
