"""The simulated sound: a beep of 1 kHz at each whole second over a little noise; made and found again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BEEP_HZ = 1000
BEEP_S = 0.08
_BEEP_AMPLITUDE = 0.5
_NOISE_AMPLITUDE = 0.003
# A beep begins where the sound first passes this part of the loudest sample, after this much quiet.
_ONSET_LEVEL = 0.3
_QUIET_S = 0.2


def beeps(rate: int, duration_s: int) -> Samples:
    """`duration_s` seconds of mono sound in [-1, 1]; a beep begins exactly on each whole second."""
    t = np.arange(rate * duration_s) / rate
    tone = _BEEP_AMPLITUDE * np.sin(2 * np.pi * BEEP_HZ * t) * (t % 1.0 < BEEP_S)
    noise = np.random.default_rng(2).uniform(-_NOISE_AMPLITUDE, _NOISE_AMPLITUDE, t.shape)
    return (tone + noise).astype(np.float32)


def beep_onsets(pcm: npt.NDArray[np.floating | np.integer], rate: int) -> list[float]:
    """When beeps begin, in seconds from the first sample of mono `pcm` (any scale).

    Silence has none. A beep that was already sounding at the first sample is not an onset.
    """
    level = np.abs(pcm.astype(np.float64))
    peak = float(level.max(initial=0.0))
    if peak == 0.0:
        return []
    loud = np.flatnonzero(level > _ONSET_LEVEL * peak)
    quiet_samples = int(_QUIET_S * rate)
    before = np.concatenate([[0], loud[:-1]])
    return [int(sample) / rate for sample in loud[loud - before >= quiet_samples]]
