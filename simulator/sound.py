"""The simulated sound: a beep of 1 kHz at each whole second over a little noise; made and found again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BEEP_HZ = 1000
BEEP_S = 0.08
_BEEP_AMPLITUDE = 0.5
_NOISE_AMPLITUDE = 0.003
# A beep begins where the sound first passes this part of the loudest sample, after this much quiet. What
# is below the floor (of full scale) is noise, however loud beside the rest.
_ONSET_LEVEL = 0.3
_ONSET_FLOOR = 0.02
_QUIET_S = 0.2


def beeps(rate: int, duration_s: int) -> Samples:
    """`duration_s` seconds of mono sound in [-1, 1]; a beep begins exactly on each whole second."""
    t = np.arange(rate * duration_s) / rate
    tone = _BEEP_AMPLITUDE * np.sin(2 * np.pi * BEEP_HZ * t) * (t % 1.0 < BEEP_S)
    noise = np.random.default_rng(2).uniform(-_NOISE_AMPLITUDE, _NOISE_AMPLITUDE, t.shape)
    return (tone + noise).astype(np.float32)


def beep_onsets(pcm: npt.NDArray[np.floating | np.integer], rate: int) -> list[float]:
    """When beeps begin, in seconds from the first sample of mono `pcm`: floats in [-1, 1] or signed integers.

    Precise to a sample or two. A beep within the first 0.2 s is not told: its beginning may be cut off.
    """
    full_scale = 1.0 if pcm.dtype.kind == "f" else float(1 << (8 * pcm.dtype.itemsize - 1))
    level = np.abs(pcm.astype(np.float64)) / full_scale
    threshold = max(_ONSET_FLOOR, _ONSET_LEVEL * float(level.max(initial=0.0)))
    loud = np.flatnonzero(level > threshold)
    before = np.concatenate([[0], loud[:-1]])
    return [int(sample) / rate for sample in loud[loud - before >= int(_QUIET_S * rate)]]
