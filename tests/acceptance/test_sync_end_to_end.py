"""Sound and picture of a clip that was recorded in real time, by a microphone with a clock of its own."""

from __future__ import annotations

import itertools
import time

import pytest

from bench.e2e import measure
from bench.installation import MICROPHONE, ROOM, Installation
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from simulator.control import Simulator
from simulator.measure import measure_file
from simulator.microphone import SimulatedMicrophone

LIMIT_MS = 20.0


def assert_in_sync(seconds):
    facts = measure(seconds)
    assert facts["offset_p99_ms"] <= LIMIT_MS, facts
    assert facts["offsets"] >= seconds - 3, facts
    assert (facts["frames_broken"], facts["decode_errors"], facts["beeps_missing"]) == (0, 0, 0), facts
    assert facts["sound_gap_ms"] < 100, facts
    # A busy machine may start the microphone some seconds after the camera.
    assert facts["microphone_part"] > 0.7, facts


@pytest.mark.timeout(400)
def test_a_minute_with_clocks_300_ppm_apart():
    assert_in_sync(60)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_minutes_with_clocks_300_ppm_apart():
    assert_in_sync(600)


def beep_steps_s(seen):
    return [b - a for a, b in itertools.pairwise(seen.beep_times_s)]


def span_of(installation):
    segments = installation.search()["segments"]
    return Interval(min(s["start_us"] for s in segments), max(s["end_us"] for s in segments))


def test_a_clip_across_a_camera_that_was_away_has_sound_all_through(tmp_path):
    clip = tmp_path / "clip.mp4"
    with (
        Simulator((ROOM,)) as camera,
        SimulatedMicrophone(MICROPHONE) as microphone,
        Installation(tmp_path, camera.url(ROOM), microphone.environment) as installation,
    ):
        with installation.recording():
            time.sleep(5)
            camera.command(ROOM, "kill")
            time.sleep(6)
            camera.command(ROOM, "start")
            time.sleep(6)
        kinds = [tuple(track.track for track in each.tracks) for each in installation.manifests()]
        assert ("audio",) in kinds[1:-1]
        installation.export(span_of(installation), clip)
        assert installation.protokol("archive", "check", "--json").strip() == "[]"
    seen = measure_file(clip)
    assert seen.decode_errors == 0
    assert all(0.9 < step < 1.1 for step in beep_steps_s(seen)), seen.beep_times_s
    # One freeze; the picture is there before and after it.
    pauses = [b - a for a, b in itertools.pairwise(seen.frame_times_s) if b - a > 1]
    assert len(pauses) == 1, pauses
    assert pauses[0] > 4
    assert max(abs(offset) for offset in seen.av_offsets_ms) <= LIMIT_MS, seen.av_offsets_ms


def test_a_room_without_a_camera_is_taken_in_and_exported(tmp_path):
    clip = tmp_path / "clip.mp4"
    with (
        SimulatedMicrophone(MICROPHONE) as microphone,
        Installation(tmp_path, None, microphone.environment) as installation,
    ):
        with installation.recording():
            time.sleep(6)
        span = span_of(installation)
        installation.export(span, clip)
        assert installation.protokol("archive", "check", "--json").strip() == "[]"
    seen = measure_file(clip)
    assert (seen.decode_errors, seen.frame_times_s) == (0, ())
    assert len(seen.beep_times_s) >= span.duration_us // US_PER_SECOND - 2
    assert all(0.9 < step < 1.1 for step in beep_steps_s(seen)), seen.beep_times_s
