from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.coverage import SOUND_JOINT_US, Coverage
from recorder.intervals import Interval, intersect, merge, subtract
from recorder.ledger import by_room_day
from recorder.manifest import GapCause, Track

S = 1_000_000
EVERYTHING = [Interval(0, 10_000 * S)]


def test_a_gap_bears_the_cause_that_was_in_force():
    coverage = Coverage({Track.VIDEO: 0, Track.AUDIO: 0})
    coverage.note(0, GapCause.CAMERA_UNREACHABLE, "refused")
    coverage.note(40 * S, GapCause.OPENING)
    gaps = coverage.take_gaps(dict.fromkeys(Track, 50 * S), EVERYTHING)
    assert [(g.interval, g.cause, g.detail) for g in gaps] == [
        (Interval(0, 40 * S), GapCause.CAMERA_UNREACHABLE, "refused"),
        (Interval(40 * S, 50 * S), GapCause.OPENING, ""),
    ]
    assert all(g.tracks == (Track.VIDEO, Track.AUDIO) for g in gaps)
    assert coverage.take_gaps(dict.fromkeys(Track, 50 * S), EVERYTHING) == []


def test_a_later_note_of_an_earlier_instant_replaces_what_was_noted_after_it():
    coverage = Coverage({Track.VIDEO: 0})
    coverage.note(10, GapCause.OPENING)
    coverage.note(5, GapCause.CAMERA_STALLED)
    (gap,) = coverage.take_gaps({Track.VIDEO: 20}, EVERYTHING)
    assert gap.cause is GapCause.CAMERA_STALLED


def test_joints_of_sound_are_no_holes_and_silence_is():
    coverage = Coverage({Track.VIDEO: 0, Track.AUDIO: 0})
    coverage.note(0, GapCause.MICROPHONE_LOST, "", [Track.AUDIO])
    assert coverage.take_gaps({Track.AUDIO: SOUND_JOINT_US - 1}, EVERYTHING) == []
    (gap,) = coverage.take_gaps({Track.AUDIO: 3 * S}, EVERYTHING)
    assert gap.tracks == (Track.AUDIO,)
    assert gap.interval == Interval(SOUND_JOINT_US - 1, 3 * S)


def test_a_moment_without_picture_and_sound_is_missing_on_both():
    coverage = Coverage({Track.VIDEO: 0, Track.AUDIO: 0})
    coverage.note(0, GapCause.MAINTENANCE)
    (gap,) = coverage.take_gaps(dict.fromkeys(Track, 5_000), EVERYTHING)
    assert gap.tracks == (Track.VIDEO, Track.AUDIO)


events = st.lists(
    st.one_of(
        st.tuples(st.just("cover"), st.sampled_from(list(Track)), st.integers(1, 40)),
        st.tuples(st.just("miss"), st.sampled_from(list(Track)), st.integers(1, 40)),
        st.tuples(st.just("note"), st.sampled_from(list(GapCause)), st.integers(-20, 5)),
    ),
    max_size=40,
)
window_lists = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 200)).map(lambda w: Interval(w[0] * S, (w[0] + w[1]) * S)),
    max_size=6,
)


@given(events, window_lists)
def test_every_instant_of_every_window_is_covered_or_a_gap_and_never_both(happened, windows):
    coverage = Coverage({Track.VIDEO: 0, Track.AUDIO: 0})
    covered: dict[Track, list[Interval]] = {track: [] for track in Track}
    gaps = []
    for kind, what, amount in happened:
        until = coverage.covered_until
        if kind == "cover":
            covered[what].append(Interval(until[what], until[what] + amount * S))
            coverage.cover(what, until[what] + amount * S)
        elif kind == "miss":
            gaps += coverage.take_gaps({what: until[what] + amount * S}, windows)
        else:
            coverage.note(max(0, max(until.values()) + amount * S), what)
    until = coverage.covered_until
    for track in Track:
        if not until[track]:
            continue
        account = intersect([Interval(0, until[track])], windows)
        missing = [gap.interval for gap in gaps if track in gap.tracks]
        assert sum(gap.duration_us for gap in missing) == sum(gap.duration_us for gap in merge(missing))
        assert subtract(subtract(account, covered[track]), missing) == ()
        assert intersect(missing, covered[track]) == ()
        assert subtract(missing, windows) == ()


@given(st.integers(0, 10**15), st.integers(1, 40 * 86_400 * S))
def test_gaps_are_cut_at_local_midnights_and_nothing_is_lost(start_us, length_us):
    whole = Interval(start_us, start_us + length_us)
    coverage = Coverage({Track.VIDEO: whole.start_us})
    (gap,) = coverage.take_gaps({Track.VIDEO: whole.end_us}, [whole])
    parts = by_room_day(gap, "Europe/Kyiv")
    assert merge(part.interval for part in parts) == (whole,)
    # The longest local day has 25 hours.
    assert all(part.interval.duration_us <= 25 * 3600 * S for part in parts)
