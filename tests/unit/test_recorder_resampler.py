from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from recorder.capture.resampler import LineResampler
from recorder.media_clock import MICROPHONE, MediaClock

TICKS_PER_US = 0.048
ORIGIN_US = 123_456.7
RATES = (8_000, 16_000, 44_100, 48_000)


def true_us(n, rate, skew):
    """Where on the line sample n of a source belongs whose clock runs slow by `skew`."""
    return ORIGIN_US + n * 1e6 / rate * (1 + skew)


def run(resampler, source, rate, *, skew=0.0, block_s=0.02, start=0, shift_us=0.0):
    """Blocks of `source` (samples from `start` on) through it: the pieces."""
    block = round(rate * block_s)
    pieces = []
    for first in range(0, len(source), block):
        line_us = true_us(start + first, rate, skew) + shift_us
        pieces += resampler.feed(source[first : first + block], line_us)
    return pieces


def joined(pieces):
    """One stretch of sound and its first tick; the pieces must follow each other."""
    ticks = pieces[0].ticks
    for piece in pieces:
        assert piece.ticks == ticks
        assert piece.samples.dtype == np.float32
        ticks += len(piece.samples)
    return pieces[0].ticks, np.concatenate([piece.samples for piece in pieces])


def clicks(rate, seconds, every_s=0.5):
    """Soft impulses, and the samples in their middle."""
    source = np.zeros(rate * seconds, np.float32)
    shape = np.exp(-((np.arange(-40, 41) / 4.0) ** 2))
    middles = [round(rate * (0.25 + i * every_s)) for i in range(round(seconds / every_s))]
    for middle in middles:
        source[middle - 40 : middle + 41] += shape
    return source, middles


def click_errors_ms(ticks, sound, middles, rate, skew, shift_us=0.0):
    """How far from its place each impulse came out."""
    errors = []
    for middle in middles:
        at = (true_us(middle, rate, skew) + shift_us) * TICKS_PER_US - ticks
        first = max(round(at) - 1200, 0)
        seen = np.where(np.abs(sound[first : first + 2400]) > 0.02, sound[first : first + 2400], 0)
        errors.append((first + (np.arange(len(seen)) * seen).sum() / seen.sum() - at) / 48)
    return np.array(errors)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("skew", [-200e-6, 0.0, 200e-6])
def test_what_enters_at_a_time_comes_out_at_its_tick(rate, skew):
    source, middles = clicks(rate, 20)
    resampler = LineResampler(rate)
    ticks, sound = joined(run(resampler, source, rate, skew=skew) + resampler.flush())
    errors = click_errors_ms(ticks, sound, middles, rate, skew)
    # Before the skew is learned a second of it is missing.
    assert abs(errors).max() < 0.5
    assert abs(errors[-10:]).max() < 0.1
    assert abs(len(sound) - len(source) / rate * 48_000 * (1 + skew)) < 20
    assert resampler.inserted_samples == resampler.dropped_samples == 0


@pytest.mark.parametrize("rate", RATES)
def test_a_skew_that_is_known_is_right_from_the_first_sample_on(rate):
    source, middles = clicks(rate, 3)
    resampler = LineResampler(rate, skew=200e-6)
    ticks, sound = joined(run(resampler, source, rate, skew=200e-6) + resampler.flush())
    assert abs(click_errors_ms(ticks, sound, middles, rate, 200e-6)).max() < 0.1


def test_a_clock_far_off_is_followed_where_it_is_allowed():
    source, middles = clicks(8_000, 60)
    resampler = LineResampler(8_000, max_ppm=20_000, slew_ppm=5_000, step_us=60_000)
    ticks, sound = joined(run(resampler, source, 8_000, skew=6e-3))
    errors = click_errors_ms(ticks, sound, middles[:-1], 8_000, 6e-3)
    assert abs(errors).max() < 15
    assert abs(errors[-10:]).max() < 0.2
    assert resampler.skew == pytest.approx(6e-3, abs=1e-4)
    assert resampler.inserted_samples == resampler.dropped_samples == 0


@pytest.mark.parametrize("skew", [-200e-6, 200e-6])
@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_clean_while_it_is_corrected(rate, skew):
    """THD+N below -60 dB, as a meter does it: all but 20 Hz around the tone, from 20 Hz on."""
    seconds = 40
    n = np.arange(rate * seconds)
    source = (0.5 * np.sin(2 * np.pi * 1000 * true_us(n, rate, skew) / 1e6)).astype(np.float32)
    resampler = LineResampler(rate)
    # The line wanders as a clock's does that is steered: 500 ppm more for ten seconds.
    pieces = []
    for first in range(0, len(source), rate // 50):
        steered_us = 500e-6 * min(max(first / rate - 15, 0), 10) * 1e6
        pieces += resampler.feed(source[first : first + rate // 50], true_us(first, rate, skew) + steered_us)
    _, sound = joined(pieces)
    worst = -200.0
    for at_s in range(1, seconds - 2):
        part = sound[at_s * 48_000 : (at_s + 1) * 48_000].astype(np.float64)
        power = np.abs(np.fft.rfft(part * np.blackman(len(part)))) ** 2
        hertz = np.arange(len(power))
        tone = np.abs(hertz - 1000) <= 20
        worst = max(worst, 10 * np.log10(power[~tone & (hertz >= 20)].sum() / power[tone].sum()))
    assert worst < -60
    assert residual(sound[48_000:-48_000]) < 1e-3


def residual(sound, window=960):
    """Largest difference from the tone that fits each 20 ms best: a click, were there one."""
    phase = 2 * np.pi * 1000 * np.arange(window) / 48_000
    basis = np.stack([phase**k * f(phase) for k in (0, 1) for f in (np.sin, np.cos)], axis=1)
    projector = np.eye(window) - basis @ np.linalg.pinv(basis)
    parts = sound[: len(sound) // window * window].reshape(-1, window).astype(np.float64)
    return np.abs(parts @ projector).max()


def test_the_click_detector_detects_one():
    tone = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    assert residual(tone) < 1e-6
    assert residual(np.concatenate([tone[:20_000], tone[20_003:]])) > 0.1


def test_a_hole_becomes_silence_and_what_follows_is_in_its_place():
    rate = 48_000
    source, middles = clicks(rate, 10)
    resampler = LineResampler(rate)
    before, after = source[: rate * 4], source[rate * 6 :]
    pieces = run(resampler, before, rate) + run(resampler, after, rate, start=rate * 6)
    ticks, sound = joined(pieces)
    assert resampler.inserted_samples == 2 * rate
    kept = [middle for middle in middles if not rate * 4 <= middle < rate * 6]
    assert abs(click_errors_ms(ticks, sound, kept[:-1], rate, 0.0)).max() < 0.1
    assert abs(sound[4 * rate + 400 : 6 * rate - 400]).max() < 1e-9


def test_a_hole_of_more_than_ten_seconds_is_left_open():
    rate = 8_000
    source, middles = clicks(rate, 30)
    resampler = LineResampler(rate)
    pieces = run(resampler, source[: rate * 5], rate)
    later = run(resampler, source[rate * 20 :], rate, start=rate * 20)
    before = pieces + later[:1]  # what was held back
    ticks, sound = joined(before)
    assert abs(click_errors_ms(ticks, sound, middles[:10], rate, 0.0)).max() < 0.1
    assert abs(ticks + len(sound) - true_us(5 * rate, rate, 0) * TICKS_PER_US) < 2
    ticks, sound = joined(later[1:])
    assert ticks == round(true_us(20 * rate, rate, 0) * TICKS_PER_US)
    assert abs(click_errors_ms(ticks, sound, middles[40:-1], rate, 0.0)).max() < 0.1
    assert resampler.inserted_samples == 0


def test_sound_that_comes_too_early_is_dropped_and_counted():
    rate = 16_000
    source, middles = clicks(rate, 12)
    resampler = LineResampler(rate)
    pieces = run(resampler, source[: rate * 6], rate)
    pieces += run(resampler, source[rate * 6 :], rate, start=rate * 6, shift_us=-130_000)
    ticks, sound = joined(pieces)
    assert resampler.dropped_samples == pytest.approx(0.13 * rate, abs=2)
    errors = click_errors_ms(ticks, sound, middles[13:-1], rate, 0.0, shift_us=-130_000)
    assert abs(errors).max() < 0.1


def test_a_small_error_is_put_right_by_speed_alone():
    rate = 48_000
    source, middles = clicks(rate, 60)
    resampler = LineResampler(rate)
    pieces = run(resampler, source[: rate * 10], rate)
    pieces += run(resampler, source[rate * 10 :], rate, start=rate * 10, shift_us=15_000)
    ticks, sound = joined(pieces)
    errors = click_errors_ms(ticks, sound, middles[:-1], rate, 0.0, shift_us=15_000)
    assert resampler.inserted_samples == resampler.dropped_samples == 0
    # 500 ppm: half a millisecond a second, and no more.
    assert np.abs(np.diff(errors[20:])).max() < 0.3
    assert abs(errors[-4:]).max() < 0.2


def test_after_a_reset_it_begins_anew_and_says_nothing_of_what_was_held():
    resampler = LineResampler(8_000)
    resampler.feed(np.ones(800, np.float32), 0.0)
    resampler.reset()
    assert resampler.flush() == []
    [piece] = resampler.feed(np.ones(800, np.float32), 1e6)
    assert piece.ticks == 48_000
    assert resampler.feed(np.zeros(0, np.float32), 1.1e6) == []


def test_a_flush_gives_all_that_was_fed():
    resampler = LineResampler(8_000)
    pieces = resampler.feed(np.ones(100, np.float32), 0.0) + resampler.flush()
    ticks, sound = joined(pieces)
    assert ticks == 0
    assert len(sound) == 600
    assert resampler.flush() == []


def test_behind_a_clock_that_hears_jitter():
    """As a microphone does: its samples counted, stamped late, placed by what the clock makes of that."""
    rate, skew, seconds = 48_000, 200e-6, 60
    source, middles = clicks(rate, seconds)
    noise = random.Random(5)
    clock = MediaClock(MICROPHONE)
    resampler = LineResampler(rate)
    pieces = []
    for first in range(0, len(source), 960):
        end_us = true_us(first + 960, rate, skew)
        clock.observe((first + 960) * 1e6 / rate, end_us + noise.expovariate(1 / 1_500))
        pieces += resampler.feed(source[first : first + 960], clock.host_us(first * 1e6 / rate))
    ticks, sound = joined(pieces)
    errors = click_errors_ms(ticks, sound, middles[:-1], rate, skew)
    assert abs(errors[20:]).max() < 3
    assert abs(errors[-20:]).max() < 0.5


def test_rates_that_were_not_measured_are_refused():
    with pytest.raises(ValueError, match="96000 Hz"):
        LineResampler(96_000)


def test_the_recorder_imports_without_it():
    code = "import sys, recorder.agent, recorder.cli; assert 'soxr' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
