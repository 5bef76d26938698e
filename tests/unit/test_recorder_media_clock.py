from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.media_clock import CAMERA, MICROPHONE, MediaClock, PictureArrivals
from recorder.slewed_line import SlewedLine

S = 1_000_000


def feed(clock, *, seconds, skew=0.0, start=0, delay=20_000, jitter=lambda: 0.0, offset=7_000 * S, fps=25):
    """A camera whose clock runs `skew` slow: true host time of media time m is offset + m (1 + skew)."""
    for n in range(start * fps, (start + seconds) * fps):
        media = n * S / fps
        clock.observe(media, offset + media * (1 + skew) + delay + jitter())
    return seconds * S + start * S


def error_us(clock, media, *, skew=0.0, delay=20_000, offset=7_000 * S):
    return clock.host_us(media) - (offset + media * (1 + skew) + delay)


@pytest.mark.parametrize("skew", [-150e-6, 0.0, 200e-6, 5e-3])
def test_jitter_and_skew_are_seen_through(skew):
    noise = random.Random(1)
    clock = MediaClock(CAMERA)
    last = feed(clock, seconds=300, skew=skew, jitter=lambda: noise.expovariate(1 / 8_000))
    assert abs(error_us(clock, last, skew=skew)) < 1_500
    assert clock.skew == pytest.approx(skew, abs=5e-5)
    assert clock.jumps == 0


def test_bursts_do_not_bend_it():
    """Packets that are read in bursts of 150 ms: only one in six comes in time."""
    clock = MediaClock(CAMERA)
    count = iter(range(10**6))
    last = feed(clock, seconds=120, jitter=lambda: (next(count) * 7 % 6) * 25_000)
    assert abs(error_us(clock, last)) < 1_000


def test_a_stall_is_no_jump():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=60)
    feed(clock, seconds=1, start=60, delay=320_000)
    last = feed(clock, seconds=30, start=61)
    assert abs(error_us(clock, last)) < 1_000
    assert clock.jumps == 0


def test_a_media_clock_that_jumps_ahead_restarts_the_line():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=20)
    # Media time is suddenly half a second ahead, so arrivals are half a second early.
    feed(clock, seconds=20, start=20, offset=7_000 * S - 500_000)
    assert clock.jumps == 1
    assert abs(error_us(clock, 40 * S, offset=7_000 * S - 500_000)) < 1_000


def test_a_path_that_became_slower_is_believed_after_a_while():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=60)
    last = feed(clock, seconds=60, start=60, delay=220_000)
    assert clock.jumps == 1
    assert abs(error_us(clock, last, delay=220_000)) < 2_000


def test_a_known_shift_of_media_time_changes_no_answer():
    clock = MediaClock(CAMERA)
    last = feed(clock, seconds=30)
    before = clock.host_us(last)
    clock.shift_media(-2_200_000)
    assert clock.host_us(last - 2_200_000) == before
    clock.observe(last + 40_000 - 2_200_000, before + 40_000)
    assert clock.jumps == 0


def test_it_says_so_when_it_has_seen_nothing():
    with pytest.raises(ValueError, match="observed nothing"):
        MediaClock(CAMERA).host_us(0)


def test_from_the_first_question_on_the_answer_only_slews():
    """Asked while all that came was 30 ms late: it comes down by the camera's 5000 ppm, never at once."""
    clock = MediaClock(CAMERA)
    feed(clock, seconds=1, delay=50_000)
    last_media, last = S - 40_000, clock.host_us(S - 40_000)
    for n in range(25, 60 * 25):
        media = n * S / 25
        clock.observe(media, 7_000 * S + media + 20_000)
        answer = clock.host_us(media)
        assert (media - last_media) * 0.995 - 1 <= answer - last <= (media - last_media) * 1.005 + 1
        last_media, last = media, answer
    assert clock.jumps == 0
    assert abs(error_us(clock, last_media)) < 200


def test_a_sudden_rise_of_a_cameras_floor_is_delay_and_no_clock():
    """The network is 15 ms slower for twenty minutes, and then as before."""
    clock = MediaClock(CAMERA)
    noise = random.Random(2)
    jitter = lambda: noise.expovariate(1 / 2_000)  # noqa: E731
    feed(clock, seconds=400, skew=1e-4, jitter=jitter)
    errors = []
    for minute in range(20):
        last = feed(clock, start=400 + 60 * minute, seconds=60, skew=1e-4, delay=35_000, jitter=jitter)
        errors.append(error_us(clock, last, skew=1e-4))
        assert clock.uncertainty_us > 12_000
    last = feed(clock, start=1600, seconds=300, skew=1e-4, jitter=jitter)
    errors.append(error_us(clock, last, skew=1e-4))
    assert max(abs(each) for each in errors) < 1_000
    assert clock.uncertainty_us < 3_000
    assert clock.jumps == 0


def test_a_sudden_fall_of_the_floor_is_followed_without_bending_the_skew():
    clock = MediaClock(CAMERA)
    feed(clock, seconds=300, skew=1e-4, delay=50_000)
    for minute in range(15):
        last = feed(clock, start=300 + 60 * minute, seconds=60, skew=1e-4)
        assert abs(error_us(clock, last, skew=1e-4)) < 1_000
        assert clock.skew == pytest.approx(1e-4, abs=5e-6)
    assert clock.jumps == 0


def test_drift_is_no_rise():
    """A skew that changes by 100 ppm moves the floor by 6 ms within a minute, and is followed."""
    clock = MediaClock(CAMERA)
    feed(clock, seconds=400)
    turned = 7_000 * S - 400 * S * 100e-6
    last = feed(clock, start=400, seconds=1200, skew=1e-4, offset=turned)
    assert abs(error_us(clock, last, skew=1e-4, offset=turned)) < 1_000


def test_a_host_that_was_suspended_begins_a_new_line():
    """CLOCK_MONOTONIC stood still for an hour, so the camera seems an hour ahead."""
    clock = MediaClock(CAMERA)
    feed(clock, seconds=100, skew=1e-4)
    behind = 7_000 * S - 3_600 * S
    feed(clock, start=3_700, seconds=60, skew=1e-4, offset=behind)
    assert clock.jumps == 1
    assert abs(error_us(clock, 3_760 * S, skew=1e-4, offset=behind)) < 1_000
    assert clock.skew == pytest.approx(1e-4, abs=2e-6)


def test_a_line_begun_by_a_late_arrival_is_not_slewed_for_seconds():
    """The first arrival after a step waited to be read for 100 ms; the next, unread, did not."""
    clock = MediaClock(CAMERA)
    feed(clock, seconds=60)
    clock.host_us(60 * S)
    stepped = 7_000 * S - 400_000
    for n in range(60 * 25, 61 * 25):
        media = n * S / 25
        clock.observe(media, stepped + media + 20_000 + (100_000 if n < 60 * 25 + 3 else 0))
        clock.host_us(media)
    assert clock.jumps == 2
    assert abs(error_us(clock, 61 * S, offset=stepped)) < 1_000


def test_a_known_skew_is_used_from_the_first_unit_on():
    clock = MediaClock(MICROPHONE, skew=2e-4)
    feed(clock, seconds=5, skew=2e-4, fps=50)
    assert abs(error_us(clock, 5 * S, skew=2e-4)) < 100


def microphone_after(*, seconds, lost_us=0, stalled_us=0):
    """Blocks of 20 ms for a minute; then some are lost uncounted, or come late and all at once."""
    clock = MediaClock(MICROPHONE)
    feed(clock, seconds=60, fps=50)
    clock.host_us(60 * S)
    doubts = []
    for n in range(60 * 50, round((60 + seconds) * 50)):
        media = n * S / 50
        arrival = 7_000 * S + media + 20_000 + lost_us
        clock.observe(media, max(arrival, 7_000 * S + 60 * S + 20_000 + stalled_us))
        doubts.append(clock.in_doubt)
    return clock, doubts


@pytest.mark.parametrize("lost_us", [60_000, 1_000_000])
def test_sound_lost_without_a_word_is_known_within_half_a_second(lost_us):
    clock, doubts = microphone_after(seconds=10, lost_us=lost_us)
    assert clock.jumps == 1
    assert doubts[0]
    assert sum(doubts) == 25
    assert not doubts[26]
    assert abs(error_us(clock, 70 * S, delay=20_000 + lost_us)) < 100


def test_a_little_lost_sound_is_known_within_five_seconds():
    clock, doubts = microphone_after(seconds=10, lost_us=25_000)
    assert clock.jumps == 1
    assert not any(doubts)
    assert abs(error_us(clock, 70 * S, delay=45_000)) < 100


def test_a_stalled_microphone_is_doubted_only_until_it_has_caught_up():
    clock, doubts = microphone_after(seconds=10, stalled_us=300_000)
    assert clock.jumps == 0
    assert doubts[0]
    assert not any(doubts[15:])
    assert abs(error_us(clock, 70 * S)) < 100


def test_it_tells_how_sure_it_is():
    clock = MediaClock(CAMERA)
    assert clock.uncertainty_us is None
    clock.observe(0, 7_000 * S + 20_000)
    assert clock.uncertainty_us > 15_000
    feed(clock, seconds=60)
    assert clock.uncertainty_us < 1_000
    noise = random.Random(3)
    blurred = MediaClock(CAMERA)
    last = feed(blurred, seconds=600, jitter=lambda: noise.gammavariate(4, 4_000))
    assert abs(error_us(blurred, last)) < blurred.uncertainty_us < 20_000


UNITS = st.lists(
    st.tuples(
        st.sampled_from([20_000, 40_000, 40_000, 1_000_000, 3_000_000, -80_000]),  # media time passes
        st.one_of(st.integers(0, 60_000), st.integers(-200_000, 400_000)),  # how late it comes
        st.booleans(),  # and somebody asks
    ),
    min_size=1,
    max_size=200,
)


@given(UNITS, st.sampled_from([CAMERA, MICROPHONE]), st.floats(-5e-4, 5e-4))
def test_whatever_arrives_answers_stay_and_are_smooth(units, limits, skew):
    clock = MediaClock(limits)
    bound = (limits.max_skew_ppm + limits.slew_ppm) * 1e-6
    media, jumps = 0.0, 0
    answers = {}
    for step, late, asks in units:
        media += step
        clock.observe(media, 7_000 * S + media * (1 + skew) + late)
        if clock.jumps != jumps:
            jumps, answers = clock.jumps, {}
        if asks:
            answers[media] = clock.host_us(media)
            answers[media + 200_000] = clock.host_us(media + 200_000)
        answers = {at: answer for at, answer in answers.items() if at > media - 9 * S}
        ordered = sorted(answers.items())
        assert all(clock.host_us(at) == answer for at, answer in ordered)
        for (at, answer), (later_at, later) in itertools.pairwise(ordered):
            passed = later_at - at
            assert passed * (1 - bound) - 1 <= later - answer <= passed * (1 + bound) + 1


@given(
    st.lists(st.tuples(st.integers(-3 * S, 3 * S), st.floats(-0.02, 0.02)), max_size=30),
    st.integers(-5 * S, 0),
)
def test_a_line_that_is_turned_keeps_its_past(turns, ago):
    line = SlewedLine(0, 500, 1e-4)
    at = 0
    for step, slope in turns:
        at += step
        asked = line.final_us + ago
        before, turning = line.late_us(asked), line.late_us(max(at, line.final_us))
        line.turn(at, slope)
        assert line.slope == slope
        assert line.late_us(asked) == pytest.approx(before)
        assert line.late_us(line.final_us) == pytest.approx(turning)


def test_pictures_arrive_when_the_parser_gives_the_one_before():
    """A camera whose pictures take 20 ms on the way; each is given when the next one begins to come."""
    clock = MediaClock(CAMERA)
    arrivals = PictureArrivals(clock)
    for n in range(500):
        arrivals.observe(n * 40_000, 7_000 * S + (n + 1) * 40_000 + 20_000)
    assert abs(clock.host_us(499 * 40_000) - (7_000 * S + 499 * 40_000 + 20_000)) < 1_000


def test_pictures_that_were_dropped_on_the_way_do_not_make_the_next_one_early():
    """A recorder that hung for three seconds once placed all that followed three seconds too early."""
    clock = MediaClock(CAMERA)
    arrivals = PictureArrivals(clock)
    for n in [*range(500), *range(575, 700)]:
        if n == 575:
            arrivals.packets_dropped()
        arrivals.observe(n * 40_000, 7_000 * S + (n + 1) * 40_000 + 20_000)
    assert abs(clock.host_us(699 * 40_000) - (7_000 * S + 699 * 40_000 + 20_000)) < 1_000
    assert clock.jumps == 0
