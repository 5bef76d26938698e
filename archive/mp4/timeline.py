"""When each chosen sample is shown: the clip's own time, the same in every player.

Browsers play sound by counting its samples and ignore holes, while pictures follow their stated
times. So the sound is laid out first, without holes, in whole frames (silent ones where it is
missing), and the pictures are shifted by the fraction of a frame that this costs at each hole. No
edit list is used: not every player honours one, and what one hides is still in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from archive.mp4.index import Ints
from archive.mp4.selection import WANDER_S, Samples, in_order


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """`frame_ticks` of the sound's `timescale` per packet; `silence` is a silent packet, None where
    nobody knows how to write one.
    """

    timescale: int
    frame_ticks: int
    silence: bytes | None


@dataclass(frozen=True, slots=True)
class Silence:
    """`count` silent packets before the kept packet `before` (after the last one: how many there are),
    played at `at_ticks` of the sound's time; on the line they begin at `line`.
    """

    before: int
    count: int
    at_ticks: int
    line: int


@dataclass(eq=False)
class Timeline:
    """The clip's time axis. `kept`: numbers of the chosen packets that are played; `sound_ticks`: when.
    `stretched`: kept packets that last longer than they sound, by so many ticks, because nobody
    knows how to write their silence. `end_ticks`: where the sound ends.

    A line position p is shown at `p + shift`, with the shift in force from `shift_from` on.
    """

    scale: int
    kept: Ints
    sound_ticks: Ints
    silences: list[Silence] = field(default_factory=list)
    stretched: dict[int, int] = field(default_factory=dict)
    end_ticks: int = 0
    shift_from: list[int] = field(default_factory=list)
    shift: list[int] = field(default_factory=list)

    def shown_at(self, line: Ints) -> Ints:
        """Line positions, in order → line ticks since the clip's beginning."""
        # What lies before the first shift has it too.
        bounds = [0, *np.searchsorted(line, self.shift_from[1:]).tolist(), len(line)]
        return line + np.repeat(np.asarray(self.shift, np.int64), np.diff(bounds))


def lay_out(
    sound: Samples | None, form: SoundFormat | None, pictures: Samples | None, scale: int
) -> Timeline:
    """The time axis of a clip of these samples, of which one kind may be missing.

    The clip begins with its first sound, or with silence that begins less than one frame before the
    first picture. Packets that lie on others by more than half a frame are left out of `kept`.
    """
    none = np.empty(0, np.int64)
    if sound is None or form is None:
        first = int(pictures.start.min()) if pictures is not None else 0
        return Timeline(scale, none, none, shift_from=[first], shift=[-first])
    writer = _SoundWriter(sound, form, scale)
    first_sound = int(sound.start[0])
    first_picture = int(pictures.start.min()) if pictures is not None else first_sound
    zero = min(first_sound, first_picture)
    if form.silence is not None:
        zero = first_sound - -(-(first_sound - zero) // writer.length) * writer.length
    return writer.write(zero)


class _SoundWriter:
    """Lays packets one after another; `cursor` is the clip's sound so far, in ticks of the sound."""

    def __init__(self, sound: Samples, form: SoundFormat, scale: int) -> None:
        self._start = sound.start
        self._form = form
        self._rate = scale // form.timescale
        self._scale = scale
        self.length = form.frame_ticks * self._rate
        self._cursor = 0
        self._kept: list[Ints] = []
        self._ticks: list[Ints] = []
        self._kept_count = 0
        self._timeline = Timeline(scale, np.empty(0, np.int64), np.empty(0, np.int64))

    def write(self, zero: int) -> Timeline:
        start, axis = self._start, self._timeline
        bounds = [0, *self._breaks().tolist(), len(start)]
        # End of the sound before, on the line: where the next packet belongs.
        due = zero
        for low, high in pairwise(bounds):
            first = low
            jump = int(start[first]) - due
            if jump < -self.length // 2:
                first += -(-(-jump - self.length // 2) // self.length)
                if first >= high:
                    continue
                jump = int(start[first]) - due
            self._bridge(first, jump, zero)
            count = high - first
            self._kept.append(np.arange(first, high, dtype=np.int64))
            sounded = self._cursor + self._form.frame_ticks * count
            self._ticks.append(np.arange(self._cursor, sounded, self._form.frame_ticks, dtype=np.int64))
            self._cursor = sounded
            self._kept_count += count
            due = int(start[high - 1]) + self.length
        axis.kept, axis.sound_ticks = (
            np.concatenate(each) if len(each) > 1 else each[0] for each in (self._kept, self._ticks)
        )
        axis.end_ticks = self._cursor
        return axis

    def _breaks(self) -> Ints:
        """Numbers of the packets that do not follow the one before them."""
        off = self._start - np.arange(0, len(self._start) * self.length, self.length)
        grain = max(int(WANDER_S * self._scale), 1)
        if int(off.min()) // grain == int(off.max()) // grain:
            return np.empty(0, np.int64)
        return np.flatnonzero(np.diff(off // grain)) + 1

    def _bridge(self, number: int, jump: int, zero: int) -> None:
        """Before packet `number`, which begins `jump` line ticks later than the one before it ended."""
        axis, at = self._timeline, int(self._start[number])
        if axis.shift:
            off = self._cursor * self._rate - (at + axis.shift[-1])
            if abs(off) <= WANDER_S * self._scale:
                return
        # How late the sound so far would be, by the line, if this packet followed at once.
        lag = at - zero - self._cursor * self._rate
        if 2 * jump >= self.length and lag > 0:
            self._fill(at - lag, lag)
        # In force from one frame earlier, so that the picture a run begins with shifts with its sound.
        since = at - self.length
        if axis.shift_from:
            since = max(since, axis.shift_from[-1] + 1)
        axis.shift_from.append(since)
        axis.shift.append(self._cursor * self._rate - at)

    def _fill(self, line: int, lag: int) -> None:
        axis, form = self._timeline, self._form
        if form.silence is None:
            extra = lag // self._rate
            bearer = max(self._kept_count - 1, 0)
            axis.stretched[bearer] = axis.stretched.get(bearer, 0) + extra
            self._cursor += extra
            return
        count = (2 * lag + self.length) // (2 * self.length)
        if count:
            axis.silences.append(Silence(self._kept_count, count, self._cursor, line))
            self._cursor += count * form.frame_ticks


def pad_sound(axis: Timeline, form: SoundFormat, until: int) -> None:
    """Adds silence after the last packet, up to `until` (line ticks since the beginning)."""
    rate = axis.scale // form.timescale
    count = (until // rate - axis.end_ticks) // form.frame_ticks
    if form.silence is None or count <= 0:
        return
    line = axis.end_ticks * rate - axis.shift[-1]
    axis.silences.append(Silence(len(axis.kept), count, axis.end_ticks, line))
    axis.end_ticks += count * form.frame_ticks


@dataclass(frozen=True, eq=False)
class PictureTimes:
    """Per picture, in decoding order: ticks of the picture's timescale since the clip's beginning.

    `decode` is the sorted `present`: it begins at 0, as the first picture is shown from the very
    beginning, and is strictly increasing. With B-frames `present` may lie before it (version 1 of
    `ctts`), which keeps the picture where it belongs without an edit list. `end` is when the last
    picture is over.
    """

    decode: Ints
    present: Ints
    end: int


def time_pictures(axis: Timeline, pictures: Samples, timescale: int) -> PictureTimes:
    rate = axis.scale // timescale
    # Without B-frames that is the order that they are in.
    order: Ints | slice = slice(None)
    if not in_order(pictures.start):
        order = np.argsort(pictures.start, kind="stable")
    shown = (axis.shown_at(pictures.start[order]) + rate // 2) // rate
    shown[0] = 0
    # Where a shift or an overlap of runs would turn pictures around, they follow one tick apart.
    decode = shown
    if not (shown[1:] > shown[:-1]).all():
        steps = np.arange(len(shown))
        decode = np.maximum.accumulate(shown - steps) + steps
    present = np.empty_like(decode)
    present[order] = decode
    over = int(axis.shown_at(pictures.end[order][-1:])[0]) // rate
    return PictureTimes(decode, present, max(over, int(decode[-1]) + 1))
