from __future__ import annotations

from retrieval_api.throttle import Throttle

MINUTE = 60_000_000


def test_it_closes_at_the_limit_and_opens_after_the_window() -> None:
    throttle = Throttle(limit=3, window_us=15 * MINUTE)
    for number in range(3):
        assert not throttle.is_closed("a", number)
        throttle.failed("a", number)
    assert throttle.is_closed("a", 10)
    assert not throttle.is_closed("b", 10)
    assert throttle.is_closed("a", 15 * MINUTE - 1)
    assert not throttle.is_closed("a", 15 * MINUTE)


def test_many_addresses_do_not_fill_the_memory() -> None:
    throttle = Throttle(limit=1, window_us=MINUTE)
    for number in range(10_001):
        throttle.failed(str(number), 0)
    assert not throttle.is_closed("0", 0)
    assert throttle.is_closed("10000", 0)
