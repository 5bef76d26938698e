from __future__ import annotations

import itertools
import random

import pytest

from recorder.timeline import TrackTimeline

FRAME = 40_000
LATE = 5_000_000


def feed(timeline, times, *, jitter=lambda: 0):
    return [timeline.step_us(media, media + LATE + jitter()) for media in times]


def steady(timeline, count=50, start=0):
    assert feed(timeline, range(start, start + count * FRAME, FRAME)) == [0] * count
    return start + count * FRAME


def test_a_steady_track_never_steps_whatever_the_network_does():
    noise = random.Random(3)
    timeline = TrackTimeline()
    times = [n * FRAME for n in range(500)]
    assert set(feed(timeline, times, jitter=lambda: noise.randint(0, 300_000))) == {0}
    assert timeline.cadence_us == FRAME


def test_the_realignment_at_the_first_report_is_a_step_of_milliseconds():
    timeline = TrackTimeline()
    at = steady(timeline)
    timeline.report_seen()
    assert timeline.step_us(at, at + LATE) == 0  # the parser is a picture late
    assert timeline.step_us(at + FRAME + 12_000, at + FRAME + LATE) == pytest.approx(12_000)
    assert timeline.step_us(at + 2 * FRAME + 12_000, at + 2 * FRAME + LATE) == 0


def test_the_same_few_milliseconds_later_are_a_cameras_jitter():
    timeline = TrackTimeline()
    at = steady(timeline)
    assert timeline.step_us(at + 12_000, at + LATE) == 0


@pytest.mark.parametrize("step", [-3_600_000_000, -200_000, 500_000, 10_000_000])
def test_a_clock_that_is_set_steps(step):
    timeline = TrackTimeline()
    at = steady(timeline)
    assert timeline.step_us(at + step, at + LATE) == pytest.approx(step)
    assert timeline.step_us(at + step + FRAME, at + FRAME + LATE) == 0


def test_pictures_that_were_not_taken_are_no_step():
    timeline = TrackTimeline()
    at = steady(timeline)
    assert timeline.step_us(at + 400_000, at + 400_000 + LATE) == 0


def test_silence_whose_time_is_counted_is_no_step():
    timeline = TrackTimeline()
    at = steady(timeline)
    assert timeline.step_us(at + 3_000_000, at + 3_000_000 + LATE) == 0
    assert not timeline.stood_still


def test_a_clock_that_stands_still_over_a_silence_is_not_believed():
    """GStreamer's payloader counts samples, not time: after a pause sound is too early by the pause."""
    timeline = TrackTimeline()
    at = steady(timeline)
    assert timeline.step_us(at, at + 2_200_000 + LATE) == 0
    assert timeline.stood_still


def test_pictures_of_uneven_distance_are_no_steps_within_their_tolerance():
    """Those that lead, of groups of one to four pictures."""
    timeline = TrackTimeline()
    media_us = arrival_us = 0.0
    for frames, since in itertools.islice(itertools.cycle([(1, 4), (4, 1), (4, 4), (3, 4)]), 200):
        media_us += frames * 40_000
        arrival_us += since * 40_000
        if media_us == 40 * 40_000:
            timeline.report_seen()
        assert timeline.step_us(media_us, arrival_us, 160_000) == 0
    assert timeline.step_us(media_us + 500_000, arrival_us + 120_000, 160_000) > 300_000
