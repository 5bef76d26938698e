"""What a clip says about itself: which footage it shows when, and where something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from archive.mp4.index import Kind
from archive.mp4.selection import Placed, Samples, in_order
from archive.mp4.timeline import SoundFormat, Timeline
from recorder.instants import US_PER_SECOND

# A pause that a person would notice; shorter ones are the grain of frames and packets.
_PICTURE_GAP_S = 1.0
_SOUND_GAP_US = 100_000


@dataclass(frozen=True, slots=True)
class Run:
    """Footage of one run: wall clock `[start_us, end_us)`, shown from `at_us` of the clip on."""

    run: str
    start_us: int
    end_us: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Gap:
    """`[start_us, end_us)` without this track: the picture is frozen, the sound silent."""

    track: Kind
    start_us: int
    end_us: int


def runs_of(placed: Sequence[Placed], axis: Timeline, tracks: Sequence[Samples]) -> tuple[Run, ...]:
    """In order of time; footage of one run that is interrupted for a second or more is told apart."""
    found: list[Run] = []
    bounds_of = [_bounds(samples, len(placed)) for samples in tracks]
    for number, each in enumerate(placed):
        bounds = [bounds[number] for bounds in bounds_of if number in bounds]
        if not bounds:
            continue
        start, end = min(low for low, _ in bounds), max(high for _, high in bounds)
        start_us, end_us = each.wall_us(start), each.wall_us_up(end)
        last = found[-1] if found else None
        if last and last.run == each.piece.run and start_us - last.end_us < US_PER_SECOND:
            found[-1] = Run(last.run, last.start_us, max(last.end_us, end_us), last.at_us)
        else:
            at = int(axis.shown_at(np.asarray([start]))[0])
            found.append(Run(each.piece.run, start_us, end_us, max(at, 0) * US_PER_SECOND // axis.scale))
    return tuple(found)


def picture_gaps(placed: Sequence[Placed], pictures: Samples, clip: tuple[int, int]) -> list[Gap]:
    """Freezes of more than a second inside `clip` (start_us, end_us)."""
    shown, ends, piece = pictures.start, pictures.end, pictures.piece
    if not in_order(shown):
        order = np.argsort(shown, kind="stable")
        shown, ends, piece = shown[order], ends[order], piece[order]
    steps = np.diff(shown)
    scale = placed[0].scale

    def wall_us(position: int, line: int) -> int:
        return placed[int(piece[position])].wall_us(line)

    pause = int(_PICTURE_GAP_S * scale)
    gaps = []
    if len(steps) and int(steps.max()) > pause:
        usual = int(np.median(steps))
        gaps = [
            Gap("video", wall_us(i, int(shown[i]) + usual), wall_us(i + 1, int(shown[i + 1])))
            for i in np.flatnonzero(steps - usual > pause).tolist()
        ]
    first_us = wall_us(0, int(shown[0]))
    last_us = wall_us(-1, int(ends[-1]))
    if first_us - clip[0] > _PICTURE_GAP_S * US_PER_SECOND:
        gaps.insert(0, Gap("video", clip[0], first_us))
    if clip[1] - last_us > _PICTURE_GAP_S * US_PER_SECOND:
        gaps.append(Gap("video", last_us, clip[1]))
    return gaps


def sound_gaps(placed: Sequence[Placed], sound: Samples, axis: Timeline, form: SoundFormat) -> list[Gap]:
    """Stretches of made silence of more than a tenth of a second."""
    gaps = []
    for silence in axis.silences:
        near = placed[int(sound.piece[min(silence.before, len(sound) - 1)])]
        start_us = near.wall_us(silence.line)
        length_us = silence.count * form.frame_ticks * US_PER_SECOND // form.timescale
        if length_us > _SOUND_GAP_US:
            gaps.append(Gap("audio", start_us, start_us + length_us))
    return gaps


def _bounds(samples: Samples, pieces: int) -> dict[int, tuple[int, int]]:
    """By number of the piece, the first and the last line position of its samples; without those of none."""
    edges = np.searchsorted(samples.piece, np.arange(pieces + 1)).tolist()
    return {
        number: (int(samples.start[low:high].min()), int(samples.end[low:high].max()))
        for number, (low, high) in enumerate(pairwise(edges))
        if low < high
    }
