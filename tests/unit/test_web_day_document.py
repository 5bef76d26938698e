from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.models import Hold, Mark
from archive.search import Coverage, GapFact
from recorder.instants import US_PER_MINUTE, parse_instant
from recorder.intervals import Interval, merge, subtract
from retrieval_api.day_document import document
from retrieval_api.i18n import Localizer

DAY = date(2026, 11, 20)
UK, EN = Localizer("uk"), Localizer("en")


def at(time: str) -> int:
    return parse_instant(f"2026-11-20T{time}+02:00")


WINDOWS = (Interval(at("08:00"), at("12:00")), Interval(at("13:00"), at("16:45")))
EVENING = at("20:00")


def coverage(**changes) -> Coverage:
    facts = {
        "room": "108",
        "date": "2026-11-20",
        "state": "open",
        "due_us": 7,
        "windows": WINDOWS,
        "recorded": (),
        "gaps": (),
        "pending": (),
        "holds": (),
    }
    return Coverage(**{**facts, **changes})


def told(facts: Coverage, now_us: int = EVENING, texts: Localizer = UK, beside=(), numbers=None):
    return document(facts, beside, numbers or {}, DAY, now_us, texts)


def intervals(listed) -> list[Interval]:
    return [Interval(each["start_us"], each["end_us"]) for each in listed]


def hold(number: int, start: str, end: str, request: int | None = None) -> Hold:
    return Hold(id=number, start_us=at(start), end_us=at(end), request_id=request)


def test_a_gap_says_its_cause_and_what_is_missing() -> None:
    gaps = (
        GapFact(at("11:02"), at("11:04"), "main", ("video", "audio"), "camera_unreachable"),
        GapFact(at("11:10"), at("11:12"), "main", ("audio",), "microphone_lost"),
        GapFact(at("11:20"), at("11:22"), "main", ("video", "audio"), "agent_down", provisional=True),
    )
    words = [each["word"] for each in told(coverage(gaps=gaps))["gaps"]]
    assert words == [
        "камера не відповідала",
        "без звуку: мікрофона не було",
        "не було зв'язку з комп'ютером запису, попередньо",
    ]
    english = [each["word"] for each in told(coverage(gaps=gaps), texts=EN)["gaps"]]
    assert english[0] == "the camera did not answer"


def test_of_several_cameras_it_is_told_which_one_failed() -> None:
    gaps = (GapFact(at("11:02"), at("11:04"), "двері", ("video",), "camera_unreachable"),)
    made = document(coverage(gaps=gaps), (), {}, DAY, EVENING, UK, names_sources=True)
    assert [each["word"] for each in made["gaps"]] == ["двері: без зображення: камера не відповідала"]


def test_a_hold_of_a_request_is_told_by_the_request() -> None:
    facts = coverage(holds=(hold(3, "09:00", "10:00"), hold(4, "10:00", "11:00", request=9)))
    made = told(facts, numbers={9: "К-12"})
    assert [each["word"] for each in made["holds"]] == ["заборона знищення 3"]
    assert [each["word"] for each in made["requested"]] == ["запит К-12"]


def test_of_a_purged_day_what_is_held_is_not_destroyed() -> None:
    made = told(coverage(state="purged", holds=(hold(3, "09:00", "10:00"),)))
    assert intervals(made["purged"]) == [
        Interval(at("08:00"), at("09:00")),
        Interval(at("10:00"), at("12:00")),
        WINDOWS[1],
    ]
    assert told(coverage())["purged"] == []


def test_what_the_ground_opens_and_leaves_closed_make_up_what_is_recorded() -> None:
    facts = coverage(recorded=(Interval(at("09:00"), at("10:00")), Interval(at("10:30"), at("11:00"))))
    opened = [Interval(at("09:45"), at("10:40"))]
    made = document(facts, (), {}, DAY, EVENING, UK, opened=opened)
    openable = [Interval(at("09:45"), at("10:00")), Interval(at("10:30"), at("10:40"))]
    assert intervals(made["openable"]) == openable
    assert intervals(made["unopened"]) == list(subtract(facts.recorded, openable))
    assert made["unopened"][0]["word"] == "не відкрито за підставою"
    nothing = document(facts, (), {}, DAY, EVENING, EN, opened=[])
    assert (nothing["openable"], intervals(nothing["unopened"])) == ([], list(facts.recorded))
    assert nothing["unopened"][0]["word"] == "not open on this ground"
    unlimited = told(facts)
    assert (unlimited["openable"], unlimited["unopened"]) == ([], [])


def test_a_mark_that_goes_on_lasts_until_now() -> None:
    mark = Mark(kind="air_raid_alert", start_us=at("15:00"), end_us=None, note="")
    made = told(coverage(), now_us=at("15:30"), beside=[mark])
    assert intervals(made["marks"]) == [Interval(at("15:00"), at("15:30"))]


@pytest.mark.parametrize("now", ["07:00", "09:30", "12:30", "20:00"])
def test_windows_are_past_or_ahead(now) -> None:
    ahead = intervals(told(coverage(), now_us=at(now))["ahead"])
    assert tuple(ahead) == subtract(WINDOWS, [Interval(0, at(now))])


@given(st.lists(st.tuples(st.integers(0, 540), st.integers(1, 120)), max_size=4).map(sorted))
def test_windows_and_what_is_closed_make_up_the_whole(parts) -> None:
    begin = at("08:00")
    windows = merge(
        Interval(begin + start * US_PER_MINUTE, begin + (start + length) * US_PER_MINUTE)
        for start, length in parts
    )
    made = told(coverage(windows=windows))
    whole = made["horizon"]
    assert merge([*intervals(made["windows"]), *intervals(made["closed"])]) == (
        Interval(whole["start_us"], whole["end_us"]),
    )
