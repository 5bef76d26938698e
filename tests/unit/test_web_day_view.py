from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.search import Coverage, GapFact
from recorder.errors import BadInstantError
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, parse_instant
from recorder.intervals import Interval
from retrieval_api.day_view import local_interval, neighbour, strip

ZONE = "Europe/Kyiv"
DAY = date(2026, 11, 20)
HOUR = 60 * US_PER_MINUTE


def at(text: str) -> int:
    return parse_instant(f"2026-11-20T{text}+02:00")


def coverage(**changes) -> Coverage:
    windows = (Interval(at("08:00"), at("12:00")), Interval(at("13:00"), at("16:45")))
    facts = {
        "room": "108",
        "date": "2026-11-20",
        "state": "open",
        "due_us": 0,
        "windows": windows,
        "recorded": (),
        "gaps": (),
        "pending": (),
        "holds": (),
    }
    return Coverage(**{**facts, **changes})


def test_the_strip_spans_whole_hours_around_the_windows() -> None:
    made = strip(coverage(), DAY, ZONE, str)
    assert (made.start_us, made.end_us) == (at("08:00"), at("17:00"))
    assert [x for _, x in made.hours] == [f"{100 * hour / 9:.3f}%" for hour in range(10)]
    assert [mark.x for mark in made.windows] == ["0.000%", "55.556%"]


def test_a_day_without_windows_shows_the_usual_hours() -> None:
    made = strip(coverage(windows=()), DAY, ZONE, str)
    assert (made.start_us, made.end_us) == (at("08:00"), at("17:00"))


def test_marks_bear_their_cause_and_are_cut_to_the_strip() -> None:
    gap = GapFact(at("16:30"), at("18:00"), "main", ("video",), "camera_stalled")
    made = strip(coverage(gaps=(gap,)), DAY, ZONE, lambda cause: f"<{cause}>")
    [mark] = made.marks
    assert (mark.kind, mark.label, mark.x, mark.width) == ("gap", "<camera_stalled>", "94.444%", "5.556%")
    assert mark.interval == Interval(at("16:30"), at("18:00"))


def test_what_the_ground_leaves_closed_is_drawn_over_what_is_recorded() -> None:
    facts = coverage(recorded=(Interval(at("08:00"), at("12:00")),))
    opened = ([Interval(at("09:00"), at("17:00"))], "open", "not open")
    made = strip(facts, DAY, ZONE, str, opened=opened)
    assert [(mark.kind, mark.x, mark.label) for mark in made.marks] == [
        ("recorded", "0.000%", ""),
        ("unopened", "0.000%", "not open"),
        ("openable", "11.111%", "open"),
    ]
    assert [mark.kind for mark in strip(facts, DAY, ZONE, str).marks] == ["recorded"]


@given(st.lists(st.tuples(st.integers(0, 9 * 3600), st.integers(1, 7200)), max_size=8))
def test_every_mark_stands_inside_the_strip(stretches) -> None:
    recorded = tuple(
        Interval(at("08:00") + start * US_PER_SECOND, at("08:00") + (start + length) * US_PER_SECOND)
        for start, length in stretches
    )
    for mark in strip(coverage(recorded=recorded), DAY, ZONE, str).marks:
        x, width = float(mark.x.rstrip("%")), float(mark.width.rstrip("%"))
        assert x >= 0
        assert width >= 0
        assert x + width <= 100.01


def test_local_times_of_a_day() -> None:
    assert local_interval(DAY, "10:00", "10:41:30", ZONE) == Interval(at("10:00"), at("10:41:30"))
    assert local_interval(DAY, "23:00", "24:00", ZONE).end_us == at("23:00") + HOUR


def test_the_hour_that_comes_twice_counts_whole() -> None:
    autumn = local_interval(date(2026, 10, 25), "03:00", "03:30", ZONE)
    assert autumn.duration_us == HOUR + 30 * US_PER_MINUTE


@pytest.mark.parametrize(
    ("start", "end"), [("10:00", "10:00"), ("11:00", "10:00"), ("", "10:00"), ("25:00", "26:00"), ("x", "y")]
)
def test_what_is_no_interval_is_named(start, end) -> None:
    with pytest.raises(BadInstantError):
        local_interval(DAY, start, end, ZONE)


def test_closed_days_are_stepped_over() -> None:
    def working(day: date) -> bool:
        return day.weekday() < 5

    assert neighbour(DAY, 1, working) == date(2026, 11, 23)
    assert neighbour(date(2026, 11, 23), -1, working) == DAY
    assert neighbour(DAY, 1, lambda _: False) == date(2026, 11, 21)
