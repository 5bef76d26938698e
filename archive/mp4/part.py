"""One part of a day: a fragment (`moof`, `mdat`) whose samples are slices of a stored segment.

Headers are made here, with the times of the player's line; media bytes are named, for the caller to read.
A missing picture is a stored keyframe that stays, missing sound is silent packets. Pure; the same plan gives
the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archive.mp4 import head
from archive.mp4.boxes import box, full_box
from archive.mp4.codec import aac_lc, codec_of
from archive.mp4.day import Part
from archive.mp4.groups import Groups, MediaClock, delay_of, groups_of
from archive.mp4.index import Flags, Ints, SegmentIndex, TrackIndex
from archive.mp4.layout import Chunks, Layout, arrange, stored_chunks, with_silence
from archive.mp4.selection import Samples
from archive.mp4.silence import silent_frame
from archive.mp4.sliced import SlicedFile
from archive.mp4.timeline import Silence, SoundFormat
from archive.mp4.virtual import NothingRecordedError
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval

# Part of every ETag: a change of how parts are made must change it.
_FORMAT_VERSION = 1
_OWN, _LENT = 0, 1
_MDAT_HEADER_BYTES = 16
_DEFAULT_BASE_IS_MOOF, _DEFAULT_FLAGS = 0x20000, 0x20
_TRUN_OFFSET, _TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_CTS = 0x1, 0x100, 0x200, 0x400, 0x800
# ISO/IEC 14496-12, 8.8.3.1: depends on no other, or on others and is no sync sample.
_SYNC, _NOT_SYNC = 0x2000000, 0x1010000


@dataclass(frozen=True, eq=False)
class Source:
    """A stored segment: its object's name, its index, and the instant that its times count from."""

    name: str
    index: SegmentIndex
    start_us: int


@dataclass(frozen=True, eq=False)
class PartFile(SlicedFile):
    """`shown`: the instants of its own samples, from the first one's beginning to the last one's end, and
    the beginning of a picture that is lent.
    """

    shown: tuple[Interval, ...]


@dataclass(frozen=True, eq=False)
class _Track:
    """Samples of one track in order; `decode` and `duration` in its ticks on the player's line."""

    track: TrackIndex
    chunks: Chunks
    decode: Ints
    duration: Ints
    size: Ints
    cts: Ints | None
    sync: Flags | None
    shown_us: tuple[int, int] | None


def describe(own: Source, still: Source | None, hush: Source | None) -> bytes:
    """The description of the tracks that all parts of a stretch share (EXT-X-MAP)."""
    tracks = (
        own.index.video or (still.index.video if still else None),
        own.index.audio or (hush.index.audio if hush else None),
    )
    return head.build_fragmented([track for track in tracks if track is not None])


def build(part: Part, own: Source, still: Source | None, hush: Source | None) -> PartFile:
    """Raises NothingRecordedError where no whole sample is left, ValueError for groups that are not there."""
    groups = groups_of(own.index)
    if not 0 <= part.first < part.last <= len(groups):
        raise ValueError(f"no groups [{part.first}, {part.last}) of {len(groups)}")
    clock = MediaClock(_leading(own.index))
    lender = hush.index.audio if hush else None
    sound_track = own.index.audio or lender
    form = _form(sound_track) if sound_track is not None else None
    tracks = [*own.index.tracks, *(still.index.tracks if still else ()), *([lender] if lender else [])]
    scale = math.lcm(*(track.timescale for track in tracks))
    pictures = _pictures(part, own.index, groups, clock, scale)
    sound = _sound(part, own.index.audio, sound_track, form, groups, clock, scale)
    shown = [each.shown_us for each in (pictures, sound) if each is not None and each.shown_us]
    if not shown:
        raise NothingRecordedError("no whole picture and no whole packet of sound is in this part")
    begin_us, end_us = min(first for first, _ in shown), max(last for _, last in shown)
    instants = [Interval(own.start_us + begin_us, own.start_us + end_us)]
    names = [own.name]
    if pictures is None and still is not None:
        pictures, key_us = _frozen(part, still.index, begin_us, scale)
        names.append(still.name)
        instants.append(Interval(still.start_us + key_us, still.start_us + key_us + 1))
    made = [each for each in (pictures, sound) if each is not None]
    arranged = arrange([each.chunks for each in made], bridge=True)
    top = _headers(made, arranged, part.first + 1)
    return PartFile(
        len(top) + arranged.length,
        _etag(top, arranged, names),
        top,
        arranged,
        tuple(names),
        (form.silence if form else None) or b"",
        tuple(instants),
    )


def _leading(index: SegmentIndex) -> TrackIndex:
    return index.video or index.tracks[0]


def _form(track: TrackIndex) -> SoundFormat:
    aac = aac_lc(codec_of(track))
    if aac is not None and aac.frame_samples * track.timescale % aac.sample_rate == 0:
        ticks = aac.frame_samples * track.timescale // aac.sample_rate
        return SoundFormat(track.timescale, ticks, silent_frame(aac))
    return SoundFormat(track.timescale, max(int(np.median(track.duration)), 1), None)


def _ticks(us: int, timescale: int) -> int:
    return (2 * us * timescale + US_PER_SECOND) // (2 * US_PER_SECOND)


def _pictures(
    part: Part, index: SegmentIndex, groups: Groups, clock: MediaClock, scale: int
) -> _Track | None:
    """Those of the groups that can be decoded and end in time."""
    track = index.video
    if track is None:
        return None
    low, high = int(groups.picture[part.first]), int(groups.picture[part.last])
    shown = clock.us(track, track.pts[low:high])
    after = np.diff(np.append(track.dts, track.dts[-1] + int(track.duration[-1])))[low:high]
    end = shown + np.rint(after * (US_PER_SECOND / track.timescale)).astype(np.int64)
    keep = np.ones(high - low, np.bool_)
    if part.from_us is not None:
        keep &= shown >= part.from_us
    if part.until_us is not None:
        beyond = np.flatnonzero(keep & (end > part.until_us))
        keep[beyond[0] if len(beyond) else high :] = False
    which = np.flatnonzero(keep)
    if not len(which):
        return None
    delay = delay_of(track)
    decode = track.dts[low:high][which] + delay - clock.base(track) + _ticks(part.at_us, track.timescale)
    duration = np.diff(np.append(decode, decode[-1] + after[which[-1]]))
    if part.picture_to_us is not None:
        last = decode[-1] - delay + int(track.cts[low + which[-1]])
        to = _ticks(part.at_us + part.picture_to_us, track.timescale)
        duration[-1] = max(int(duration[-1]), to - int(last))
    samples = _samples(track, low + which, _OWN)
    return _Track(
        track,
        stored_chunks(samples, decode * (scale // track.timescale)),
        decode,
        duration,
        samples.size,
        track.cts[low + which].astype(np.int64) - delay,
        track.sync[low + which],
        (int(shown[which].min()), int(end[which].max())),
    )


def _frozen(part: Part, lender: SegmentIndex, begin_us: int, scale: int) -> tuple[_Track, int]:
    """A keyframe of another segment, from where the part's sound begins to its end; and its own instant."""
    track, groups = lender.video, groups_of(lender)
    if track is None or part.still is None or not 0 <= part.still.group < len(groups):
        raise ValueError(f"no picture is lent: {part.still}")
    number = np.array([groups.picture[part.still.group]])
    begin_us = min(begin_us, begin_us if part.sound_from_us is None else part.sound_from_us)
    begin = _ticks(part.at_us + begin_us, track.timescale)
    end = _ticks(part.at_us + (part.picture_to_us or begin_us), track.timescale)
    samples = _samples(track, number, _LENT)
    decode = np.array([begin])
    duration = np.array([max(end - begin, track.timescale // 50)])
    chunks = stored_chunks(samples, decode * (scale // track.timescale))
    none, sync = np.zeros(1, np.int64), np.ones(1, np.bool_)
    frozen = _Track(track, chunks, decode, duration, samples.size, none, sync, None)
    return frozen, int(groups.key[part.still.group])


def _sound(
    part: Part,
    own: TrackIndex | None,
    like: TrackIndex | None,
    form: SoundFormat | None,
    groups: Groups,
    clock: MediaClock,
    scale: int,
) -> _Track | None:
    """The groups' packets, and silent ones like them where a whole packet or more is missing."""
    if like is None or form is None:
        return None
    at = _ticks(part.at_us, form.timescale)
    which = _packets(part, own, groups, clock) if own is not None else np.zeros(0, np.int64)
    start = own.dts[which] - clock.base(own) + at if own is not None else np.zeros(0, np.int64)
    silences = _silences(part, start, form) if form.silence is not None else []
    if not len(start) and not silences:
        return None
    samples = _samples(own or like, which, _OWN)
    stored = stored_chunks(samples, start * (scale // form.timescale), [each.before for each in silences])
    chunks = with_silence(stored, silences, form, scale)
    made = [each.at_ticks + form.frame_ticks * np.arange(each.count) for each in silences]
    where = np.repeat(
        np.array([each.before for each in silences], np.int64), [each.count for each in silences]
    )
    if made:
        size = np.insert(samples.size, where, len(form.silence or b""))
        start = np.insert(start, where, np.concatenate(made))
    else:
        size = samples.size
    duration = np.maximum(np.diff(np.append(start, start[-1] + form.frame_ticks)), 1)
    shown = None
    if own is not None and len(which):
        packet = clock.us(own, own.pts[which])
        shown = int(packet[0]), int(packet[-1]) + int(clock.length_us(own)[which[-1]])
    return _Track(own or like, chunks, start, duration, size, None, None, shown)


def _packets(part: Part, own: TrackIndex, groups: Groups, clock: MediaClock) -> Ints:
    low, high = int(groups.sound[part.first]), int(groups.sound[part.last])
    start = clock.us(own, own.pts[low:high])
    keep = np.ones(high - low, np.bool_)
    if part.from_us is not None:
        keep &= start >= part.from_us
    if part.until_us is not None:
        keep &= start + clock.length_us(own)[low:high] <= part.until_us
    return low + np.flatnonzero(keep)


def _silences(part: Part, start: Ints, form: SoundFormat) -> list[Silence]:
    """Where packets are missing: before the first, between, after the last one."""
    bounds: list[tuple[int, int, int]] = []  # before which packet, from, to
    begin, end = (
        None if us is None else _ticks(part.at_us + us, form.timescale)
        for us in (part.sound_from_us, part.sound_to_us)
    )
    if not len(start):
        return _fit(0, begin, end, form) if begin is not None and end is not None else []
    if begin is not None:
        bounds.append((0, begin, int(start[0])))
    ends = start + form.frame_ticks
    holes = np.flatnonzero(start[1:] - ends[:-1] >= form.frame_ticks / 2).tolist()
    bounds += [(number + 1, int(ends[number]), int(start[number + 1])) for number in holes]
    if end is not None:
        bounds.append((len(start), int(ends[-1]), end))
    return [each for before, low, high in bounds for each in _fit(before, low, high, form)]


def _fit(before: int, low: int, high: int, form: SoundFormat) -> list[Silence]:
    count = round((high - low) / form.frame_ticks)
    return [Silence(before, count, low, low)] if count > 0 else []


def _samples(track: TrackIndex, which: Ints, piece: int) -> Samples:
    return Samples(
        track.pts[which],
        track.pts[which],
        track.size[which].astype(np.int64),
        track.sync[which],
        np.full(len(which), piece, np.int64),
        track.offset[which],
    )


def _headers(tracks: Sequence[_Track], arranged: Layout, number: int) -> bytes:
    """`moof` and the header of the `mdat` after it."""

    def moof(base: int) -> bytes:
        trafs = [_traf(order + 1, each, arranged.at[order] + base) for order, each in enumerate(tracks)]
        return box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", number)), *trafs)

    # Offsets have a fixed width: the first pass tells the length, the second the truth.
    base = len(moof(0)) + _MDAT_HEADER_BYTES
    return moof(base) + struct.pack(">I4sQ", 1, b"mdat", _MDAT_HEADER_BYTES + arranged.length)


def _traf(number: int, made: _Track, chunk_at: Ints) -> bytes:
    flags = _TRUN_DURATION | _TRUN_SIZE
    columns = [made.duration, made.size]
    if made.sync is not None and made.cts is not None:
        flags |= _TRUN_FLAGS | _TRUN_CTS
        columns += [np.where(made.sync, _SYNC, _NOT_SYNC), made.cts & 0xFFFFFFFF]
    table = np.stack(columns, axis=1).astype(">u4")
    truns, at = [], 0
    for count, offset in zip(made.chunks.samples.tolist(), chunk_at.tolist(), strict=True):
        fields = struct.pack(">Ii", count, offset)
        truns.append(full_box(b"trun", 1, flags | _TRUN_OFFSET, fields, table[at : at + count].tobytes()))
        at += count
    tfhd = full_box(b"tfhd", 0, _DEFAULT_BASE_IS_MOOF | _DEFAULT_FLAGS, struct.pack(">II", number, _SYNC))
    begin = max(int(made.decode[0]), 0)
    return box(b"traf", tfhd, full_box(b"tfdt", 1, 0, struct.pack(">Q", begin)), *truns)


def _etag(top: bytes, arranged: Layout, names: Sequence[str]) -> str:
    """Over all that determines the bytes, given that a stored object never changes under its name."""
    plan = hashlib.sha256(b"part %d" % _FORMAT_VERSION)
    plan.update(hashlib.sha256(top).digest())
    plan.update("\0".join(names).encode())
    for column in (arranged.part_at, arranged.part_piece, arranged.part_offset):
        plan.update(np.asarray(column, "<i8").tobytes())
    return f'"{plan.hexdigest()[:32]}"'
