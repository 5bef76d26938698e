from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.sound_levels import SoundLevels

RATES = (8000, 11_025, 16_000, 44_100, 48_000)
rng = np.random.default_rng(1)


def pcm(signal) -> np.ndarray:
    return (np.clip(signal, -1, 1) * 32767).astype(np.int16)


def measured(signal, rate):
    """The first full second."""
    return SoundLevels(rate).feed(pcm(signal))[0]


def tone(rate, hz, amplitude, seconds=1):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(rate * seconds) / rate + 0.7)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_has_its_levels(rate) -> None:
    levels = measured(tone(rate, 440, 0.5), rate)
    assert levels.peak_dbfs == pytest.approx(-6.0, abs=0.2)
    assert levels.rms_dbfs == pytest.approx(-9.0, abs=0.2)
    assert levels.clipped_share == 0
    assert levels.hum_dbfs < -50


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [49.9, 50, 50.1, 99.8, 100, 100.2])
def test_hum_of_the_mains_is_told_from_what_is_said_beside_it(rate, hz) -> None:
    noise = rng.normal(0, 0.002, rate)
    levels = measured(tone(rate, hz, 0.05) + noise, rate)
    assert levels.hum_dbfs == pytest.approx(-29, abs=0.7)
    assert levels.hum_ratio > 0.85
    assert measured(noise, rate).hum_dbfs < -75
    for voice in (80, 90, 110, 120, 130):
        assert measured(tone(rate, voice, 0.3) + noise, rate).hum_dbfs < -70


def test_silence_is_silence_also_where_a_codec_has_no_zero() -> None:
    """A-law codes digital silence as 8 of 32768."""
    for constant in (0, 8, -8):
        levels = SoundLevels(8000).feed(np.full(8000, constant, np.int16))[0]
        assert levels.rms_dbfs == -120.0
        assert levels.hum_ratio == 0.0


@pytest.mark.parametrize("full", [32_767, 32_256, 32_124])
def test_full_scale_is_clipping_in_every_codec(full) -> None:
    samples = np.zeros(8000, np.int16)
    samples[:80], samples[80:160] = full, -full
    levels = SoundLevels(8000).feed(samples)[0]
    assert levels.clipped_share == pytest.approx(0.02)
    assert levels.peak_dbfs == pytest.approx(0, abs=0.2)


@given(st.lists(st.integers(0, 5000), max_size=20))
def test_blocks_of_any_length_make_the_same_seconds(lengths) -> None:
    signal = pcm(np.random.default_rng(7).normal(0, 0.1, sum(lengths)))
    whole = SoundLevels(4000).feed(signal)
    levels, out, at = SoundLevels(4000), [], 0
    for length in lengths:
        out += levels.feed(signal[at : at + length])
        at += length
    assert out == whole
    assert len(out) == sum(lengths) // 4000


def test_floats_are_measured_as_integers_are() -> None:
    signal = tone(16_000, 440, 0.5).astype(np.float32)
    assert SoundLevels(16_000).feed(signal) == SoundLevels(16_000).feed(pcm(signal))
