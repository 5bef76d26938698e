"""How long a job that failed waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archive.jobs import backoff_us
from recorder.instants import US_PER_MINUTE, US_PER_SECOND

HOUR = 60 * US_PER_MINUTE


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_never_less_than_five_seconds_nor_more_than_an_hour(attempt, chance):
    assert 5 * US_PER_SECOND <= backoff_us(attempt, chance) <= HOUR


@given(st.integers(1, 30), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_the_next_one_is_never_shorter(attempt, chance, other):
    assert backoff_us(attempt, 0.99) <= backoff_us(attempt + 1, 0) or backoff_us(attempt + 1, 0) == HOUR // 2
    assert abs(backoff_us(attempt, chance) - backoff_us(attempt, other)) <= backoff_us(attempt, 0)


def test_the_first_ones_as_they_are_written():
    assert [backoff_us(attempt, 0) // US_PER_SECOND for attempt in range(1, 11)] == [
        5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800,
    ]  # fmt: skip
