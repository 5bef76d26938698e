"""The simulated sound: a beep of 1 kHz at each whole second over a little noise; made and found again.

A microphone may hear other sounds instead, each a function of true time: whatever clock a device has, what
it hears at an instant is the same.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BEEP_HZ = 1000
BEEP_S = 0.08
_BEEP_AMPLITUDE = 0.5
_NOISE_AMPLITUDE = 0.003
_TONE_AMPLITUDE = 0.355  # -9 dBFS
# A beep begins where the sound first passes this part of the loudest sample, after this much quiet. What
# is below the floor (of full scale) is noise, however loud beside the rest.
_ONSET_LEVEL = 0.3
_ONSET_FLOOR = 0.02
_QUIET_S = 0.2
_NS_PER_S = 1_000_000_000


class Sound(StrEnum):
    """What a microphone may hear. All are mono and, but for CLIP, below full scale.

    SILENCE is what a muted device gives: zeros. TONE: 1 kHz, peaks at −9 dBFS. CLIP: the same 12 dB
    louder, which is 3 dB too loud for the device. HUM: mains, 50 Hz and its harmonics at about −24 dBFS.
    SPEECH: four bursts of noise a second, for three seconds of five.
    """

    BEEPS = "beeps"
    SILENCE = "silence"
    TONE = "tone"
    CLIP = "clip"
    HUM = "hum"
    SPEECH = "speech"


def beeps(rate: int, duration_s: int) -> Samples:
    """`duration_s` seconds of mono sound in [-1, 1]; a beep begins exactly on each whole second."""
    t = np.arange(rate * duration_s) / rate
    return (_beep(t % 1.0) + _noise(t.size, np.random.default_rng(2))).astype(np.float32)


def heard(sound: Sound, from_ns: int, count: int, rate: float, noise: np.random.Generator) -> Samples:
    """`count` samples in [-1, 1] as a device hears them that takes its first at `from_ns` (UTC nanoseconds).

    `rate` is the device's true one; `noise` is where chance comes from.
    """
    # Seconds since 1970 are too many for a float to be exact in them; every tone repeats each second.
    second, within_ns = divmod(from_ns, _NS_PER_S)
    t = within_ns / _NS_PER_S + np.arange(count) / rate
    if sound is Sound.SILENCE:
        return np.zeros(count, np.float32)
    made: npt.NDArray[np.float64]
    if sound in {Sound.TONE, Sound.CLIP}:
        loudness = 4.0 if sound is Sound.CLIP else 1.0
        made = loudness * _TONE_AMPLITUDE * np.sin(2 * np.pi * BEEP_HZ * t)
    elif sound is Sound.HUM:
        made = np.zeros(count)
        for hertz, level in ((50, 0.08), (100, 0.03), (150, 0.02)):
            made += level * np.sin(2 * np.pi * hertz * t)
    elif sound is Sound.SPEECH:
        syllable = np.maximum(0.0, np.sin(2 * np.pi * 4 * t)) * ((second % 5 + t) % 5 < 3)
        made = 0.3 * syllable * noise.uniform(-1, 1, count)
    else:
        made = _beep(t % 1.0)
    return np.clip(made + _noise(count, noise), -1, 1).astype(np.float32)


def _beep(since_second_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return _BEEP_AMPLITUDE * np.sin(2 * np.pi * BEEP_HZ * since_second_s) * (since_second_s < BEEP_S)


def _noise(count: int, chance: np.random.Generator) -> npt.NDArray[np.float64]:
    return chance.uniform(-_NOISE_AMPLITUDE, _NOISE_AMPLITUDE, count)


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
