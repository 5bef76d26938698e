from __future__ import annotations

import random

import pytest

from recorder.media_clock import CAMERA, MediaClock

S = 1_000_000


def feed(clock, *, seconds, skew=0.0, start=0, delay=20_000, jitter=lambda: 0.0, offset=7_000 * S, fps=25):
    """A camera whose clock runs `skew` slow: true host time of media time m is offset + m (1 + skew)."""
    for n in range(start * fps, (start + seconds) * fps):
        media = n * S / fps
        clock.observe(media, offset + media * (1 + skew) + delay + jitter())
    return seconds * S + start * S


def error_us(clock, media, *, skew=0.0, delay=20_000, offset=7_000 * S):
    return clock.host_us(media) - (offset + media * (1 + skew) + delay)


@pytest.mark.parametrize("skew", [-150e-6, 0.0, 200e-6, 5e-3])
def test_jitter_and_skew_are_seen_through(skew):
    noise = random.Random(1)
    clock = MediaClock(CAMERA)
    last = feed(clock, seconds=300, skew=skew, jitter=lambda: noise.expovariate(1 / 8_000))
    assert abs(error_us(clock, last, skew=skew)) < 1_500
    assert clock.skew == pytest.approx(skew, abs=5e-5)
    assert clock.jumps == 0


def test_bursts_do_not_bend_it():
    """Packets that are read in bursts of 150 ms: only one in six comes in time."""
    clock = MediaClock(CAMERA)
    count = iter(range(10**6))
    last = feed(clock, seconds=120, jitter=lambda: (next(count) * 7 % 6) * 25_000)
    assert abs(error_us(clock, last)) < 1_000


def test_a_stall_is_no_jump():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=60)
    feed(clock, seconds=1, start=60, delay=320_000)
    last = feed(clock, seconds=30, start=61)
    assert abs(error_us(clock, last)) < 1_000
    assert clock.jumps == 0


def test_a_media_clock_that_jumps_ahead_restarts_the_line():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=20)
    # Media time is suddenly half a second ahead, so arrivals are half a second early.
    feed(clock, seconds=20, start=20, offset=7_000 * S - 500_000)
    assert clock.jumps == 1
    assert abs(error_us(clock, 40 * S, offset=7_000 * S - 500_000)) < 1_000


def test_a_path_that_became_slower_is_believed_after_a_while():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=60)
    last = feed(clock, seconds=60, start=60, delay=220_000)
    assert clock.jumps == 1
    assert abs(error_us(clock, last, delay=220_000)) < 2_000


def test_a_known_shift_of_media_time_changes_no_answer():
    clock = MediaClock(CAMERA)
    last = feed(clock, seconds=30)
    before = clock.host_us(last)
    clock.shift_media(-2_200_000)
    assert clock.host_us(last - 2_200_000) == before
    clock.observe(last + 40_000 - 2_200_000, before + 40_000)
    assert clock.jumps == 0


def test_it_says_so_when_it_has_seen_nothing():
    with pytest.raises(ValueError, match="observed nothing"):
        MediaClock(CAMERA).host_us(0)
