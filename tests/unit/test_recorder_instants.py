"""Instants: what is read has a zone, and microseconds are exact."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.errors import BadInstantError
from recorder.instants import (
    format_instant,
    local_date,
    local_midnight_us,
    parse_date,
    parse_instant,
    to_datetime,
    to_us,
)


@given(st.integers(0, 4_102_444_800_000_000))
def test_microseconds_survive_the_way_through_datetime(instant_us):
    assert to_us(to_datetime(instant_us, "Europe/Kyiv")) == instant_us


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:00:00+02:00",
        "2026-11-20T08:00:00Z",
        "2026-11-20T10:00:00 02:00",
        " 2026-11-20T08:00:00.000Z ",
    ],
)
def test_one_instant_in_many_spellings(text):
    assert parse_instant(text) == to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-20T25:00:00Z", "9" * 1_000_000]
)
def test_no_time_is_named(text):
    with pytest.raises(BadInstantError, match="not a time") as error:
        parse_instant(text)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["2026-11-20T10:00:00", "2026-11-20"])
def test_a_time_without_zone_is_refused_and_told_how(text):
    with pytest.raises(BadInstantError, match=r"no time zone.*\+02:00"):
        parse_instant(text)


def test_dates():
    assert parse_date("2026-11-20") == date(2026, 11, 20)
    with pytest.raises(BadInstantError, match="2026-11-20"):
        parse_date("20.11.2026")


def test_local_days_across_a_change_of_the_clock():
    assert (
        local_midnight_us(date(2026, 3, 30), "Europe/Kyiv")
        - local_midnight_us(date(2026, 3, 29), "Europe/Kyiv")
        == 23 * 3_600_000_000
    )
    midnight = local_midnight_us(date(2026, 10, 25), "Europe/Kyiv")
    assert local_date(midnight, "Europe/Kyiv") == date(2026, 10, 25)
    assert local_date(midnight - 1, "Europe/Kyiv") == date(2026, 10, 24)
    assert format_instant(midnight, "Europe/Kyiv") == "2026-10-25T00:00:00.000+03:00"
