"""From «10:30, приблизно» to the interval that is kept."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.instants import format_instant, local_date
from retrieval_api.requests.asked_interval import (
    About,
    Remembered,
    asked_interval,
    local_instant_us,
    parse_day,
    parse_time,
)

KYIV = "Europe/Kyiv"
DAY = date(2026, 11, 20)


def _local(remembered: Remembered) -> tuple[str, str]:
    interval = asked_interval(remembered, KYIV)
    return tuple(format_instant(us, KYIV)[11:16] for us in (interval.start_us, interval.end_us))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("about", "at", "expected"),
    [
        (About.HALF_HOUR, time(10, 30), ("10:00", "12:00")),
        (About.HOUR, time(10, 30), ("09:30", "12:30")),
        (About.HOUR, time(0, 15), ("00:00", "02:15")),
        (About.HOUR, time(23, 0), ("22:00", "00:00")),
        (About.MORNING, None, ("00:00", "13:00")),
        (About.AFTERNOON, None, ("12:00", "00:00")),
    ],
)
def test_intervals(about: About, at: time | None, expected: tuple[str, str]) -> None:
    assert _local(Remembered(DAY, about, at)) == expected


@given(
    st.dates(date(2024, 1, 1), date(2030, 12, 31)), st.times(), st.sampled_from([About.HALF_HOUR, About.HOUR])
)
def test_the_remembered_instant_is_kept_and_the_date_is_not_left(day: date, at: time, about: About) -> None:
    interval = asked_interval(Remembered(day, about, at), KYIV)
    assert interval.contains(local_instant_us(day, at, KYIV))
    assert local_date(interval.start_us, KYIV) == day == local_date(interval.end_us - 1, KYIV)


def test_an_hour_that_comes_twice_is_kept_both_times() -> None:
    """25.10.2026: 03:00-04:00 comes twice in Kyiv; "03:30" may be either."""
    interval = asked_interval(Remembered(date(2026, 10, 25), About.HALF_HOUR, time(3, 30)), KYIV)
    assert format_instant(interval.start_us) == "2026-10-25T00:00:00.000Z"
    assert interval.duration_us == 3 * 3600 * 1_000_000


def test_half_a_day_needs_no_time_and_a_time_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="needs a time"):
        asked_interval(Remembered(DAY, About.HOUR, None), KYIV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:30", time(10, 30)),
        (" 9.05 ", time(9, 5)),
        ("1030", time(10, 30)),
        ("10", time(10)),
        ("10 30", time(10, 30)),
        ("10:30:15", time(10, 30, 15)),
        ("24:00", None),
        ("10:60", None),
        ("пів на другу", None),
        ("", None),
        ("1" * 1_000_000, None),
    ],
)
def test_times(text: str, expected: time | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20.11.2026", DAY),
        ("20/11/2026", DAY),
        ("2026-11-20", DAY),
        ("31.02.2026", None),
        ("20.11.26", None),
        ("учора", None),
        ("0" * 1_000_000, None),
    ],
)
def test_dates(text: str, expected: date | None) -> None:
    assert parse_day(text) == expected
