"""What cameras do wrong, and what the agent makes of it: a gap with its cause, and the recording resumed."""

from __future__ import annotations

import itertools
import time

import pytest

from recorder.manifest import Track
from simulator.control import Simulator
from tests.integration.agent_rig import LOOP_FRAMES, assert_contiguous, decode, offsets_ms, running_agent
from tests.integration.ingest_double import IngestDouble, configuration

RESUMED_WITHIN_US = 3_000_000


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


@pytest.fixture
def ingest(camera, tmp_path):
    with IngestDouble(tmp_path, configuration(camera.url("108"))) as double:
        yield double


def now_us() -> int:
    return time.time_ns() // 1000


def first_after(ingest, instant_us):
    """Start of the first footage recorded after the instant."""
    starts = [r.manifest.start_us for r in ingest.segments if r.manifest.start_us >= instant_us]
    return min(starts, default=None)


def assert_accounted(ingest):
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    ingest.check_covered(Track.AUDIO)


def test_a_camera_that_is_absent_at_start_is_recorded_within_3_s_of_its_coming(camera, ingest, tmp_path):
    camera.command("108", "kill")
    try:
        with running_agent(ingest, tmp_path / "spool"):
            time.sleep(2)
            assert ingest.heartbeats[0]["state"] in ("fault", "closed")
            camera.command("108", "start")
            back_us = now_us()
            ingest.wait_for(lambda: ingest.segments, what="footage")
    finally:
        camera.command("108", "start")
    assert first_after(ingest, back_us) - back_us < RESUMED_WITHIN_US
    assert_accounted(ingest)
    gap = ingest.gaps("camera_unreachable")[0]
    assert gap.tracks == ["video", "audio"]
    assert gap.end_us > back_us - 1_500_000


def test_a_camera_killed_and_back_leaves_a_gap_with_its_cause(camera, ingest, tmp_path):
    with running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        camera.command("108", "kill")
        gone_us = now_us()
        time.sleep(2.5)
        camera.command("108", "start")
        back_us = now_us()
        ingest.wait_for(lambda: first_after(ingest, back_us), what="footage after the camera's return")
    assert first_after(ingest, back_us) - back_us < RESUMED_WITHIN_US
    assert_accounted(ingest)
    gap = ingest.gaps("camera_unreachable", Track.VIDEO)[0]
    assert abs(gap.start_us - gone_us) < 300_000
    before = [r for r in ingest.segments if r.manifest.end_us <= gap.start_us]
    after = [r for r in ingest.segments if r.manifest.start_us >= back_us]
    assert before[-1].manifest.run != after[0].manifest.run


def test_a_stalled_camera_is_given_up_and_asked_again(camera, ingest, tmp_path):
    with running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        camera.command("108", "stall")
        stalled_us = now_us()
        time.sleep(3)
        camera.command("108", "resume")
        back_us = now_us()
        ingest.wait_for(lambda: first_after(ingest, back_us), what="footage after the stall")
    assert_accounted(ingest)
    # A camera that is asked in mid-stall may need a second attempt.
    assert first_after(ingest, back_us) - back_us < 2 * RESUMED_WITHIN_US
    gap = ingest.gaps("camera_stalled", Track.VIDEO)[0]
    assert abs(gap.start_us - stalled_us) < 300_000


def test_lost_sound_is_a_gap_of_sound_alone(camera, ingest, tmp_path):
    """The simulated camera's sound clock stands still while its sound is away: what comes then is two
    seconds too early, until the next sender report. Not one second of it may be recorded so.
    """
    with running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: len(ingest.segments) >= 2, what="footage")
        camera.command("108", "drop", "audio")
        silent_us = now_us()
        time.sleep(2.2)
        camera.command("108", "restore")
        back_us = now_us()
        ingest.wait_for(
            lambda: any(r.manifest.start_us > back_us + 7_000_000 for r in ingest.segments),
            what="footage with sound",
        )
    assert_accounted(ingest)
    seen = {path.name: decode(path) for path in ingest.files()}
    assert_contiguous([number for each in seen.values() for number in each.numbers])
    lost = [gap for gap in ingest.gaps() if gap.tracks == ["audio"]]
    assert {gap.cause for gap in lost} == {"microphone_lost"}
    assert abs(min(gap.start_us for gap in lost) - silent_us) < 300_000
    assert back_us - 300_000 < max(gap.end_us for gap in lost) < back_us + 6_500_000
    ordered = sorted(ingest.segments, key=lambda r: r.manifest.start_us)
    late = [seen[f"{r.manifest.sequence:09d}.mp4"] for r in ordered if r.manifest.start_us > silent_us]
    offsets = [offset for each in late for offset in offsets_ms(each)]
    assert offsets
    assert all(abs(offset) <= 20 for offset in offsets), offsets


def test_a_change_of_resolution_begins_a_run_and_loses_no_picture(camera, ingest, tmp_path):
    try:
        with running_agent(ingest, tmp_path / "spool"):
            ingest.wait_for(lambda: len(ingest.segments) >= 2, what="footage")
            camera.command("108", "resolution", "640x360")
            ingest.wait_for(
                lambda: any(r.manifest.tracks[0].width == 640 for r in ingest.segments), what="small pictures"
            )
    finally:
        camera.command("108", "resolution", "1280x720")
    assert_accounted(ingest)
    seen = [decode(path) for path in ingest.files()]
    sizes = [each.size for each in seen]
    assert [size for size, _ in itertools.groupby(sizes)] == [(1280, 720), (640, 360)]
    ordered = sorted((r.manifest for r in ingest.segments), key=lambda m: m.start_us)
    changed = sizes.index((640, 360))
    assert ordered[changed].run != ordered[changed - 1].run
    assert ordered[changed].tracks[0].codec_sha256 != ordered[changed - 1].tracks[0].codec_sha256
    numbers = [number for each in seen for number in each.numbers]
    # The camera itself begins the other resolution at a keyframe and skips to it.
    assert all((b - a) % LOOP_FRAMES <= 26 for a, b in itertools.pairwise(numbers))


def test_a_wrong_password_is_said_clearly_and_not_hammered(tmp_path, capfd):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "cam").write_text("viewer:wr0ng-secret\n")
    with Simulator(("108",), user="viewer", password="right") as simulator:
        url = simulator.url("108").replace("viewer:right@", "")
        camera = {"name": "main", "url": url, "credentials": "cam"}
        with IngestDouble(tmp_path, configuration(url, cameras=[camera])) as ingest:
            with running_agent(ingest, tmp_path / "spool", secrets=secrets):
                ingest.wait_for(
                    lambda: ingest.heartbeats and ingest.heartbeats[-1]["cause"] == "camera_unreachable",
                    what="a fault",
                )
            beat = ingest.heartbeats[-1]
            assert beat["state"] == "fault"
            assert beat["cause"] == "camera_unreachable"
            assert "refuses the user or the password" in beat["detail"]
            assert ingest.segments == []
            assert "refuses" in ingest.gaps("camera_unreachable")[0].detail
            ingest.received.clear()
            (secrets / "cam").write_text("viewer:right\n")
            with running_agent(ingest, tmp_path / "spool", secrets=secrets):
                ingest.wait_for(lambda: ingest.segments, what="footage with the right password")
    said = "".join(capfd.readouterr())
    assert "refuses the user or the password" in said
    assert "wr0ng-secret" not in said
    assert "viewer" not in said
