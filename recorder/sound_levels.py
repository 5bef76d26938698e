"""How loud sound is, second by second: peak, effective level, clipping, hum of the mains.

For the helper processes of a room agent: the agent itself does without numpy, which weighs 12 MB, and in
plain Python this would take 2 ms of a second.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from recorder.health_rules import Levels

SILENCE_DBFS = -120.0
# Full scale of G.711 is 32124 (mu-law) or 32256 (A-law) of 32768: -0.17 dB.
_CLIPPED = 32_000 / 32_768
# Hum is looked for after averaging down to about this rate: 100 Hz and its neighbours lie well below the
# half of it.
_HUM_RATE = 1000
_MAINS_HZ = (50, 100)

Samples = npt.NDArray[np.int16] | npt.NDArray[np.float32]


class SoundLevels:
    """Takes mono sound in blocks of any length and measures each full second."""

    def __init__(self, rate: int) -> None:
        """`rate` in samples a second, at least 2000."""
        self._rate = rate
        self._waiting: list[npt.NDArray[np.float32]] = []
        self._count = 0
        self._hum_step = rate // _HUM_RATE
        self._waves = _waves(rate // self._hum_step, self._hum_step / rate)

    def feed(self, samples: Samples) -> list[Levels]:
        """16-bit integers, or floats in [-1, 1]; the levels of each second that is full now."""
        scale = np.float32(1 / 32_768 if samples.dtype.kind == "i" else 1)
        self._waiting.append(np.multiply(samples, scale, dtype=np.float32))
        self._count += len(samples)
        if self._count < self._rate:
            return []
        whole = np.concatenate(self._waiting)
        seconds = len(whole) // self._rate
        self._waiting = [whole[seconds * self._rate :]]
        self._count = len(self._waiting[0])
        return [self._measure(each) for each in whole[: seconds * self._rate].reshape(seconds, self._rate)]

    def _measure(self, samples: npt.NDArray[np.float32]) -> Levels:
        magnitude = np.abs(samples)
        peak = float(magnitude.max())
        power = float(samples.var(dtype=np.float64))
        step = self._hum_step
        averaged = samples[: len(samples) // step * step].reshape(-1, step).mean(axis=1, dtype=np.float64)
        hum_power = float((np.abs(self._waves @ averaged) ** 2).sum())
        return Levels(
            peak_dbfs=_dbfs(peak * peak),
            rms_dbfs=_dbfs(power),
            clipped_share=round(float((magnitude >= _CLIPPED).mean()), 4),
            hum_dbfs=_dbfs(hum_power),
            hum_ratio=round(min(1.0, hum_power / power), 4) if power > 0 else 0.0,
        )


def _waves(count: int, step_s: float) -> npt.NDArray[np.complex128]:
    """A row for each tone: what its averaged samples are multiplied by, so that the sum's square is the
    tone's mean square. One line of the spectrum, by its definition.

    A Hann window keeps loud low voices out: four lines away nothing is left of them but 1/1000.
    """
    # A tone of amplitude A gives A * sum(window) / 2; its mean square is A * A / 2.
    at = np.arange(count)
    window = 1 - np.cos(2 * np.pi * (at + 0.5) / count)
    scale = math.sqrt(2) / window.sum()
    hz = np.array(_MAINS_HZ)[:, None]
    # An average over `step_s` lets this part of the tone through: np.sinc has the pi in it.
    passed = np.sinc(hz * step_s)
    return np.asarray(scale / passed * window * np.exp(-2j * np.pi * hz * step_s * at), np.complex128)


def _dbfs(power: float) -> float:
    return max(SILENCE_DBFS, round(10 * math.log10(power), 1)) if power > 0 else SILENCE_DBFS
