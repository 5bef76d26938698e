from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from recorder.sound_line import LINE_RATE, SoundLine

RATE = 16_000
BLOCK = 320
TICKS = BLOCK * LINE_RATE // RATE
S = 1_000_000


class Source:
    """Blocks of 20 ms through a line, with a resampler that is nothing but its position."""

    def __init__(self, *, step_us=20_000, max_ppm=1_000.0, slew_ppm=500.0):
        self.line = SoundLine(RATE, max_ppm=max_ppm, slew_ppm=slew_ppm, step_us=step_us)
        self.next_ticks = None
        self.speed = 1.0
        self.silence = self.dropped = 0
        self.starts = []

    def feed(self, line_us):
        placement = self.line.place(BLOCK, line_us, self.next_ticks)
        if placement.start_ticks is not None:
            self.next_ticks = placement.start_ticks
            self.starts.append(placement.start_ticks)
        self.speed = placement.speed or self.speed
        self.silence += placement.silence_samples
        self.dropped += placement.drop_samples
        samples = BLOCK + placement.silence_samples - placement.drop_samples
        self.next_ticks += samples * LINE_RATE / RATE * self.speed
        return placement

    def error_us(self, line_us):
        return line_us - self.next_ticks * 1e6 / LINE_RATE


def feed(source, *, seconds, start_us=0.0, skew=0.0):
    """The error at the end of each second."""
    errors = []
    for n in range(round(seconds * RATE / BLOCK)):
        source.feed(start_us + n * 20_000 * (1 + skew))
        if n % 50 == 49:
            errors.append(source.error_us(start_us + (n + 1) * 20_000 * (1 + skew)))
    return errors


def test_the_first_block_is_put_where_it_belongs():
    source = Source()
    placement = source.feed(-1_000_000.0)
    assert placement.start_ticks == -48_000
    assert placement.speed == 1.0


def test_a_skew_is_learned_and_costs_little_until_then():
    source = Source()
    errors = feed(source, seconds=120, skew=200e-6)
    assert max(abs(each) for each in errors) < 500
    assert max(abs(each) for each in errors[-60:]) < 10
    assert abs(source.line.skew - 200e-6) < 2e-6
    assert source.silence == source.dropped == 0


def test_times_that_jitter_are_averaged():
    source = Source()
    speeds = []
    for n in range(3000):
        source.feed(n * 20_000 + (2_000 if n % 2 else -2_000))
        speeds.append(source.speed)
    assert max(abs(speed - 1) for speed in speeds[2000:]) < 50e-6


def test_more_than_a_step_ahead_is_silence():
    source = Source()
    feed(source, seconds=10)
    feed(source, seconds=10, start_us=10 * S + 50_000)
    assert source.silence == 800
    assert source.dropped == 0


def test_more_than_a_step_behind_is_dropped_whole_blocks_long():
    source = Source()
    feed(source, seconds=10)
    feed(source, seconds=10, start_us=10 * S - 50_000)
    assert source.dropped == 800
    assert source.silence == 0


def test_less_than_a_step_is_put_right_by_speed_and_teaches_no_skew():
    source = Source()
    feed(source, seconds=30, skew=100e-6)
    start_us = 30 * S * (1 + 100e-6)
    errors = feed(source, seconds=60, start_us=start_us + 15_000, skew=100e-6)
    assert source.silence == source.dropped == 0
    assert max(a - b for a, b in itertools.pairwise(errors)) < 520
    assert abs(errors[-1]) < 100
    assert min(errors) > -500


def test_a_long_hole_begins_anew():
    source = Source()
    feed(source, seconds=1)
    placement = source.feed(20.0 * S)
    assert placement.start_ticks == 20 * LINE_RATE
    assert source.silence == 0


@given(
    st.lists(
        st.tuples(st.integers(10, 400), st.floats(-1e-3, 1e-3), st.integers(-200_000, 200_000)), max_size=12
    )
)
def test_whatever_the_line_does_no_sound_is_further_from_it_than_a_step(stretches):
    source = Source()
    line_us = 0.0
    bound = 1_500e-6 + 1e-9
    for blocks, skew, jump_us in stretches:
        line_us += jump_us
        for _ in range(blocks):
            placement = source.feed(line_us)
            line_us += 20_000 * (1 + skew)
            assert abs(source.speed - 1) <= bound
            assert placement.drop_samples in range(BLOCK + 1)
            if placement.drop_samples < BLOCK:
                assert abs(source.error_us(line_us)) < 20_000 + 100
    assert len(source.starts) == (1 if stretches else 0)
