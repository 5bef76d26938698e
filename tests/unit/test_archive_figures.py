"""A room-day in numbers: every instant counts once."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from archive.figures import ARRIVAL_US, SEAM_US, Cause, Figures, Missing, account, unknown
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval, intersect, join, merge, runs, subtract

MINUTE = 60 * US_PER_SECOND
HOUR = 60 * MINUTE
WINDOWS = (Interval(8 * HOUR, 12 * HOUR), Interval(13 * HOUR, 17 * HOUR))
NIGHT = 24 * HOUR
CAUSES = ("camera_unreachable", "microphone_lost", "agent_down", "opening")


def gap(start_us, end_us, cause="camera_unreachable", tracks=("video", "audio"), source="main"):
    return Missing(Interval(start_us, end_us), source, tracks, cause)


# Around the seam and the time of arrival, and far beyond both.
instants = st.integers(1, 40).map(lambda n: n * 30_000) | st.integers(1, 20).map(lambda n: n * MINUTE)
intervals = st.tuples(instants, instants).filter(lambda t: t[0] < t[1]).map(lambda t: Interval(*t))
sources = st.sampled_from(["main", "door"])
tracks = st.sampled_from([("video",), ("audio",), ("video", "audio")])
gaps = st.builds(Missing, intervals, sources, tracks, st.sampled_from(CAUSES))
footage = st.dictionaries(sources, st.lists(intervals, max_size=4), max_size=2)


@given(
    st.lists(intervals, max_size=3),
    footage,
    st.lists(gaps, max_size=4),
    st.integers(1, 25 * MINUTE),
    st.sampled_from([("video", "audio"), ("audio",)]),
)
# What is left beside a gap that was told: at the end of a window, and just now.
@example([Interval(30_000, 80_001)], {}, [gap(30_000, 60_000, tracks=("video",))], NIGHT, ("video", "audio"))
@example([Interval(30_000, MINUTE)], {}, [gap(30_000, 60_000, tracks=("video",))], 80_001, ("video", "audio"))
def test_planned_is_recorded_missing_and_pending_exactly(windows, stored, told, now_us, owed):
    found = account(windows, stored, told, now_us, tracks=owed)
    planned = merge(windows)
    assert found.planned_us == sum(each.duration_us for each in planned)
    assert found.planned_us == found.recorded_us + found.missing_us + found.pending_us
    assert sum(each.missing_us for each in found.causes.values()) == found.missing_us
    assert all(each.count > 0 and each.missing_us > 0 for each in found.causes.values())
    parts = (found.recorded_us, found.missing_us, found.pending_us, found.no_picture_us, found.no_sound_us)
    assert min(parts) >= 0
    assert max(found.no_picture_us, found.no_sound_us) <= found.missing_us
    assert found.no_picture_us + found.no_sound_us >= found.missing_us
    # What lies ahead is never recorded, and what was not stored is recorded only over a seam, which may also
    # be what a gap record has left; up to now there is none.
    past = intersect(planned, [Interval(0, now_us)])
    anything = [each for intervals in stored.values() for each in intervals]
    owing = [each.interval for each in told if set(each.tracks) & set(owed)]
    left = [*subtract(past, anything), *subtract(past, [*anything, *owing])]
    seams = [each for each in left if each.duration_us <= SEAM_US and each.end_us != now_us]
    assert found.recorded_us <= sum(
        each.duration_us for each in merge([*intersect(past, anything), *seams, *_seams(stored)])
    )


def _seams(stored):
    return [
        seam for each in stored.values() for whole in join(each, SEAM_US) for seam in subtract([whole], each)
    ]


@given(st.lists(intervals, max_size=6), st.integers(0, 100_000))
def test_runs_are_what_merging_with_wider_intervals_gives(some, within_us):
    joined = runs(sorted((each.start_us, each.end_us) for each in some), within_us)
    assert joined == join(some, within_us)
    wider = merge(Interval(each.start_us, each.end_us + within_us) for each in some)
    assert [(each.start_us, each.end_us + within_us) for each in joined] == [
        (each.start_us, each.end_us) for each in wider
    ]


@given(st.lists(intervals, min_size=1, max_size=3), footage, st.lists(gaps, max_size=4))
def test_days_add_up(windows, stored, told):
    one = account(windows, stored, told, NIGHT)
    two = one + one
    assert two.planned_us == two.recorded_us + two.missing_us + two.pending_us == 2 * one.planned_us
    assert two.causes == {
        name: Cause(2 * each.count, 2 * each.missing_us) for name, each in one.causes.items()
    }
    assert one + Figures() == one


def test_a_day_with_one_gap():
    stored = {"main": [Interval(8 * HOUR, 11 * HOUR), Interval(11 * HOUR + 2 * MINUTE, 17 * HOUR)]}
    found = account(WINDOWS, stored, [gap(11 * HOUR, 11 * HOUR + 2 * MINUTE)], NIGHT)
    assert (found.planned_us, found.missing_us, found.pending_us) == (8 * HOUR, 2 * MINUTE, 0)
    assert found.causes == {"camera_unreachable": Cause(1, 2 * MINUTE)}
    assert found.no_picture_us == found.no_sound_us == 2 * MINUTE


def test_sound_alone_is_a_gap_of_the_picture():
    stored = {"main": [Interval(8 * HOUR, 17 * HOUR)]}
    found = account(WINDOWS, stored, [gap(9 * HOUR, 10 * HOUR, tracks=("video",))], NIGHT)
    assert (found.no_picture_us, found.no_sound_us) == (HOUR, 0)
    assert found.missing_us == HOUR


def test_a_second_camera_fills_the_first_ones_gap():
    whole = [Interval(8 * HOUR, 17 * HOUR)]
    told = [gap(9 * HOUR, 10 * HOUR)]
    assert account(WINDOWS, {"main": [], "door": whole}, told, NIGHT).missing_us == 0
    told.append(gap(9 * HOUR + 30 * MINUTE, 11 * HOUR, source="door", tracks=("video",)))
    found = account(WINDOWS, {"main": whole, "door": whole}, told, NIGHT)
    assert (found.missing_us, found.no_sound_us) == (30 * MINUTE, 0)


def test_a_room_of_microphones_owes_no_picture():
    stored = {"main": [Interval(8 * HOUR, 12 * HOUR)]}
    found = account(WINDOWS, stored, [gap(8 * HOUR, 17 * HOUR, tracks=("video",))], NIGHT, tracks=("audio",))
    assert found.causes == {"agent_down": Cause(1, 4 * HOUR)}
    assert found.no_picture_us == 0


def test_the_cause_that_began_first_counts():
    told = [gap(8 * HOUR, 10 * HOUR, "restart"), gap(9 * HOUR, 12 * HOUR, "power_lost")]
    found = account(WINDOWS[:1], {}, told, NIGHT)
    assert found.causes == {"power_lost": Cause(1, 2 * HOUR), "restart": Cause(1, 2 * HOUR)}


def test_what_may_still_arrive_and_what_lies_ahead_is_pending():
    now_us = 10 * HOUR
    stored = {"main": [Interval(8 * HOUR, now_us - ARRIVAL_US - MINUTE)]}
    found = account(WINDOWS, stored, (), now_us)
    assert found.pending_us == 6 * HOUR + ARRIVAL_US
    assert found.causes == {"agent_down": Cause(1, MINUTE)}
    # A gap record that has come is no more awaited.
    found = account(WINDOWS, stored, [gap(now_us - MINUTE, now_us)], now_us)
    assert found.pending_us == 6 * HOUR + ARRIVAL_US - MINUTE


def test_a_lost_day_is_neither_recorded_nor_missing():
    found = unknown(WINDOWS)
    assert (found.planned_us, found.unknown_us, found.settled_us) == (8 * HOUR, 8 * HOUR, 0)
