"""The clock of a simulated sound device, and what it hears."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.device_clock import DeviceClock
from simulator.sound import BEEP_HZ, Sound, beep_onsets, heard

NS_PER_S = 1_000_000_000
MIDNIGHT_NS = 1_800_000_000 * NS_PER_S


@given(ppm=st.floats(-20_000, 20_000), now_ns=st.integers(0, 10**15), at_ns=st.integers(0, 10**15))
def test_a_sample_is_taken_once_its_time_has_come(ppm, now_ns, at_ns):
    clock = DeviceClock(0, at_ns, ppm=ppm)
    first_untaken = clock.taken_by(at_ns + now_ns)
    # To a microsecond: in ten days there are more nanoseconds than a float can tell apart.
    assert clock.taken_ns(first_untaken) > at_ns + now_ns - 1000
    assert clock.taken_ns(first_untaken - 1) <= at_ns + now_ns + 1000


@given(ppm=st.floats(-1000, 1000), other=st.floats(-1000, 1000), sample=st.integers(0, 10**9))
def test_a_clock_that_turns_tells_the_same_time_at_the_turn(ppm, other, sample):
    clock = DeviceClock(0, 5, ppm=ppm)
    turned = clock.turned(other, sample)
    assert turned.taken_ns(sample) == clock.taken_ns(sample)
    assert turned.ppm == other


def record(sound: Sound, seconds: float, *, ppm: float = 0.0, from_ns: int = MIDNIGHT_NS) -> np.ndarray:
    """In chunks of 10 ms, as the feeder does."""
    clock = DeviceClock(0, from_ns, ppm=ppm)
    chance = np.random.default_rng(3)
    chunks = [
        heard(sound, clock.taken_ns(first), 480, clock.rate, chance)
        for first in range(0, round(seconds * 48_000), 480)
    ]
    return np.concatenate(chunks)


@pytest.mark.parametrize("ppm", [0, 300, -300, 20_000])
def test_beeps_begin_at_true_seconds_whatever_the_devices_clock_says(ppm):
    onsets = beep_onsets(record(Sound.BEEPS, 5, ppm=ppm, from_ns=MIDNIGHT_NS + NS_PER_S // 2), 48_000)
    true = [onset / (1 + ppm * 1e-6) for onset in onsets]
    assert true == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5][: len(true)], abs=1e-4)
    assert len(true) >= 4


def test_a_tone_goes_on_from_chunk_to_chunk_without_a_click():
    tone = record(Sound.TONE, 2.0, ppm=100, from_ns=MIDNIGHT_NS + 123_456_789)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(tone.size))) ** 2
    peak = int(spectrum.argmax())
    assert peak / 2.0 == pytest.approx(BEEP_HZ / (1 + 1e-4), abs=0.5)
    rest = spectrum.sum() - spectrum[peak - 6 : peak + 7].sum()
    # The noise that all sounds have is at -50 dBFS.
    assert 10 * np.log10(rest / spectrum.sum()) < -40


def test_each_sound_is_what_it_is_called():
    made = {sound: record(sound, 5) for sound in Sound}
    level = {sound: float(np.sqrt(np.mean(samples**2))) for sound, samples in made.items()}
    assert level[Sound.SILENCE] == 0
    assert np.mean(np.abs(made[Sound.CLIP]) > 0.999) > 0.2
    assert all(np.abs(samples).max() < 0.9 for sound, samples in made.items() if sound is not Sound.CLIP)
    hum = np.abs(np.fft.rfft(made[Sound.HUM]))
    assert int(hum.argmax()) / 5 == 50
    pauses = made[Sound.SPEECH].reshape(-1, 480).std(axis=1) < 0.01
    assert 0.4 < pauses.mean() < 0.9
