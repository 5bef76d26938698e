"""How much a room may send: an honest agent is never refused, a wild one is held to the rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from retrieval_api import admission
from retrieval_api.admission import Admission, TokenBucket, too_slow

NOON_US = 1_800_000_000 * US_PER_SECOND


@given(st.lists(st.tuples(st.integers(0, US_PER_MINUTE), st.floats(0, 500)), min_size=1, max_size=60))
def test_no_more_than_the_burst_and_the_rate_is_spent(steps):
    bucket, now_us, spent, last = TokenBucket(100, 60), NOON_US, 0.0, 0.0
    for passed_us, amount in steps:
        now_us += passed_us
        wait_us = bucket.wait_us(now_us)
        if wait_us == 0:
            bucket.charge(amount)
            spent, last = spent + amount, amount
        else:
            assert bucket.wait_us(now_us + wait_us) == 0
            now_us += wait_us
    assert spent - last <= 100 + 60 * (now_us - NOON_US) / US_PER_MINUTE + 1e-6


def test_a_clock_set_back_opens_nothing_and_closes_nothing_for_long():
    bucket = TokenBucket(1, 60)
    assert bucket.wait_us(NOON_US) == 0
    bucket.charge(2)
    assert bucket.wait_us(NOON_US - 10**12) > 0
    assert bucket.wait_us(NOON_US - 10**12 + 2 * US_PER_SECOND) == 0


def test_a_day_of_back_fill_at_the_speed_of_a_disk_is_never_refused():
    """8 h of 60 s at 4 Mbit/s, ten segments a second, and a gap record for every third of them."""
    gate, now_us = Admission(), NOON_US
    for number in range(480 + 160):
        assert gate.enter("108", now_us) is None
        gate.leave("108", 0 if number % 4 == 3 else 30_000_000)
        now_us += US_PER_SECOND // 10


def test_a_month_of_back_fill_at_twenty_times_real_time_is_never_refused():
    gate, now_us = Admission(), NOON_US
    for _ in range(22 * 9 * 60):
        assert gate.enter("108", now_us) is None
        gate.leave("108", 30_000_000)
        now_us += 3 * US_PER_SECOND


def test_a_wild_agent_is_held_and_others_are_not():
    gate = Admission()
    for _ in range(admission.BURST_ENTRIES):
        assert gate.enter("108", NOON_US) is None
        gate.leave("108", 0)
    refusal = gate.enter("108", NOON_US)
    assert refusal is not None
    assert 1 <= refusal.wait_s <= 60
    assert gate.enter("116", NOON_US) is None
    assert gate.enter("108", NOON_US + refusal.wait_s * US_PER_SECOND) is None


def test_a_room_sends_a_few_bodies_at_once():
    gate = Admission()
    for _ in range(admission.MAX_UPLOADS):
        assert gate.enter("108", NOON_US) is None
    refused = gate.enter("108", NOON_US)
    assert refused is not None
    gate.leave("108", 0)
    assert gate.enter("108", NOON_US) is None


def test_a_dribble_is_told_from_a_slow_line():
    assert not too_slow(0, 59)
    assert not too_slow(30_000_000, 600)
    assert too_slow(1000, 62)
