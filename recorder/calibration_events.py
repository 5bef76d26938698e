"""Moments that are seen and moments that are heard: flashes, claps, beeps. Pure, on arrays.

Pictures come as a grid of cells, small enough for a telephone held up at a few metres to fill some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# A flash is told by the cells that brighten near the sounds and hardly ever else: a clock on the wall, a
# screen that plays a film and people brighten cells as well.
_FLASH_CELLS = 3
_FLASH_RISE = 20.0  # of 219 steps between black and white
_FLASH_DEVIATIONS = 8.0  # times what the cell brightens by usually
_TOGETHER = 0.5  # seven of ten flashes with a sound, and of sounds with a flash
_SEEN_AT = 0.15  # of the rise: a frame that caught the end of its exposure alone counts
_EVENTS_APART_US = 300_000
# No camera that anybody would use is later than this, and patterns repeat after a second.
PAIR_US = 400_000

_HIGH_PASS_S = 0.005
_BLOCK_S = 0.001
_QUIET_S = 0.15
_SOUND_RISE = 5.0  # over the mean of the quiet before: 14 dB
_SOUND_FLOOR = 0.005  # of full scale, -46 dB
_HEARD_AT = 0.25  # of the loudest sample of the next 10 ms
_ATTACK_S = 0.01

_CLAP_CELLS = 12
_CLAP_MOTION = 4.0
_FULL_SPEED = 0.6


@dataclass(frozen=True, slots=True)
class Pictures:
    """`light`: mean brightness of each cell of each picture; `motion`: mean change of its pixels since the
    picture before, without sign. Both are (pictures, cells).
    """

    times_us: npt.NDArray[np.float64]
    light: Floats
    motion: Floats

    @property
    def frame_us(self) -> float:
        """The usual distance of two pictures; needs two."""
        return float(np.median(np.diff(self.times_us)))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Mono sound in [-1, 1] without a hole. Sample `firsts[n]` was taken at `times_us[n]`."""

    rate: int
    samples: Floats
    firsts: npt.NDArray[np.int64]
    times_us: npt.NDArray[np.float64]

    def at_us(self, sample: int) -> float:
        block = int(np.searchsorted(self.firsts, sample, side="right")) - 1
        return float(self.times_us[block]) + (sample - int(self.firsts[block])) * 1e6 / self.rate


def flash_onsets(pictures: Pictures, heard_us: Sequence[float]) -> list[float]:
    """First pictures of sudden lights, where the picture flashes together with the sounds.

    Flashes without a sound are among them; less than 0.3 s after another one none is.
    """
    light, times = pictures.light, pictures.times_us
    rises = np.diff(light, axis=0)
    usual = np.median(np.abs(rises), axis=0)
    sudden = rises >= np.maximum(_FLASH_RISE, _FLASH_DEVIATIONS * usual)
    best = sorted(
        (
            (_togetherness(times[1:][sudden[:, cell]], heard_us), cell)
            for cell in np.flatnonzero(sudden.any(axis=0))
        ),
        reverse=True,
    )[:_FLASH_CELLS]
    if not best or best[0][0] < _TOGETHER:
        return []
    cells = [cell for score, cell in best if score > 0.8 * best[0][0]]
    level = light[:, cells].mean(axis=1)
    onsets: list[float] = []
    for rise in np.flatnonzero(sudden[:, best[0][1]]):
        if onsets and times[rise + 1] - onsets[-1] < _EVENTS_APART_US:
            continue
        dark = float(np.median(level[max(0, rise - 4) : max(1, rise)]))
        seen = dark + _SEEN_AT * (float(level[rise : rise + 4].max()) - dark)
        # The picture before the steepest rise may have caught the last bit of its exposure.
        onsets.append(float(times[rise if level[rise] > seen else rise + 1]))
    return onsets


def _togetherness(flashes_us: npt.NDArray[np.float64], heard_us: Sequence[float]) -> float:
    """Part of the flashes that have a sound of their own, times part of the sounds that have a flash."""
    apart = np.concatenate([[True], np.diff(flashes_us) >= _EVENTS_APART_US])
    pairs = len(pair(list(flashes_us[apart]), heard_us))
    return pairs * pairs / (int(apart.sum()) * len(heard_us)) if heard_us else 0.0


def pair(pictures_us: Sequence[float], sounds_us: Sequence[float]) -> list[float]:
    """Picture minus sound for each two that are nearest to each other, and near enough."""
    if not len(pictures_us) or not len(sounds_us):
        return []
    deltas = np.asarray(pictures_us)[:, None] - np.asarray(sounds_us)[None, :]
    of_seen = np.abs(deltas).argmin(axis=1)
    of_heard = np.abs(deltas).argmin(axis=0)
    return [
        float(deltas[i, j])
        for i, j in enumerate(of_seen)
        if of_heard[j] == i and abs(deltas[i, j]) <= PAIR_US
    ]


def sound_onsets(stretches: Sequence[Stretch]) -> list[float]:
    """Times at which something begins out of quiet, at least 0.3 s apart; precise to a sample or two.

    What begins within the first 0.15 s of a stretch is not told: its beginning may be cut off.
    """
    onsets: list[float] = []
    for stretch in stretches:
        for sample in _onset_samples(stretch.samples, stretch.rate):
            at_us = stretch.at_us(sample)
            if not onsets or at_us - onsets[-1] >= _EVENTS_APART_US:
                onsets.append(at_us)
    return onsets


def _onset_samples(samples: Floats, rate: int) -> list[int]:
    block, quiet = max(1, round(rate * _BLOCK_S)), round(_QUIET_S / _BLOCK_S)
    count = len(samples) // block
    if count <= quiet:
        return []
    high = np.abs(_high_pass(samples, round(rate * _HIGH_PASS_S)))
    loud = high[: count * block].reshape(count, block).max(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(loud, dtype=np.float64)])
    before = (sums[quiet:count] - sums[: count - quiet]) / quiet
    begins = np.flatnonzero(loud[quiet:] > np.maximum(_SOUND_FLOOR, _SOUND_RISE * before)) + quiet
    onsets: list[int] = []
    last = -quiet
    for each in begins:
        # Blocks of one sound follow each other; the first of them is its beginning.
        if each - last >= quiet:
            attack = high[each * block : each * block + round(rate * _ATTACK_S)]
            from_ = max(0, (int(each) - 2) * block)
            above = np.flatnonzero(high[from_:] > _HEARD_AT * attack.max())
            onsets.append(from_ + int(above[0]))
        last = int(each)
    return onsets


def _high_pass(samples: Floats, width: int) -> npt.NDArray[np.float64]:
    """Without hum and rumble: less the mean of `width` samples around each."""
    padded = np.pad(samples.astype(np.float64), (width // 2 + 1, width - width // 2 - 1), mode="edge")
    sums = np.cumsum(padded)
    return samples - (sums[width:] - sums[:-width])[: len(samples)] / width


def clap_moments(pictures: Pictures, heard_us: Sequence[float]) -> list[float]:
    """Picture minus sound of each sound near which something moved fast and stopped: hands that met.

    Sounds with another one within 0.8 s are left out: nobody could say whose picture it was.
    """
    alone = [
        at_us
        for before, at_us, after in zip(
            [float("-inf"), *heard_us], heard_us, [*heard_us[1:], float("inf")], strict=False
        )
        if at_us - before > 2 * PAIR_US and after - at_us > 2 * PAIR_US
    ]
    usual = np.median(pictures.motion, axis=0)
    deltas = []
    for at_us in alone:
        first, last = np.searchsorted(pictures.times_us, [at_us - PAIR_US, at_us + PAIR_US])
        stop_us = _stop_us(pictures.times_us[first:last], pictures.motion[first:last] - usual)
        if stop_us is not None:
            deltas.append(stop_us - at_us)
    return deltas


def _stop_us(times_us: npt.NDArray[np.float64], motion: Floats) -> float | None:
    """When the fastest movement stopped, between two pictures by how much of it the later one still saw."""
    if len(times_us) < 6:
        return None
    cells = np.argsort(motion.max(axis=0))[-_CLAP_CELLS:]
    speed = motion[:, cells].mean(axis=1)
    if speed.max() < _CLAP_MOTION:
        return None
    # Over two pictures, because the stop may lie in the middle of one. Parting hands slow down gently.
    drops = speed[:-2] - speed[2:]
    at = int(drops.argmax())
    while at + 1 < len(speed) and speed[at + 1] >= _FULL_SPEED * speed[at]:
        at += 1
    if at + 1 >= len(speed) or speed[at] <= 0:
        return None
    part = max(0.0, float(speed[at + 1] / speed[at]))
    return float(times_us[at] + part * (times_us[at + 1] - times_us[at]))


def split_where_torn(
    blocks: Sequence[tuple[float, Floats]], rate: int, *, torn_us: float = 2_000.0
) -> list[Stretch]:
    """Blocks of samples with the time of their first one, in order, as stretches without holes."""
    stretches: list[Stretch] = []
    group: list[tuple[float, Floats]] = []
    for at, (time_us, samples) in enumerate(blocks):
        if at and abs(time_us - (blocks[at - 1][0] + len(blocks[at - 1][1]) * 1e6 / rate)) > torn_us:
            stretches.append(_joined(group, rate))
            group = []
        group.append((time_us, samples))
    return [*stretches, _joined(group, rate)] if group else stretches


def _joined(group: Sequence[tuple[float, Floats]], rate: int) -> Stretch:
    lengths = [len(samples) for _, samples in group]
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    times_us = np.array([time_us for time_us, _ in group])
    return Stretch(rate, np.concatenate([samples for _, samples in group]), firsts, times_us)
