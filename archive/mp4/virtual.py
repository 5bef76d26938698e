"""The clip engine: stored segments → one progressive MP4 of known length, of which no byte is copied.

The head is made here, from sample indexes; media bytes are named as slices of stored objects, for the
caller to read. Pure: no file, no clock. The same plan gives the same bytes, under the same ETag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from archive.mp4 import layout
from archive.mp4.account import Gap, Run, picture_gaps, runs_of, sound_gaps
from archive.mp4.assembly import Assembly
from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import Codec, aac_lc, codec_of, coding_of
from archive.mp4.index import Kind, TrackIndex
from archive.mp4.selection import (
    Piece,
    begin_us,
    choose_pictures,
    choose_sound,
    line_scale,
    place,
)
from archive.mp4.silence import silent_frame
from archive.mp4.sliced import Literal, Slice, SlicedFile, Stored
from archive.mp4.timeline import SoundFormat, lay_out
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND, format_instant
from recorder.intervals import Interval

__all__ = [
    "ClipTooLongError",
    "CodecChangeError",
    "Gap",
    "Literal",
    "NothingRecordedError",
    "Piece",
    "Run",
    "Slice",
    "Snap",
    "Stored",
    "VirtualMp4",
    "build",
    "check_length",
]

# Part of every ETag: a change of how clips are made must change it.
FORMAT_VERSION = 1
# Beyond it the head alone weighs 5 MB and more, and players wait for it.
MAX_CLIP_US = 3 * 3600 * US_PER_SECOND


class NothingRecordedError(ProtokolError):
    """No whole sample of the interval is among the pieces."""


class ClipTooLongError(ProtokolError):
    """More than 3 h. `split_us`: instants that divide the interval into clips that are short enough."""

    def __init__(self, message: str, split_us: tuple[int, ...]) -> None:
        super().__init__(message)
        self.split_us = split_us


class CodecChangeError(ProtokolError):
    """Coding parameters change inside: one decoder cannot play it. Split at `at_us`."""

    def __init__(self, message: str, at_us: int) -> None:
        super().__init__(message)
        self.at_us = at_us


class Snap(Enum):
    """Where a clip's ends go when they fall between samples. There is one way, for everybody."""

    INWARD = (
        "inward"  # from the first keyframe at or after the start, to the last sample that ends by the end
    )


@dataclass(frozen=True, eq=False)
class VirtualMp4(SlicedFile):
    """A progressive file. `[start_us, end_us)` is what it shows, inside what was asked for. `coding` of the
    picture: h264, h265 (which not every browser plays), empty without a picture.

    `stretched_sound`: the sound is in a form whose silence is not known, so holes were bridged by
    long packets, after which some players let the sound run ahead of the picture.
    """

    start_us: int
    end_us: int
    snap: Snap
    runs: tuple[Run, ...]
    gaps: tuple[Gap, ...]
    stretched_sound: bool
    coding: str


def build(pieces: Sequence[Piece], interval: Interval, *, exact: bool) -> VirtualMp4:
    """The clip of `interval` out of the stored `pieces` (any order; those outside are ignored).

    Ends snap inward (`Snap.INWARD`). `exact` is for what leaves the house: no byte of media from outside
    the interval, not as a dead byte between samples, not inside the overlapping windows of sound.
    Otherwise dead bytes (fragment headers) may lie between the samples, for fewer and longer slices.

    Gaps freeze the picture and fill the sound with silence, so that the clip keeps the wall clock.
    Raises NothingRecordedError, ClipTooLongError, CodecChangeError; Mp4Error for damaged indexes.
    """
    used = sorted(
        (piece for piece in pieces if piece.start_us < interval.end_us and piece.end_us > interval.start_us),
        key=lambda piece: (piece.start_us, piece.name),
    )
    if not used:
        raise NothingRecordedError("nothing is recorded in the interval")
    check_length(Interval(used[0].start_us, max(piece.end_us for piece in used)), interval)
    picture_track, sound_track = _one_codec(used, "video"), _one_codec(used, "audio")
    scale = line_scale(used)
    placed = place(used, scale)
    form = _sound_format(used, sound_track) if sound_track else None
    pictures = choose_pictures(placed, interval)
    sound = None
    if form is not None:
        begin = begin_us(placed, pictures, interval)
        sound = choose_sound(placed, interval, begin, frame_ticks=form.frame_ticks, exact=exact)
    axis = lay_out(sound, form, pictures, scale)
    if sound is not None:
        sound = sound.only(axis.kept)
    tracks = [samples for samples in (pictures, sound) if samples is not None]
    if not tracks:
        raise NothingRecordedError("no whole picture and no whole packet of sound lies in the interval")
    assembly = Assembly(axis)
    assembly.add(
        (picture_track, pictures) if picture_track and pictures else None,
        (sound_track, sound, form) if sound_track and sound and form else None,
    )
    runs = runs_of(placed, axis, tracks)
    start_us, end_us = runs[0].start_us, max(run.end_us for run in runs)
    gaps = picture_gaps(placed, pictures, (start_us, end_us)) if pictures else []
    if sound and form:
        gaps += sound_gaps(placed, sound, axis, form)
    top, media = assembly.finish(bridge=not exact, start_s=start_us // US_PER_SECOND)
    return VirtualMp4(
        size=len(top) + media.length,
        etag=_etag(top, media, used),
        head=top,
        start_us=start_us,
        end_us=end_us,
        snap=Snap.INWARD,
        runs=runs,
        gaps=tuple(sorted(gaps, key=lambda gap: (gap.start_us, gap.track))),
        stretched_sound=bool(axis.stretched),
        coding=coding_of(picture_track) if picture_track and pictures else "",
        _layout=media,
        _names=tuple(piece.name for piece in used),
        _silence=(form.silence if form else None) or b"",
    )


def _etag(top: bytes, media: layout.Layout, used: Sequence[Piece]) -> str:
    """Over all that determines the bytes, given that a stored object never changes under its name."""
    plan = hashlib.sha256(b"%d" % FORMAT_VERSION)
    plan.update(hashlib.sha256(top).digest())
    for piece in used:
        plan.update(f"{piece.name}\0{piece.index.size_bytes}\0".encode())
    for column in (media.part_at, media.part_piece, media.part_offset):
        plan.update(np.asarray(column, "<i8").tobytes())
    return f'"{plan.hexdigest()[:32]}"'


def check_length(recorded: Interval, interval: Interval) -> None:
    """Raises ClipTooLongError where more of `interval` lies within what is `recorded` than a clip holds.

    Asked before any index is read, too: those of a month would fill the memory.
    """
    start, end = max(interval.start_us, recorded.start_us), min(interval.end_us, recorded.end_us)
    if end - start <= MAX_CLIP_US:
        return
    count = -(-(end - start) // MAX_CLIP_US)
    split = tuple(start + (end - start) * number // count for number in range(1, count))
    named = ", ".join(format_instant(instant) for instant in split)
    raise ClipTooLongError(f"a clip is at most 3 h long; ask for parts, split at {named}", split)


def _one_codec(used: Sequence[Piece], kind: Kind) -> TrackIndex | None:
    """A track that speaks for all of its kind; raises CodecChangeError where they differ."""
    found: tuple[TrackIndex, Codec] | None = None
    for piece in used:
        track = piece.index.video if kind == "video" else piece.index.audio
        if track is None:
            continue
        codec = codec_of(track)
        if found is not None and codec != found[1]:
            raise CodecChangeError(
                f"the {kind} is coded differently from {format_instant(piece.start_us)} on; "
                "ask for two clips, split there",
                piece.start_us,
            )
        found = found or (track, codec)
    return found[0] if found else None


def _sound_format(used: Sequence[Piece], track: TrackIndex) -> SoundFormat:
    aac = aac_lc(codec_of(track))
    if aac is not None and aac.frame_samples * track.timescale % aac.sample_rate == 0:
        ticks = aac.frame_samples * track.timescale // aac.sample_rate
        return SoundFormat(track.timescale, ticks, silent_frame(aac))
    durations = np.concatenate([t.duration for piece in used if (t := piece.index.audio) is not None])
    ticks = int(np.median(durations))
    if ticks == 0:
        raise Mp4Error("sound packets without a duration")
    return SoundFormat(track.timescale, ticks, None)
