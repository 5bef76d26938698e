"""Each unit is due once, in order, at its time."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from simulator.schedule import Schedule

NS = 1_000_000_000
NOW_NS = 1_800_000_000 * NS
RATES = [Fraction(25), Fraction(8000, 320), Fraction(16_000, 1024), Fraction(30)]


@given(
    per_second=st.sampled_from(RATES),
    delay=st.integers(0, 3),
    steps_ns=st.lists(st.integers(0, 900_000_000), min_size=1, max_size=30),
)
def test_ticks_of_any_length_partition_the_units(
    per_second: Fraction, delay: int, steps_ns: list[int]
) -> None:
    schedule = Schedule(per_second, delay)
    now_ns, units = NOW_NS, list(schedule.due(NOW_NS))
    for step_ns in steps_ns:
        now_ns += step_ns
        units += schedule.due(now_ns)
    assert units == list(range(units[0], units[-1] + 1))
    # All that is complete was handed out, and nothing before its time.
    assert schedule.start_ns(units[-1] + delay) <= now_ns < schedule.start_ns(units[-1] + delay + 1) + 1


def test_after_a_long_sleep_it_goes_on_with_now() -> None:
    schedule = Schedule(Fraction(25), 0)
    schedule.due(NOW_NS)
    assert len(schedule.due(NOW_NS + 3600 * NS)) <= 26


def test_a_clock_set_back_repeats_only_after_a_restart() -> None:
    schedule = Schedule(Fraction(25), 0)
    (first,) = schedule.due(NOW_NS)
    assert not schedule.due(NOW_NS - NS)
    assert not schedule.due(NOW_NS)
    schedule.restart()
    assert list(schedule.due(NOW_NS - NS)) == [first - 25]
