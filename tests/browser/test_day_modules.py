"""The pure parts of the day page's scripts, in the browser that runs them."""

from __future__ import annotations

import pytest

from tests.browser.looking import desktop_only

pytestmark = [pytest.mark.browser, desktop_only]
# Kyiv: summer time ends on 25 October 2026 at 04:00, which becomes 03:00; it begins on 28 March 2027.
AUTUMN = {"midnightUs": 1_792_875_600_000_000, "nextMidnightUs": 1_792_965_600_000_000, "zone": "Europe/Kyiv"}
SPRING = {"midnightUs": 1_806_184_800_000_000, "nextMidnightUs": 1_806_267_600_000_000, "zone": "Europe/Kyiv"}
HOUR = 3_600_000_000


@pytest.fixture
def module(page):
    """Runs a function with a module of the day page and an argument."""
    page.goto("/checkpoints")

    def run(name: str, function: str, argument: object = None) -> object:
        script = f"async (given) => ({function})(await import('/static/js/day/{name}.js'), given)"
        return page.evaluate(script, argument)

    return run


def test_a_reading_of_the_clock_is_an_instant_of_its_day(module) -> None:
    read = "(m, [texts, day]) => texts.map(text => m.reading(text, day))"
    given = ["00:00", "2:30", "3:30", "4.00", "04:00:00.5", "23:59:59", "24:00", "25:00", "10:60", "x", ""]
    autumn = module("times", read, [given, AUTUMN])
    start = AUTUMN["midnightUs"]
    # 03:30 comes twice: the first counts. After it the clock is an hour behind what has passed.
    assert autumn[:5] == [
        start,
        start + 2.5 * HOUR,
        start + 3.5 * HOUR,
        start + 5 * HOUR,
        start + 5 * HOUR + 500_000,
    ]
    assert autumn[5] == AUTUMN["nextMidnightUs"] - 1_000_000
    assert autumn[6:] == [AUTUMN["nextMidnightUs"], None, None, None, None]
    spring = module("times", read, [["02:59", "03:30", "04:00"], SPRING])
    start = SPRING["midnightUs"]
    assert spring == [start + 2 * HOUR + 59 * 60_000_000, None, start + 3 * HOUR], "03:30 does not exist"


def test_each_instant_of_a_day_is_read_back_from_its_clock(module) -> None:
    different = module(
        "times",
        """(m, day) => {
            const out = [];
            for (let us = day.midnightUs + 4 * 3600e6; us < day.nextMidnightUs; us += 61.123e6) {
                const ms = Math.floor(us / 1000) * 1000;
                const shown = m.exactClock(us, day.zone);
                if (shown >= "04" && m.reading(shown, day) !== ms) out.push(us);
            }
            return out;
        }""",
        AUTUMN,
    )
    assert different == []


def test_the_end_of_a_day_is_its_own(module) -> None:
    """An interval that ends at 00:00 would end before it begins."""
    ends = [SPRING["nextMidnightUs"], SPRING["nextMidnightUs"] - 1_000_000, SPRING["midnightUs"]]
    told = module("times", "(m, [ends, day]) => ends.map(us => m.endClock(us, day))", [ends, SPRING])
    assert told == ["24:00:00", "23:59:59", "00:00:00"]
    assert module("times", "(m, day) => m.reading('24:00:00', day)", SPRING) == ends[0]


def test_a_time_is_cut_and_never_rounded_into_the_next_millisecond(module) -> None:
    shown = module("times", "(m, us) => m.exactClock(us, 'Europe/Kyiv')", AUTUMN["midnightUs"] + 999_999)
    assert shown == "00:00:00.999"


def test_no_picture_is_shown_with_a_time_of_a_gap(module) -> None:
    """Two stretches with a gap of two minutes between them, pictures rounded by up to 3 ms."""
    told = module(
        "player",
        """async (m) => {
            const { WallClock } = await import("/static/js/wall-clock.js");
            const span = (wall, end, player) => `#EXT-X-PROTOKOL-SPAN:WALL-US=${wall},END-US=${end},`
                + `PLAYER-US=${player},TRACKS=picture+sound`;
            const clock = new WallClock([span(1000e6, 1004e6, 0), span(1124e6, 1126e6, 4e6)].join("\\n"));
            const times = Array.from({length: 6001}, (_, index) => m.instantOf(clock, index / 1000));
            return {
                inGap: times.filter(us => us >= 1004e6 && us < 1124e6),
                edge: [3.96, 3.9969, 3.999999, 4, 4.001].map(seconds => m.instantOf(clock, seconds)),
            };
        }""",
    )
    assert told["inGap"] == []
    assert told["edge"][0] == 1_003_960_000
    assert told["edge"][1:] == [1_124_000_000] * 3 + [1_124_001_000]


def test_zooming_keeps_its_place_and_never_leaves_the_day(module) -> None:
    told = module(
        "viewport",
        """(m) => {
            const view = new m.Viewport({startUs: 0, endUs: 9 * 3600e6});
            view.zoom(0.25, 3600e6);
            const first = [view.x(3600e6, 900), view.startUs, view.endUs];
            const out = [];
            for (let step = 0; step < 400; step += 1) {
                view.zoom([0.3, 3, 0.9, 1.7][step % 4], (step * 7919e6) % (9 * 3600e6));
                view.pan(((step * 104729e6) % 7200e6) - 3600e6);
                if (view.startUs < 0 || view.endUs > 9 * 3600e6 + 1 || view.spanUs < 9.99e6) out.push(step);
            }
            for (let step = 0; step < 50; step += 1) view.zoom(0.5, 3600e6);
            const closest = view.spanUs;
            view.all();
            const ticks = view.ticks(900, 76, 0).map(us => us / 3600e6);
            return {first, out, closest, whole: view.isWhole, ticks};
        }""",
    )
    assert told["first"] == [100, 2_700_000_000, 10_800_000_000]
    assert told["out"] == []
    assert told["closest"] == 10_000_000
    assert told["whole"]
    assert told["ticks"] == list(range(10))


def test_marks_never_run_backwards(module) -> None:
    told = module(
        "marks",
        """(m) => {
            const marks = new m.Marks();
            const steps = [];
            const note = (cleared) => steps.push([marks.inUs, marks.outUs, cleared, marks.isWhole]);
            note(marks.setIn(5.25e6)); note(marks.setOut(9.5e6));
            const seconds = marks.seconds;
            note(marks.setIn(9.5e6)); note(marks.setOut(4e6));
            return {steps, seconds};
        }""",
    )
    assert told["steps"] == [
        [5_250_000, None, False, False],
        [5_250_000, 9_500_000, False, True],
        [9_500_000, None, True, False],
        [None, 4_000_000, True, False],
    ]
    assert told["seconds"] == {"startUs": 5_000_000, "endUs": 10_000_000}, "whole seconds around the marks"


def test_months_have_their_weeks_from_monday(module) -> None:
    told = module(
        "calendar",
        """(m) => ({
            november: m.weeks("2026-11-20"),
            february: m.weeks("2027-02-01").length,
            steps: [m.addMonths("2027-01-31", 1), m.addMonths("2026-12-05", 1), m.addMonths("2026-03-31", -1),
                    m.addDays("2026-10-24", 2)],
        })""",
    )
    assert [len(week) for week in told["november"]] == [7] * 6
    assert told["november"][0] == [None] * 6 + ["2026-11-01"]
    assert [day for week in told["november"] for day in week if day][-1] == "2026-11-30"
    assert told["february"] == 4
    assert told["steps"] == ["2027-02-28", "2027-01-05", "2026-02-28", "2026-10-26"]


def test_a_day_of_the_calendar_is_told_in_words(module) -> None:
    words = {
        "day_open": "recorded %(recorded)s of %(planned)s", "day_gaps": "gaps %(gap)s",
        "day_holds": "holds: %(count)s", "day_requests": "requests: %(count)s",
        "day_purged": "destroyed", "day_closed": "not recorded",
        "day_future": "to come", "day_missing": "nothing", "hours": "h", "minutes": "min", "seconds": "s",
    }  # fmt: skip
    hour = 3_600_000_000
    days = [
        {
            "state": "open",
            "planned_us": 8 * hour,
            "recorded_us": 7.5 * hour,
            "gap_us": hour / 2,
            "holds": 1,
            "requests": 2,
        },
        {
            "state": "purged",
            "planned_us": 8 * hour,
            "recorded_us": 0,
            "gap_us": hour,
            "holds": 0,
            "requests": 0,
        },
        {"state": "closed", "planned_us": 0, "recorded_us": 0, "gap_us": 0, "holds": 0, "requests": 0},
        {"state": "open", "planned_us": hour, "recorded_us": 0, "gap_us": hour, "holds": 0, "requests": 0},
    ]
    told = module("calendar", "(m, [days, words]) => days.map(day => m.told(day, words))", [days, words])
    assert told == [
        ["recorded 7 h 30 min of 8 h", "gaps 30 min", "holds: 1", "requests: 2"],
        ["destroyed"],
        ["not recorded"],
        ["nothing", "gaps 1 h"],
    ]


def test_a_link_names_what_is_seen_and_by_which_camera(module) -> None:
    told = module(
        "address",
        """async (m, day) => {
            const { Marks } = await import("/static/js/day/marks.js");
            const facts = {date: "2026-10-25", zone: day.zone, day};
            const us = day.midnightUs + 5 * 3600e6;
            const query = (text) => text.split("?")[1];
            return [
                query(m.addressOf(facts, new Marks(), us)),
                query(m.addressOf(facts, new Marks(us, us + 60e6), us, "second")),
                m.asked(facts, "?from=04:00:00&t=x"),
            ];
        }""",
        AUTUMN,
    )
    assert told == [
        "date=2026-10-25&t=04:00:00",
        "date=2026-10-25&source=second&from=04:00:00&to=04:01:00",
        {"atUs": None, "inUs": AUTUMN["midnightUs"] + 5 * HOUR, "outUs": None},
    ]


def test_why_nothing_is_seen_is_told_for_each_instant(module) -> None:
    told = module(
        "facts",
        """(m) => {
            const part = (start_us, end_us, word, more = {}) => ({start_us, end_us, word, ...more});
            const facts = new m.Facts({
                horizon: {start_us: 0, end_us: 100}, outside_word: "outside",
                recorded: [part(10, 20, "recorded"), part(30, 50, "recorded")],
                gaps: [
                    part(20, 25, "camera", {tracks: ["video", "audio"]}),
                    part(35, 40, "no sound", {tracks: ["audio"]}),
                ],
                closed: [part(0, 10, "closed"), part(25, 30, "closed"), part(50, 100, "closed")],
                pending: [], ahead: [], purged: [], unopened: [part(45, 50, "not open")],
                marks: [part(12, 14, "alert")], holds: [part(13, 36, "held")],
                requested: [1, 2, 3].map(each => part(48, 50, `request ${each}`)),
                words: {day_requests: "requests: %(count)s"},
            });
            return {
                why: [5, 10, 20, 24, 29, 36, 60, 200].map(us => facts.why(us)),
                reasons: facts.reasons(20, 30), at: [13, 36, 22, 49].map(us => facts.at(us)),
                next: [0, 15, 22, 49, 50].map(us => facts.next(us)),
            };
        }""",
    )
    assert told["why"] == ["closed", None, "camera", "camera", "closed", None, "closed", "outside"]
    assert told["reasons"] == ["camera", "closed"]
    many = ["recorded", "not open", "requests: 3"]
    assert told["at"] == [["recorded", "alert", "held"], ["recorded", "no sound"], ["camera", "held"], many]
    assert told["next"] == [10, 15, 30, 49, None]
