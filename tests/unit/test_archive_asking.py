import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import asking
from archive.door import Ground, GroundError
from archive.month import following
from archive.room_days import days_of
from recorder.errors import BadInstantError
from recorder.intervals import Interval
from recorder.working_hours import due_us


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_instants_beyond_any_archive_are_refused(text):
    with pytest.raises(BadInstantError, match="year"):
        asking.instant_of(text)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1969-12-31", "2200-01-01"])
def test_dates_beyond_any_archive_are_refused(text):
    with pytest.raises(BadInstantError, match="year"):
        asking.date_of(text)


@pytest.mark.parametrize(
    "text", ["2026-11-01", "2026-1", "2026-13", "11.2026", "", "0000-00", "2026-11\n-01"]
)
def test_what_is_no_month_is_refused(text):
    with pytest.raises(BadInstantError, match="2026-1"):
        asking.month_of(text)


@given(st.dates())
def test_a_month_that_is_let_in_has_a_next_one(day):
    try:
        asked = asking.month_of(f"{day:%Y-%m}")
    except BadInstantError:
        return
    assert asked.day == 1
    asking.date_of(following(asked).isoformat())


@given(st.dates())
def test_what_is_let_in_never_overflows(day):
    try:
        asked = asking.date_of(day.isoformat())
    except BadInstantError:
        return
    assert due_us(asked, 12, "Europe/Kyiv") > 0
    start_us = asking.instant_of(f"{day.isoformat()}T00:00:00Z")
    assert len(days_of(Interval(start_us, start_us + 1), "Pacific/Kiritimati")) == 1


@pytest.mark.parametrize("text", ["hold:9223372036854775808", "hold:" + "9" * 32, "hold:-1", "hold:abc"])
def test_a_ground_names_a_hold_that_can_exist(text):
    with pytest.raises(GroundError, match="hold"):
        Ground.parse(text)
