"""Keeps sound on the run's line: at what speed to play the next second, and when speed cannot help.

A closed loop. Where each block belongs is known (its host time on the line), and where it would come to
be if nothing were done; the difference sets the speed, slowly enough that nobody hears it. More than a
step apart, speed would take minutes: ahead, the sound between was lost and silence stands for it; behind,
sound came twice or too early, and is dropped.

Pure. Ticks are samples at LINE_RATE since the line's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

LINE_RATE = 48_000
TICKS_PER_US = LINE_RATE / 1e6

# Speed is set once a second: more often is heard as roughness, less often lets the error grow.
_PERIOD_S = 1.0
# A loop with both poles at 0.25/s: one second of dead time is far from upsetting it, and an error of
# skew of 200 ppm costs 0.3 ms at most.
_PULL_S = 2.0
_LEARN_S2 = 16.0
# While the correction is at its limit the error says nothing of the skew; the line's own slope does.
_SLOPE_WEIGHT = 1 / 4
# What is missing for longer is no silence but a hole in the recording.
_MAX_SILENCE_US = 10_000_000


@dataclass(frozen=True, slots=True)
class Placement:
    """What is to be done with a block, in this order.

    `start_ticks`: begin anew, the block's first sample there (else None); what is under way ends as if the
    sound had. `speed`: from now on ticks given per tick's worth of sound (else None: as before).
    `silence_samples` at the source's rate are put before the block; its first `drop_samples` are left out.
    """

    start_ticks: int | None = None
    speed: float | None = None
    silence_samples: int = 0
    drop_samples: int = 0


_AS_IT_IS = Placement()


class SoundLine:
    """Ask `place` for each block, in order, and do what it says."""

    def __init__(
        self, rate_in: int, *, skew: float = 0.0, max_ppm: float, slew_ppm: float, step_us: int
    ) -> None:
        """`skew`: of the source, if known. The speed is the learned skew, at most `max_ppm`, plus a
        correction of at most `slew_ppm`. From `step_us` apart on, sound is put right by silence or dropping.
        """
        self.skew = skew
        self._ticks_per_sample = LINE_RATE / rate_in
        self._rate_in = rate_in
        self._max_skew = max_ppm * 1e-6
        self._slew = slew_ppm * 1e-6
        self._step_ticks = step_us * TICKS_PER_US
        self._dropping = False
        self._begin_period()

    def _begin_period(self) -> None:
        self._samples = 0
        self._error_sum = 0.0
        self._first_us = 0.0

    def place(self, samples: int, line_us: float, next_ticks: float | None) -> Placement:
        """`line_us`: where on the line the block's first sample belongs. `next_ticks`: where it would come
        to be, by what was given out and is under way; None: nothing was.
        """
        target_ticks = line_us * TICKS_PER_US
        error = 0.0 if next_ticks is None else target_ticks - next_ticks
        if next_ticks is None or error > _MAX_SILENCE_US * TICKS_PER_US:
            self._dropping = False
            self._begin_period()
            return Placement(start_ticks=round(target_ticks), speed=1 + self._bounded(self.skew))
        if error < -self._step_ticks or (self._dropping and error < 0):
            drop = min(samples, round(-error / self._ticks_per_sample))
            self._dropping = drop == samples
            self._begin_period()
            return Placement(drop_samples=drop)
        self._dropping = False
        if error > self._step_ticks:
            self._begin_period()
            return Placement(silence_samples=round(error / self._ticks_per_sample))
        if not self._samples:
            self._first_us = line_us
        before, self._samples = self._samples, self._samples + samples
        self._error_sum += error * samples
        if self._samples < _PERIOD_S * self._rate_in:
            return _AS_IT_IS
        passed_us = before * 1e6 / self._rate_in
        slope = (line_us - self._first_us) / passed_us - 1 if before else self.skew
        speed = 1 + self._corrected(self._error_sum / self._samples / LINE_RATE, slope)
        self._begin_period()
        return Placement(speed=speed)

    def _corrected(self, error_s: float, slope: float) -> float:
        """Skew and pull, for an error that is the mean of a period in which the line had `slope`."""
        pull = error_s / _PULL_S
        if abs(pull) < self._slew:
            self.skew = self._bounded(self.skew + error_s * _PERIOD_S / _LEARN_S2)
        elif abs(slope) <= self._max_skew:
            self.skew += (slope - self.skew) * _SLOPE_WEIGHT
        return self.skew + min(max(pull, -self._slew), self._slew)

    def _bounded(self, skew: float) -> float:
        return min(max(skew, -self._max_skew), self._max_skew)
