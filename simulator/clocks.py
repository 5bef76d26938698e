"""A day of clocks without media: a camera and a microphone that run apart, and what reaches the host when.

`play` lets the recorder's own clocks and its sound line loop hear that, and tells by how much sound and
picture are apart, second by second. All that happens follows from the scenario and its seed.

Times in this module are seconds of CLOCK_MONOTONIC unless named otherwise. The constant part of a delay
belongs to the true time: no clock can see it, calibration removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recorder.media_clock import CAMERA, MICROPHONE, MediaClock
from recorder.sound_line import LINE_RATE, TICKS_PER_US, SoundLine
from recorder.timeline import TrackTimeline

Floats = npt.NDArray[np.floating]
Network = Literal["lan", "wifi", "bad_wifi", "gamma"]

WORKING_DAY_S = 9 * 3600
_FPS = 25
_GOP = 50
_BLOCK_S = 0.02
_FLOOR_S = {"camera": 0.002, "microphone": 0.001}
# The recorder reads a camera in bursts: what came meanwhile is stamped when it is read.
_READ_PAUSE_S = 0.18
_READ_WAITED_S = 0.002
# At first it waits for this long, until it has seen how late pictures are.
_HELD_US = 300_000
# The microphone's sound is placed in pieces of this many blocks.
_PLACED_BLOCKS = 5
_RAMP_S = 0.5
_LOOP_PPM = {"max_ppm": 1000.0, "slew_ppm": 500.0}
_STEP_US = 20_000


@dataclass(frozen=True)
class Scenario:
    """Moments are fractions of the duration; durations and sizes are seconds.

    `floor_rises`: (moment, duration, by). `camera_steps`, `losses` (of sound, told to nobody): (moment, by).
    `host_slews`: (moment, duration, ppm): the time service corrects the host's clock, and CLOCK_MONOTONIC
    with it. Its steps appear nowhere, because they do not touch CLOCK_MONOTONIC. `wander_s`: standard
    deviation of the camera's least delay, over some ten minutes. `stable_floor`: the least delay of the
    network and the rate of CLOCK_MONOTONIC stay what they are.
    """

    camera_ppm: float
    microphone_ppm: float
    network: Network
    floor_rises: tuple[tuple[float, float, float], ...] = ()
    camera_steps: tuple[tuple[float, float], ...] = ()
    losses: tuple[tuple[float, float], ...] = ()
    wander_s: float = 0.0
    host_slews: tuple[tuple[float, float, float], ...] = ()
    stable_floor: bool = True
    seed: int = 11


SCENARIOS = {
    "wired": Scenario(20, -40, "lan"),
    "apart": Scenario(200, -200, "wifi"),
    "apart_the_other_way": Scenario(-200, 200, "wifi"),
    "bad_wifi": Scenario(-150, 180, "bad_wifi"),
    "gamma": Scenario(-90, 110, "gamma"),
    "floor_rises": Scenario(
        60, -100, "wifi", floor_rises=((0.2, 1200, 0.015), (0.6, 1200, 0.015)), stable_floor=False
    ),
    "camera_steps": Scenario(
        100,
        -100,
        "wifi",
        camera_steps=((0.11, 3.7), (0.22, -0.6), (0.33, 0.4), (0.44, -0.15), (0.55, 0.055)),
    ),
    "floor_wanders": Scenario(-90, 110, "wifi", wander_s=0.004, stable_floor=False),
    "time_service": Scenario(
        -50, 50, "wifi", host_slews=((0.3, 300, 40), (0.7, 300, -40)), stable_floor=False
    ),
    "sound_lost": Scenario(100, -100, "wifi", losses=((0.5, 0.05),)),
    "much_sound_lost": Scenario(-100, 100, "wifi", losses=((0.5, 1.0),)),
}


@dataclass(frozen=True)
class Arrivals:
    """One device's units in the order of arrival: their media time, when they were captured (the constant
    delay included), when they came.
    """

    media: Floats
    true: Floats
    arrival: Floats


@dataclass(frozen=True)
class Played:
    """The worst of each second, in microseconds: any of its sound minus any of its pictures, and how far each
    is from the truth. NaN where nothing was placed. `uncertainty_us`: once a minute, what the two clocks said
    of themselves, added up.
    """

    offset_us: Floats
    picture_us: Floats
    sound_us: Floats
    uncertainty_us: Floats
    jumps: dict[str, int]

    def percentile_ms(self, percent: float) -> float:
        return float(np.nanpercentile(np.abs(self.offset_us), percent)) / 1000

    @property
    def max_ms(self) -> float:
        return float(np.nanmax(np.abs(self.offset_us))) / 1000

    def longest_beyond_s(self, limit_ms: float) -> int:
        """The longest time on end in which sound and picture were further apart."""
        longest = length = 0
        for beyond in np.abs(self.offset_us) > limit_ms * 1000:
            length = length + 1 if beyond else 0
            longest = max(longest, length)
        return longest


def arrivals(scenario: Scenario, duration_s: int) -> tuple[Arrivals, Arrivals]:
    """Of the camera's pictures and the microphone's blocks (media time: the block's end)."""
    rng = np.random.default_rng(scenario.seed)
    camera = _camera(scenario, duration_s, rng)
    microphone = _microphone(scenario, duration_s, rng)
    return _read_in_bursts(_slewed(camera, scenario, duration_s)), _slewed(microphone, scenario, duration_s)


def _clock(ppm: float, duration_s: int, rng: np.random.Generator, media: Floats) -> Floats:
    """True time of media time: a crystal that warms up, follows the day, and feels sun, fan and doors."""
    t = np.arange(duration_s + 20.0)
    skew_ppm = ppm + rng.choice([-1, 1]) * 6 * np.exp(-t / 1500)
    skew_ppm += 3 * np.sin(2 * np.pi * t / 28800 + rng.uniform(0, 6))
    for _ in range(6):
        since = np.maximum(t - rng.uniform(0, duration_s), 0)
        skew_ppm += rng.uniform(-2, 2) * (1 - np.exp(-since / 300))
    elapsed = np.concatenate([[0], np.cumsum(1 + skew_ppm[:-1] * 1e-6)])
    true: Floats = np.interp(media, elapsed, t)
    return true


def _bursts(
    rng: np.random.Generator, count: int, unit_s: float, *, every_s: float, for_s: float, usual_s: float,
    worst_s: float,
) -> Floats:  # fmt: skip
    """Exponential jitter, now and then for a while uniform up to `worst_s`."""
    bad = np.zeros(count, bool)
    t = 0.0
    while t < count * unit_s:
        t += rng.exponential(every_s)
        length = rng.exponential(for_s)
        bad[int(t / unit_s) : int((t + length) / unit_s)] = True
        t += length
    return np.minimum(np.where(bad, rng.uniform(0, worst_s, count), rng.exponential(usual_s, count)), worst_s)


def _jitter(network: Network, rng: np.random.Generator, count: int) -> tuple[Floats, float]:
    """Of each picture, and the mean time between stalls."""
    unit_s = 1 / _FPS
    if network == "lan":
        return _bursts(rng, count, unit_s, every_s=60, for_s=10, usual_s=0.0005, worst_s=0.005), 1800
    if network == "wifi":
        return _bursts(rng, count, unit_s, every_s=40, for_s=15, usual_s=0.003, worst_s=0.040), 60
    if network == "bad_wifi":
        return _bursts(rng, count, unit_s, every_s=5, for_s=60, usual_s=0.010, worst_s=0.040), 15
    return rng.gamma(3, 0.004, count), 60


def _wander(rng: np.random.Generator, duration_s: int, deviation_s: float) -> Floats:
    """Of each second: a delay that goes back to its mean within ten minutes, and is never below zero."""
    keep = np.exp(-1 / 600)
    delay, delays = 0.0, []
    for push in rng.normal(0, deviation_s * np.sqrt(1 - keep**2), duration_s + 20).tolist():
        delay = delay * keep + push
        delays.append(delay)
    within: Floats = np.clip(delays, -3 * deviation_s, 3 * deviation_s)
    return within + 3 * deviation_s


def _stalled(rng: np.random.Generator, arrival: Floats, every_s: float, longest_s: float) -> Floats:
    """Nothing comes for a while, then all at once."""
    last = arrival[-1]
    t = rng.exponential(every_s)
    while t < last:
        end = t + rng.uniform(0.1, longest_s)
        first, behind = np.searchsorted(arrival, (t, end))
        arrival[first:behind] = end + np.arange(behind - first) * 0.0003
        t += rng.exponential(every_s)
    return np.maximum.accumulate(arrival)


def _camera(scenario: Scenario, duration_s: int, rng: np.random.Generator) -> Arrivals:
    count = duration_s * _FPS
    media = np.arange(count) / _FPS
    true = _clock(scenario.camera_ppm, duration_s, rng, media) + _FLOOR_S["camera"]
    jitter, stall_every_s = _jitter(scenario.network, rng, count)
    jitter[::_GOP] += rng.uniform(0.004, 0.012, len(jitter[::_GOP]))  # keyframes take longer to send
    for moment, length_s, by_s in scenario.floor_rises:
        start = moment * duration_s
        jitter[(true > start) & (true < start + length_s)] += by_s
    if scenario.wander_s:
        wander = _wander(rng, duration_s, scenario.wander_s)
        jitter += np.interp(true, np.arange(len(wander)), wander)
    arrival = np.maximum.accumulate(true + jitter)
    arrival = _stalled(rng, arrival, stall_every_s, 0.3)
    for moment, by_s in scenario.camera_steps:
        media[true > moment * duration_s] += by_s
    return Arrivals(media, true, arrival)


def _microphone(scenario: Scenario, duration_s: int, rng: np.random.Generator) -> Arrivals:
    count = round(duration_s / _BLOCK_S)
    media = np.arange(1, count + 1) * _BLOCK_S
    true = _clock(scenario.microphone_ppm, duration_s, rng, media) + _FLOOR_S["microphone"]
    jitter = _bursts(rng, count, _BLOCK_S, every_s=60, for_s=10, usual_s=0.0015, worst_s=0.020)
    arrival = _stalled(rng, np.maximum.accumulate(true + jitter), 300, 0.2)
    kept = np.ones(count, bool)
    for moment, length_s in scenario.losses:
        start = moment * duration_s
        kept &= ~((true > start) & (true < start + length_s))
    # What was lost was not counted.
    return Arrivals(media[: np.count_nonzero(kept)], true[kept], arrival[kept])


def _slewed(units: Arrivals, scenario: Scenario, duration_s: int) -> Arrivals:
    """True and arrival times as a host sees them whose CLOCK_MONOTONIC is made to run faster or slower."""
    if not scenario.host_slews:
        return units
    t = np.arange(duration_s + 20.0)
    rate = np.ones(len(t))
    for moment, length_s, ppm in scenario.host_slews:
        start = moment * duration_s
        rate[(t >= start) & (t < start + length_s)] += ppm * 1e-6
    seen = np.concatenate([[0], np.cumsum(rate[:-1])])
    return Arrivals(units.media, np.interp(units.true, t, seen), np.interp(units.arrival, t, seen))


def _read_in_bursts(units: Arrivals) -> Arrivals:
    reading = 0.0
    stamps = []
    for arrival in units.arrival.tolist():
        stamp = max(arrival, reading)
        stamps.append(stamp)
        if arrival - reading > _READ_WAITED_S:
            reading = stamp + _READ_PAUSE_S
    return Arrivals(units.media, units.true, np.array(stamps))


class _Seconds:
    """A device's units dealt out by the second of their arrival, in microseconds."""

    def __init__(self, units: Arrivals, duration_s: int) -> None:
        self._begin: list[int] = np.searchsorted(units.arrival, np.arange(duration_s + 1.0)).tolist()
        self._media, self._arrival, self._true = (
            (each * 1e6).tolist() for each in (units.media, units.arrival, units.true)
        )

    def units(self, second: int) -> tuple[list[float], list[float], list[float]]:
        """Media times, arrivals, true times."""
        dealt = slice(self._begin[second], self._begin[second + 1])
        return self._media[dealt], self._arrival[dealt], self._true[dealt]


class _Pictures:
    """As a session does it: steps of media time are bridged, the clock sees one line."""

    def __init__(self) -> None:
        self.clock = MediaClock(CAMERA)
        self._timeline = TrackTimeline()
        self._shift_us = 0.0
        self._held: list[tuple[float, float]] = []
        self._held_until_us: float | None = None

    def hear(self, media_us: list[float], arrival_us: list[float], true_us: list[float]) -> list[float]:
        """How far each is placed from its true time."""
        errors = []
        for media, arrival, true in zip(media_us, arrival_us, true_us, strict=True):
            self._shift_us -= self._timeline.step_us(media, arrival)
            self.clock.observe(media + self._shift_us, arrival)
            self._held.append((media + self._shift_us, true))
            if self._held_until_us is None:
                self._held_until_us = arrival + _HELD_US
            if arrival >= self._held_until_us:
                errors += [self.clock.host_us(at) - captured for at, captured in self._held]
                self._held.clear()
        return errors


class _Sounds:
    """As a room with a microphone does it, but for the samples: the resampler is its position."""

    def __init__(self) -> None:
        self.clock = MediaClock(MICROPHONE)
        self._line = SoundLine(LINE_RATE, **_LOOP_PPM, step_us=_STEP_US)
        self._next_ticks: float | None = None
        self._speed = self._wanted = 1.0
        self._waiting: list[tuple[float, float]] = []
        self._media_us = 0.0

    def hear(self, media_us: list[float], arrival_us: list[float], true_us: list[float]) -> list[float]:
        """How far the last sample of each piece that could be placed is from its true time."""
        errors = []
        clock, waiting = self.clock, self._waiting
        for media, arrival, true in zip(media_us, arrival_us, true_us, strict=True):
            clock.observe(media, arrival)
            waiting.append((media, true))
            if len(waiting) >= _PLACED_BLOCKS and not clock.in_doubt:
                errors.append(self._place())
        return errors

    def _place(self) -> float:
        end_us, true_us = self._waiting[-1]
        samples = round((end_us - self._media_us) * TICKS_PER_US)
        placement = self._line.place(samples, self.clock.host_us(self._media_us), self._next_ticks)
        self._media_us = end_us
        self._waiting.clear()
        if placement.start_ticks is not None:
            self._next_ticks = float(placement.start_ticks)
            self._speed = placement.speed or 1.0
        if self._next_ticks is None:
            raise AssertionError("the first block starts the line")
        self._wanted = placement.speed or self._wanted
        samples += placement.silence_samples - placement.drop_samples
        share = min(samples / (_RAMP_S * LINE_RATE), 1.0)
        before, self._speed = self._speed, self._speed + (self._wanted - self._speed) * share
        self._next_ticks += samples * (before + self._speed) / 2
        return self._next_ticks / TICKS_PER_US - true_us


def _worst(errors_us: Sequence[float]) -> float:
    return max(errors_us, key=abs, default=float("nan"))


def play(scenario: Scenario, duration_s: int = WORKING_DAY_S) -> Played:
    """The recorder's clocks through the scenario. Nine hours take some ten seconds of CPU."""
    pictures, sounds = _Pictures(), _Sounds()
    offset_us, picture_us, sound_us, uncertainty_us = (np.full(duration_s, np.nan) for _ in range(4))
    camera, microphone = (_Seconds(each, duration_s) for each in arrivals(scenario, duration_s))
    for k in range(duration_s):
        of_pictures, of_sounds = pictures.hear(*camera.units(k)), sounds.hear(*microphone.units(k))
        picture_us[k], sound_us[k] = _worst(of_pictures), _worst(of_sounds)
        if of_pictures and of_sounds:
            apart = (max(of_sounds) - min(of_pictures), min(of_sounds) - max(of_pictures))
            offset_us[k] = _worst(apart)
        if k % 60 == 59:
            said = (pictures.clock.uncertainty_us, sounds.clock.uncertainty_us)
            uncertainty_us[k] = sum(each or 0 for each in said)
    jumps = {"camera": pictures.clock.jumps, "microphone": sounds.clock.jumps}
    return Played(offset_us, picture_us, sound_us, uncertainty_us, jumps)
