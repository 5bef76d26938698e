"""Where a clip's bytes lie: chunks of samples, one after another in the virtual `mdat`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archive.mp4.index import Ints
from archive.mp4.selection import Samples
from archive.mp4.timeline import Silence, SoundFormat

# Stored neighbours no further apart than this (the boxes of one fragment) are sent as one slice.
_BRIDGE_BYTES = 4096
SILENT = -1


@dataclass(frozen=True, eq=False)
class Chunks:
    """Chunks of one track in order of its samples. `piece` is SILENT for made silence, and then
    `offset` is 0. `time` is when the chunk begins, in line ticks since the clip's beginning.
    """

    samples: Ints
    length: Ints
    piece: Ints
    offset: Ints
    time: Ints

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, eq=False)
class Layout:
    """`at`: offset of each chunk in the mdat's payload, one array a track. The payload of `length`
    bytes is a sequence of parts: `part_at` (in the payload), and `part_piece`, `part_offset` as in Chunks.
    """

    at: list[Ints]
    length: int
    part_at: list[int]
    part_piece: list[int]
    part_offset: list[int]


def stored_chunks(samples: Samples, time: Ints, broken_at: Sequence[int] = ()) -> Chunks:
    """Samples that are neighbours in a stored file form a chunk; none reaches over `broken_at`."""
    end = samples.offset + samples.size
    begins = np.ones(len(samples), np.bool_)
    np.not_equal(samples.offset[1:], end[:-1], out=begins[1:])
    begins[1:] |= samples.piece[1:] != samples.piece[:-1]
    inner = [number for number in broken_at if number < len(samples)]
    begins[inner] = True
    first = np.flatnonzero(begins)
    after = np.append(first, len(samples))[1:]
    length = end[after - 1] - samples.offset[first]
    return Chunks(after - first, length, samples.piece[first], samples.offset[first], time[first])


def with_silence(stored: Chunks, silences: Sequence[Silence], form: SoundFormat, scale: int) -> Chunks:
    """The sound's chunks together with those of made silence, each of them about a second."""
    if form.silence is None or not silences:
        return stored
    first = np.cumsum(stored.samples) - stored.samples
    second = max(1, form.timescale // form.frame_ticks)
    where: list[int] = []
    counts: list[int] = []
    times: list[int] = []
    for silence in silences:
        position = int(np.searchsorted(first, silence.before))
        for done in range(0, silence.count, second):
            where.append(position)
            counts.append(min(second, silence.count - done))
            times.append((silence.at_ticks + done * form.frame_ticks) * (scale // form.timescale))
    made = np.asarray(counts, np.int64)
    return Chunks(
        np.insert(stored.samples, where, made),
        np.insert(stored.length, where, made * len(form.silence)),
        np.insert(stored.piece, where, SILENT),
        np.insert(stored.offset, where, 0),
        np.insert(stored.time, where, times),
    )


def arrange(tracks: Sequence[Chunks], *, bridge: bool) -> Layout:
    """All chunks in stored order, made silence between them by its time.

    `bridge` lets a slice run over what lies between stored neighbours, so that one read serves many
    fragments; without it the payload consists of the chunks alone.
    """
    length, piece, offset, time = (
        np.concatenate([getattr(track, name) for track in tracks])
        for name in ("length", "piece", "offset", "time")
    )
    order = _order(piece, offset, time)
    piece, offset, length = piece[order], offset[order], length[order]
    dead = np.zeros(len(order), np.int64)
    if bridge:
        apart = offset[1:] - offset[:-1] - length[:-1]
        near = (piece[1:] == piece[:-1]) & (piece[1:] != SILENT) & (apart > 0) & (apart <= _BRIDGE_BYTES)
        dead[:-1][near] = apart[near]
    sent = length + dead
    begin = np.cumsum(sent) - sent
    at = np.empty_like(begin)
    at[order] = begin
    fresh = np.ones(len(order), np.bool_)
    joined = (piece[1:] == SILENT) | (offset[1:] == offset[:-1] + sent[:-1])
    fresh[1:] = (piece[1:] != piece[:-1]) | ~joined
    bounds = np.cumsum([len(track) for track in tracks])[:-1]
    return Layout(
        np.split(at, bounds),
        int(sent.sum()),
        begin[fresh].tolist(),
        piece[fresh].tolist(),
        offset[fresh].tolist(),
    )


def _order(piece: Ints, offset: Ints, time: Ints) -> NDArray[np.intp]:
    stored = np.flatnonzero(piece != SILENT)
    stored = stored[np.lexsort((offset[stored], piece[stored]))]
    silent = np.flatnonzero(piece == SILENT)
    silent = silent[np.argsort(time[silent], kind="stable")]
    # Stored order is the order of time but for the grain of fragments.
    reached = np.maximum.accumulate(time[stored])
    return np.insert(stored, np.searchsorted(reached, time[silent]), silent)
