"""Recording windows: golden cases on the days of the clock change, and properties over all of them."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.hours_notation import window_minutes
from recorder.instants import (
    US_PER_DAY,
    US_PER_MINUTE,
    format_instant,
    local_date,
    parse_instant,
    to_datetime,
)
from recorder.intervals import Interval, intersect, merge
from recorder.rooms import Camera, Room, RoomConfiguration
from recorder.working_hours import due_us, next_window, window_at, windows, windows_between

KYIV = "Europe/Kyiv"
# Zones whose changes differ in hour, size and direction: at midnight, half an hour, none at all.
ZONES = [KYIV, "America/Sao_Paulo", "Australia/Lord_Howe", "America/Santiago", "UTC", "Asia/Tokyo"]
OFFICE = {"mon-thu": ("08:00-12:00", "13:00-17:00"), "fri": ("08:00-12:00", "13:00-16:45")}


def configuration(
    hours: dict[str, tuple[str, ...]], zone: str = KYIV, **calendar: str | tuple[str, ...]
) -> RoomConfiguration:
    """`calendar` keys are written d2026_12_31."""
    return RoomConfiguration.model_validate(
        {
            "version": 1,
            "council_name_uk": "Рада",
            "council_name_en": "Council",
            "timezone": zone,
            "retention_months": 1,
            "room": Room(id="108", label="108", floor=1, cameras=(Camera(url="rtsp://c/1"),)),
            "hours": hours,
            "calendar": {key[1:].replace("_", "-"): value for key, value in calendar.items()},
        }
    )


def local(found: tuple[Interval, ...], zone: str = KYIV) -> list[tuple[str, str]]:
    return [
        (
            to_datetime(each.start_us, zone).isoformat(timespec="minutes"),
            to_datetime(each.end_us, zone).isoformat(timespec="minutes"),
        )
        for each in found
    ]


DAILY = {"daily": ("00:00-24:00",)}
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


@pytest.mark.parametrize(
    ("window", "day", "expected"),
    [
        # 03:00 becomes 04:00 (+02:00 → +03:00).
        ("00:00-24:00", SPRING, ("2026-03-29T00:00+02:00", "2026-03-30T00:00+03:00")),
        ("08:00-12:00", SPRING, ("2026-03-29T08:00+03:00", "2026-03-29T12:00+03:00")),
        ("02:00-03:30", SPRING, ("2026-03-29T02:00+02:00", "2026-03-29T04:00+03:00")),
        ("03:30-05:00", SPRING, ("2026-03-29T04:00+03:00", "2026-03-29T05:00+03:00")),
        ("03:10-03:50", SPRING, None),
        ("22:00-03:30", date(2026, 3, 28), ("2026-03-28T22:00+02:00", "2026-03-29T04:00+03:00")),
        # 04:00 becomes 03:00 (+03:00 → +02:00).
        ("00:00-24:00", AUTUMN, ("2026-10-25T00:00+03:00", "2026-10-26T00:00+02:00")),
        ("08:00-12:00", AUTUMN, ("2026-10-25T08:00+02:00", "2026-10-25T12:00+02:00")),
        ("02:00-03:30", AUTUMN, ("2026-10-25T02:00+03:00", "2026-10-25T03:30+02:00")),
        ("03:30-05:00", AUTUMN, ("2026-10-25T03:30+03:00", "2026-10-25T05:00+02:00")),
        ("22:00-03:30", date(2026, 10, 24), ("2026-10-24T22:00+03:00", "2026-10-25T03:30+02:00")),
    ],
)
def test_the_days_of_the_clock_change(window: str, day: date, expected: tuple[str, str] | None) -> None:
    assert local(windows(configuration({"daily": (window,)}), day)) == ([expected] if expected else [])


def test_office_hours_of_a_week() -> None:
    office = configuration(OFFICE)
    assert local(windows(office, date(2026, 11, 20))) == [
        ("2026-11-20T08:00+02:00", "2026-11-20T12:00+02:00"),
        ("2026-11-20T13:00+02:00", "2026-11-20T16:45+02:00"),
    ]
    assert windows(office, date(2026, 11, 21)) == ()
    monday = parse_instant("2026-11-16T00:00:00+02:00")
    week = windows_between(office, Interval(monday, monday + 7 * US_PER_DAY))
    assert sum(each.duration_us for each in week) == (4 * 8 * 60 + 7 * 60 + 45) * US_PER_MINUTE


def test_the_calendar_wins_over_the_hours() -> None:
    festive = configuration(
        OFFICE, d2026_12_31=("08:00-12:00",), d2027_01_01="closed", d2027_01_02=("10:00-11:00",)
    )
    assert local(windows(festive, date(2026, 12, 31))) == [
        ("2026-12-31T08:00+02:00", "2026-12-31T12:00+02:00")
    ]
    assert windows(festive, date(2027, 1, 1)) == ()
    assert local(windows(festive, date(2027, 1, 2))) == [("2027-01-02T10:00+02:00", "2027-01-02T11:00+02:00")]


def test_a_night_window_belongs_to_the_date_of_its_start() -> None:
    night = configuration(OFFICE, d2026_11_20=("22:00-02:00",), d2026_11_21=("02:00-03:00",))
    assert local(windows(night, date(2026, 11, 20))) == [("2026-11-20T22:00+02:00", "2026-11-21T02:00+02:00")]
    whole = Interval(parse_instant("2026-11-20T22:00:00+02:00"), parse_instant("2026-11-21T03:00:00+02:00"))
    # The next day's own window abuts: joined it is one.
    assert window_at(night, parse_instant("2026-11-21T00:30:00+02:00")) == whole
    assert window_at(night, whole.start_us) == whole
    assert window_at(night, whole.end_us) is None


def test_neighbouring_days_that_overlap_are_joined() -> None:
    overlapping = configuration({"fri": ("22:00-02:00",), "sat": ("01:00-03:00",)})
    around = Interval(parse_instant("2026-11-20T12:00:00+02:00"), parse_instant("2026-11-22T00:00:00+02:00"))
    assert local(windows_between(overlapping, around)) == [
        ("2026-11-20T22:00+02:00", "2026-11-21T03:00+02:00")
    ]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-20T07:59:59+02:00", ("2026-11-20T08:00+02:00", "2026-11-20T12:00+02:00")),
        ("2026-11-20T08:00:00+02:00", ("2026-11-20T08:00+02:00", "2026-11-20T12:00+02:00")),
        ("2026-11-20T12:00:00+02:00", ("2026-11-20T13:00+02:00", "2026-11-20T16:45+02:00")),
        ("2026-11-20T16:45:00+02:00", ("2026-11-23T08:00+02:00", "2026-11-23T12:00+02:00")),
    ],
)
def test_the_next_window_is_the_current_one_inside(at: str, expected: tuple[str, str]) -> None:
    found = next_window(configuration(OFFICE), parse_instant(at))
    assert found
    assert local((found,)) == [expected]


def test_there_may_be_no_next_window() -> None:
    never = configuration({"mon": ("08:00-09:00",)}).model_copy(update={"hours": {}})
    assert next_window(never, parse_instant("2026-11-20T08:00:00Z")) is None
    once = never.model_copy(update={"calendar": {"2027-11-20": ("08:00-09:00",)}})
    found = next_window(once, parse_instant("2026-11-20T08:00:00Z"))
    assert found
    assert format_instant(found.start_us, KYIV) == "2027-11-20T08:00:00.000+02:00"


def test_a_room_around_the_clock_is_told_31_days_ahead() -> None:
    now = parse_instant("2026-11-20T08:00:00Z")
    assert window_at(configuration(DAILY), now) == Interval(now - 31 * US_PER_DAY, now + 31 * US_PER_DAY)


def test_three_days_without_a_pause_are_one_window() -> None:
    congress = configuration(
        {"tue": ("08:00-24:00",), "wed": ("00:00-24:00",), "thu": ("00:00-24:00",), "fri": ("00:00-10:00",)}
    )
    expected = [("2026-11-17T08:00+02:00", "2026-11-20T10:00+02:00")]
    for at in ("2026-11-17T08:00:00+02:00", "2026-11-18T12:00:00+02:00", "2026-11-20T09:59:59+02:00"):
        found = window_at(congress, parse_instant(at))
        assert found
        assert local((found,)) == expected


@pytest.mark.parametrize(
    ("day", "months", "due"),
    [
        (date(2026, 11, 20), 1, "2026-12-20T00:00+02:00"),
        (date(2026, 1, 31), 1, "2026-02-28T00:00+02:00"),
        (date(2028, 1, 31), 1, "2028-02-29T00:00+02:00"),
        (date(2026, 12, 31), 1, "2027-01-31T00:00+02:00"),
        (date(2026, 12, 31), 2, "2027-02-28T00:00+02:00"),
        (date(2026, 3, 1), 1, "2026-04-01T00:00+03:00"),
        (date(2026, 9, 25), 1, "2026-10-25T00:00+03:00"),
        (date(2026, 9, 26), 1, "2026-10-26T00:00+02:00"),
        (date(2026, 11, 20), 12, "2027-11-20T00:00+02:00"),
    ],
)
def test_a_month_is_the_same_day_of_the_next_one(day: date, months: int, due: str) -> None:
    assert to_datetime(due_us(day, months, KYIV), KYIV).isoformat(timespec="minutes") == due


def test_less_than_a_month_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        due_us(date(2026, 11, 20), 0, KYIV)


@given(st.dates(date(2020, 1, 1), date(2037, 1, 1)), st.integers(1, 12), st.sampled_from(ZONES))
def test_due_days_never_overtake_each_other(day: date, months: int, zone: str) -> None:
    due = due_us(day, months, zone)
    assert due <= due_us(day + timedelta(days=1), months, zone)
    assert due < due_us(day, months + 1, zone)
    assert local_date(due - 1, zone) < local_date(due, zone)
    assert 28 <= (local_date(due, zone) - day).days <= 31 * months


minutes = st.integers(0, 24 * 60 - 1)


@st.composite
def day_windows(draw: st.DrawFn) -> tuple[str, ...]:
    """Up to three windows of a day that do not overlap; the last may run over midnight."""
    edges = sorted(draw(st.lists(minutes, min_size=2, max_size=6, unique=True)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    if draw(st.booleans()) and edges[0] > 0:
        pairs = [*pairs[:-1], (pairs[-1][0], draw(st.integers(0, edges[0])))]
    return tuple(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in pairs if a != b)


def clock_changes(zone: str) -> list[date]:
    """Local dates of 2024-2030 whose offset differs from the next day's; any date where there is none."""
    found, day = [], date(2024, 1, 1)
    while day.year < 2031:
        noon = datetime.combine(day, time(12), ZoneInfo(zone))
        if noon.utcoffset() != (noon + timedelta(days=1)).utcoffset():
            found.append(day + timedelta(days=1))
        day += timedelta(days=1)
    return found or [date(2026, 3, 29)]


CHANGES = {zone: clock_changes(zone) for zone in ZONES}


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[str, date]:
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(st.sampled_from(CHANGES[zone])) + timedelta(days=draw(st.integers(-2, 2)))


@given(near_a_change(), day_windows())
def test_every_minute_that_was_promised_is_recorded_and_no_other(
    where: tuple[str, date], texts: tuple[str, ...]
) -> None:
    """Against the definition: a minute is recorded if a wall clock shows a time inside the window, or if
    it lies between two such minutes (the hour that comes twice).
    """
    zone, day = where
    found = windows(configuration({"daily": texts or ("08:00-09:00",)}, zone), day)
    info = ZoneInfo(zone)
    begin = datetime.combine(day, time(0), UTC) - timedelta(hours=16)
    readings = [
        (moment, moment.astimezone(info).replace(tzinfo=None))
        for moment in (begin + timedelta(minutes=step) for step in range(72 * 60))
    ]
    expected: list[Interval] = []
    for text in texts or ("08:00-09:00",):
        start, end = window_minutes(text)
        midnight = datetime.combine(day, time(0))
        first, last = midnight + timedelta(minutes=start), midnight + timedelta(minutes=end)
        inside = [moment for moment, shown in readings if first <= shown < last]
        if inside:
            start_us = int(inside[0].timestamp()) * 1_000_000
            expected.append(Interval(start_us, int(inside[-1].timestamp()) * 1_000_000 + US_PER_MINUTE))
    assert found == merge(expected)


@given(
    near_a_change(),
    day_windows(),
    day_windows(),
    st.integers(-2 * US_PER_DAY, 2 * US_PER_DAY),
    st.integers(1, 5 * US_PER_DAY),
)
def test_windows_between_is_what_the_days_say_clipped(
    where: tuple[str, date], one: tuple[str, ...], other: tuple[str, ...], offset_us: int, length_us: int
) -> None:
    zone, day = where
    hours = {"mon-thu": one or ("08:00-09:00",), "fri-sun": other}
    made = configuration(hours, zone)
    start_us = due_us(day, 1, zone) + offset_us
    span = Interval(start_us, start_us + length_us)
    first = local_date(start_us, zone)
    of_days = [each for step in range(-3, 9) for each in windows(made, first + timedelta(days=step))]
    found = windows_between(made, span)
    assert found == intersect(of_days, [span])
    assert all(a.end_us < b.start_us for a, b in itertools.pairwise(found))


@given(near_a_change(), day_windows(), st.integers(0, US_PER_DAY))
def test_window_at_and_next_window_agree_with_windows_between(
    where: tuple[str, date], texts: tuple[str, ...], offset_us: int
) -> None:
    zone, day = where
    made = configuration({"mon-wed": texts or ("08:00-09:00",), "sat": texts}, zone)
    at = due_us(day, 1, zone) + offset_us
    joined = windows_between(made, Interval(at - 8 * US_PER_DAY, at + 16 * US_PER_DAY))
    assert window_at(made, at) == next((each for each in joined if each.contains(at)), None)
    assert next_window(made, at) == next(each for each in joined if each.end_us > at)
