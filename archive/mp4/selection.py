"""Which samples a clip consists of, and where each lies on the clip's line.

The *line* is one axis for all tracks and runs: ticks of a timescale that every track's timescale
divides, 0 at the wall clock of the first piece. Within a run, samples keep the distances of their
media time; each run stands on the line by the wall clock of its first piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archive.mp4.boxes import Mp4Error
from archive.mp4.index import Ints, SegmentIndex, TrackIndex
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval

# A segment is at most 120 s; samples that claim to be further from its start are damage.
_MAX_REACH_S = 300
# A run whose media time and wall clock part by more than this is not trusted to be one line.
_MAX_DRIFT_S = 1
# Segments of a run whose decoding times touch within this are one stream for the decoder.
_TOUCH_S = 0.5
# A wait for the first keyframe: the sound of that time is left out as well, if shorter than this,
# or as long as a group of pictures that began before the clip.
_SNAP_US = 1 * US_PER_SECOND
_MAX_GROUP_US = 15 * US_PER_SECOND
_NEVER_US = 2**62
# Rounding of arrival times to sound ticks makes packets wander by a tick or two. Within so many seconds
# of one another they are played on as one.
WANDER_S = 0.0005


@dataclass(frozen=True, eq=False)
class Piece:
    """A stored segment. Wall clock and media time are linear within it, at rate 1: `start_us` is the
    instant of the keyframe that it begins with (of its first sound where it has no picture). Leading
    pictures, stored after that keyframe and shown before it, lie before `start_us`.

    `name` is the store's name of the object; `end_us` serves to find pieces and to report, never to
    decide about a sample.
    """

    name: str
    index: SegmentIndex
    start_us: int
    end_us: int
    run: str


@dataclass(frozen=True, eq=False)
class Samples:
    """Chosen samples of one track, in stored order. `start` and `end` are presentation, on the line."""

    start: Ints
    end: Ints
    size: Ints
    sync: NDArray[np.bool_]
    piece: Ints
    offset: Ints

    def __len__(self) -> int:
        return len(self.start)

    def only(self, which: Ints) -> Samples:
        """Those of these numbers, each of which is named once, in order."""
        if len(which) == len(self):
            return self
        return Samples(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Placed:
    """A piece on the line: `base` is the position of its instant `start_us`; `anchor` is the same
    instant in line ticks of its run's media time. `cut_us`: where the next run's footage takes over.
    """

    piece: Piece
    scale: int
    base: int
    anchor: int
    cut_us: int

    def wall_us(self, line: int) -> int:
        """The instant of a line position, rounded down."""
        return self.piece.start_us + (line - self.base) * US_PER_SECOND // self.scale

    def wall_us_up(self, line: int) -> int:
        """As `wall_us`, rounded up."""
        return self.piece.start_us - -(line - self.base) * US_PER_SECOND // self.scale

    def first_not_before(self, instant_us: int) -> int:
        """The lowest line position that is not before the instant."""
        return self.base + -(-(instant_us - self.piece.start_us) * self.scale // US_PER_SECOND)

    def last_not_after(self, instant_us: int) -> int:
        return self.base + (instant_us - self.piece.start_us) * self.scale // US_PER_SECOND

    def on_line(self, track: TrackIndex) -> Ints:
        """Presentation times of the track's samples, on the line; raises Mp4Error for absurd ones."""
        return self.bounded(track)[0]

    def bounded(self, track: TrackIndex) -> tuple[Ints, int, int]:
        """As `on_line`, with the least and the greatest of them."""
        rate, shift = self.scale // track.timescale, self.base - self.anchor
        least, greatest = int(track.pts.min()) * rate, int(track.pts.max()) * rate
        if max(abs(least - self.anchor), abs(greatest - self.anchor)) > _MAX_REACH_S * self.scale:
            raise Mp4Error(f"{self.piece.name}: a {track.kind} sample lies far outside its segment")
        start = track.pts * rate
        start += shift
        return start, least + shift, greatest + shift


def place(pieces: Sequence[Piece], scale: int) -> list[Placed]:
    """Pieces in order of time → the same on the line. A piece's footage gives way where the next piece
    of another run begins: overlaps are shown once.
    """
    origin_us = pieces[0].start_us
    runs: dict[str, tuple[int, int]] = {}
    placed = []
    for number, piece in enumerate(pieces):
        track = piece.index.video or piece.index.audio
        if track is None:
            raise Mp4Error(f"{piece.name}: an index without samples")
        anchor = int(track.pts[0]) * (scale // track.timescale)
        wall = (piece.start_us - origin_us) * scale // US_PER_SECOND
        run_base, run_anchor = runs.get(piece.run, (wall, anchor))
        base = run_base + anchor - run_anchor
        if abs(base - wall) > _MAX_DRIFT_S * scale:
            run_base, run_anchor, base = wall, anchor, wall
        runs[piece.run] = (run_base, run_anchor)
        later = (other.start_us for other in pieces[number + 1 :] if other.run != piece.run)
        cut_us = next(later, _NEVER_US)
        placed.append(Placed(piece, scale, base, anchor, cut_us))
    return placed


def line_scale(pieces: Sequence[Piece]) -> int:
    """Ticks a second of a line that no track's tick falls between."""
    return math.lcm(*(track.timescale for piece in pieces for track in piece.index.tracks))


def choose_pictures(placed: Sequence[Placed], interval: Interval) -> Samples | None:
    """Pictures shown wholly inside the interval, decodable from the first one on.

    Begins on a sync sample and leaves out its leading pictures (shown before it, coded from pictures
    that are not here), again wherever a run or the stream is broken. Ends before the first picture,
    in decoding order, that does not end inside: so no kept picture misses what it refers to.
    """
    chosen: list[_Part] = []
    flowing: tuple[str, int] | None = None  # run and line position at which decoding would go on
    for number, each in enumerate(placed):
        track = each.piece.index.video
        if track is None:
            continue
        start, least, _ = each.bounded(track)
        end = _shown_until(start, track, each.scale)
        rate = each.scale // track.timescale
        first_decoding, last_decoding = (int(start[i]) - int(track.cts[i]) * rate for i in (0, -1))
        flows_on = (
            flowing is not None
            and flowing[0] == each.piece.run
            and abs(first_decoding - flowing[1]) <= _TOUCH_S * each.scale
        )
        flowing_on = (each.piece.run, last_decoding + int(track.duration[-1]) * rate)
        first = each.first_not_before(interval.start_us)
        last = each.last_not_after(min(interval.end_us, each.cut_us))
        # As nearly every segment of a clip does: then no sample needs to be looked at.
        if flows_on and least >= first and int(end.max()) <= last:
            chosen.append(_Part(track, number, start, end))
            flowing = flowing_on
            continue
        inside = start >= first
        if not flows_on:
            keys = np.flatnonzero(track.sync & inside)
            if not len(keys):
                flowing = None
                continue
            inside[: keys[0]] = False
            inside &= start >= start[keys[0]]
        too_late = np.flatnonzero(inside & (end > last))
        if len(too_late):
            inside[too_late[0] :] = False
        flowing = None if len(too_late) else flowing_on
        chosen.append(_Part(track, number, start, end, inside))
    return _join(chosen)


def choose_sound(
    placed: Sequence[Placed], interval: Interval, begin_us: int, *, frame_ticks: int, exact: bool
) -> Samples | None:
    """Sound packets from `begin_us` on that lie inside the interval.

    An AAC packet shown at [t, t+n) is coded from the sound of [t-n, t+2n), as its windows overlap those
    of both neighbours. `exact` keeps only packets for which that whole support lies inside.

    At a change of runs a packet that reaches over the first picture of the next run is kept, unless that
    run's own sound begins inside it: no sound is heard twice, and none is lost that the files hold.
    """
    chosen: list[_Part] = []
    length = 0
    for number, each in enumerate(placed):
        track = each.piece.index.audio
        if track is None:
            continue
        start, least, greatest = each.bounded(track)
        length = frame_ticks * (each.scale // track.timescale)
        low, high = each.first_not_before(interval.start_us), each.last_not_after(interval.end_us)
        first, last = max(low, each.first_not_before(begin_us)), min(high, each.last_not_after(each.cut_us))
        support = length if exact else 0
        if least >= max(first, low + support) and greatest + length <= min(last, high - support):
            chosen.append(_Part(track, number, start))
            continue
        end = start + length
        inside = start >= first
        inside &= end <= high
        reaching = inside & (end > last)
        if reaching.any():
            inside &= ~reaching
            if end[np.argmax(reaching)] <= _next_sound(placed, number) + int(WANDER_S * each.scale):
                inside |= reaching & (start < each.first_not_before(each.cut_us))
        if exact:
            inside &= start - length >= low
            inside &= end + length <= high
        chosen.append(_Part(track, number, start, inside=inside))
    # One codec, hence one timescale, hence one length.
    return _join(chosen, length)


def _next_sound(placed: Sequence[Placed], number: int) -> int:
    """Where the sound of other runs begins, on the line, after the piece of that number."""
    first = _NEVER_US
    for later in placed[number + 1 :]:
        track = later.piece.index.audio
        if track is not None and later.piece.run != placed[number].piece.run:
            first = min(first, int(later.on_line(track)[0]))
    return first


def begin_us(placed: Sequence[Placed], pictures: Samples | None, interval: Interval) -> int:
    """Where the clip begins: on its first picture, unless the picture was missing for long.

    The sound before the first keyframe is left out when it is short, or when pictures were there that
    cannot be decoded. Where only sound was recorded at first, the clip begins with that sound.
    """
    if pictures is None:
        return interval.start_us
    first = placed[int(pictures.piece[0])]
    key_us = first.wall_us(int(pictures.start[0]))
    wait_us = key_us - max(interval.start_us, placed[0].piece.start_us)
    if wait_us <= _SNAP_US or (wait_us <= _MAX_GROUP_US and _has_pictures(placed, interval.start_us, key_us)):
        return max(key_us, interval.start_us)
    return interval.start_us


def _has_pictures(placed: Sequence[Placed], from_us: int, to_us: int) -> bool:
    for each in placed:
        track = each.piece.index.video
        if track is not None and each.piece.start_us < to_us:
            start = each.on_line(track)
            shown = (start >= each.first_not_before(from_us)) & (start < each.first_not_before(to_us))
            if shown.any():
                return True
    return False


def _shown_until(start: Ints, track: TrackIndex, scale: int) -> Ints:
    """A picture is shown until the next one in presentation order; the last for its own duration."""
    end = np.empty_like(start)
    if in_order(start):
        end[:-1] = start[1:]
        end[-1] = start[-1] + int(track.duration[-1]) * (scale // track.timescale)
        return end
    order = np.argsort(start, kind="stable")
    end[order[:-1]] = start[order[1:]]
    end[order[-1]] = start[order[-1]] + int(track.duration[order[-1]]) * (scale // track.timescale)
    return end


def in_order(times: Ints) -> bool:
    return bool((times[1:] >= times[:-1]).all())


class _Part(NamedTuple):
    """What is chosen of the piece `number`: all, or what is `inside`. `end` of None: all last alike."""

    track: TrackIndex
    number: int
    start: Ints
    end: Ints | None = None
    inside: NDArray[np.bool_] | None = None

    def columns(self) -> tuple[NDArray[Any], ...]:
        """Start, size, sync and offset as `Samples` has them, and the end where they have one each; sizes
        are as narrow as they are kept.
        """
        found = self.start, self.track.size, self.track.sync, self.track.offset
        if self.end is not None:
            found = *found, self.end  # type: ignore[assignment]
        if self.inside is None:
            return found
        which = np.flatnonzero(self.inside)
        return tuple(column[which] for column in found)


def _join(parts: Sequence[_Part], length: int = 0) -> Samples | None:
    """`length`: of each sample whose part has no ends."""
    columns = [part.columns() for part in parts]
    counts = [len(each[0]) for each in columns]
    if not sum(counts):
        return None
    start, size, sync, offset, *ends = zip(*columns, strict=True)
    at = np.concatenate(start)
    return Samples(
        at,
        np.concatenate(ends[0]) if ends else at + length,
        np.concatenate(size, dtype=np.int64),
        np.concatenate(sync),
        np.repeat(np.array([part.number for part in parts], np.int64), counts),
        np.concatenate(offset),
    )
