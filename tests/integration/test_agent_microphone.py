"""A room with a microphone of its own: real RTSP, real PulseAudio, a real process; clocks that differ."""

from __future__ import annotations

import itertools
import time

import pytest

from recorder.manifest import Track
from simulator.control import Simulator
from simulator.microphone import SimulatedMicrophone
from tests.integration.agent_rig import assert_contiguous, decode, offsets_ms, running_agent
from tests.integration.ingest_double import IngestDouble, configuration

DEVICE = "room-mic"


@pytest.fixture(scope="module")
def cameras():
    with Simulator(("108", "116")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def microphone():
    with SimulatedMicrophone(DEVICE, ppm=300) as microphone:
        yield microphone


@pytest.fixture(autouse=True)
def _well(cameras, microphone):
    yield
    cameras.command("all", "mend")
    microphone.command("mend")


def room(tmp_path, *urls, **more):
    names = ("main", "door")
    cameras = [{"name": name, "url": url} for name, url in zip(names, urls, strict=False)]
    changes = {"cameras": cameras, "microphone": {"device": DEVICE}, **more}
    return IngestDouble(tmp_path, configuration("", **changes))


def of_source(ingest, source="main"):
    found = [r for r in ingest.segments if r.manifest.source == source]
    return sorted(found, key=lambda r: r.manifest.start_us)


def seen_of(ingest, received):
    path = ingest.directory / f"{received.manifest.source}-{received.manifest.sequence:09d}.mp4"
    path.write_bytes(received.body)
    return decode(path)


def now_us():
    return time.time_ns() // 1000


def sound_spans(ingest):
    """What has sound, and what is declared to have none, must be all of the time."""
    ingest.check_covered(Track.AUDIO)
    ingest.check_covered(Track.VIDEO)
    return [gap for gap in ingest.gaps(track=Track.AUDIO) if gap.cause not in ("opening", "maintenance")]


def test_the_microphone_is_recorded_in_sync_though_its_clock_is_fast(cameras, microphone, tmp_path):
    with (
        room(tmp_path, cameras.url("108")) as ingest,
        running_agent(ingest, tmp_path / "spool", sound_environment=microphone.environment),
    ):
        ingest.wait_for(lambda: len(ingest.segments) >= 7, 60, "footage")
    ingest.check_chain()
    segments = of_source(ingest)
    seen = [seen_of(ingest, received) for received in segments]
    offsets = [offset for each in seen for offset in offsets_ms(each)]
    assert len(offsets) >= 5
    assert all(abs(offset) <= 20 for offset in offsets), offsets
    assert_contiguous([number for each in seen for number in each.numbers])
    for received in segments[1:]:
        manifest = received.manifest
        assert (manifest.microphone, manifest.switches) == (DEVICE, [])
        assert abs(manifest.sync.offset_us) < 20_000
        assert manifest.sync.uncertainty_us < 500_000
    assert segments[-1].manifest.sync.uncertainty_us > 0
    assert ingest.heartbeats[-1]["sources"]["main"]["microphone"] == DEVICE


def test_a_microphone_that_is_unplugged_is_followed_by_the_camera_and_taken_up_again(
    cameras, microphone, tmp_path
):
    with (
        room(tmp_path, cameras.url("108")) as ingest,
        running_agent(ingest, tmp_path / "spool", sound_environment=microphone.environment),
    ):
        ingest.wait_for(lambda: len(ingest.segments) >= 2, 60, "footage")
        microphone.command("unplug")
        gone_us = now_us()
        told = lambda name: ingest.heartbeats[-1]["sources"]["main"]["microphone"] == name  # noqa: E731
        ingest.wait_for(lambda: told("camera"), 30, "the camera's sound")
        ingest.wait_for(
            lambda: any(r.manifest.microphone == "camera" for r in ingest.segments), 30, "camera segments"
        )
        microphone.command("plug")
        ingest.wait_for(lambda: told(DEVICE), 60, "the microphone again")
        ingest.wait_for(
            lambda: any(
                r.manifest.microphone == DEVICE and r.manifest.start_us > gone_us for r in ingest.segments
            ),
            60,
            "segments of the microphone",
        )
    # Not a tenth of a second of sound is missing.
    assert [gap for gap in sound_spans(ingest) if gap.end_us - gap.start_us > 100_000] == []
    switches = [(s.microphone, s.at_us) for r in of_source(ingest) for s in r.manifest.switches]
    names = [name for name, _ in switches]
    assert names in (["camera", DEVICE], ["camera"], [DEVICE])
    offsets = [o for r in of_source(ingest) for o in offsets_ms(seen_of(ingest, r))]
    assert all(abs(offset) <= 20 for offset in offsets), offsets


def test_sound_goes_on_alone_while_the_camera_is_away(cameras, microphone, tmp_path):
    with (
        room(tmp_path, cameras.url("108")) as ingest,
        running_agent(ingest, tmp_path / "spool", sound_environment=microphone.environment),
    ):
        ingest.wait_for(lambda: len(ingest.segments) >= 2, 60, "footage")
        cameras.command("108", "kill")
        gone_us = now_us()
        time.sleep(6)
        assert ingest.heartbeats[-1]["state"] == "fault"
        cameras.command("108", "start")
        back_us = now_us()
        ingest.wait_for(
            lambda: any(
                r.manifest.start_us > back_us and len(r.manifest.tracks) == 2 for r in ingest.segments
            ),
            60,
            "pictures again",
        )
    ingest.check_chain()
    assert [gap for gap in sound_spans(ingest) if gap.end_us - gap.start_us > 100_000] == []
    (gap,) = [g for g in ingest.gaps("camera_unreachable") if g.start_us > gone_us - 1_000_000][:1]
    assert gap.tracks == ["video"]
    alone = [r for r in of_source(ingest) if [t.track for t in r.manifest.tracks] == ["audio"]]
    assert alone
    for received in alone:
        assert received.manifest.microphone == DEVICE
        assert received.manifest.sync is None
        beeps = seen_of(ingest, received).beeps
        assert all(0.9 < b - a < 1.1 for a, b in itertools.pairwise(beeps))


def test_a_room_without_a_camera_is_recorded_by_its_microphone(cameras, microphone, tmp_path):
    with (
        room(tmp_path) as ingest,
        running_agent(ingest, tmp_path / "spool", sound_environment=microphone.environment),
    ):
        ingest.wait_for(lambda: len(ingest.segments) >= 3, 60, "sound")
        assert ingest.heartbeats[-1]["state"] == "recording"
        microphone.command("unplug")
        ingest.wait_for(lambda: ingest.heartbeats[-1]["cause"] == "microphone_lost", 30, "the fault")
        microphone.command("plug")
        ingest.wait_for(lambda: ingest.heartbeats[-1]["state"] == "recording", 60, "recording again")
        time.sleep(1)
    ingest.check_chain()
    ingest.check_covered(Track.AUDIO)
    assert all(gap.tracks == ["audio"] for gap in ingest.gaps())
    assert ingest.gaps("microphone_lost")
    for received in ingest.segments:
        assert [track.track for track in received.manifest.tracks] == ["audio"]
        assert received.manifest.end_us - received.manifest.start_us < 3_000_000


def test_two_cameras_share_the_microphone(cameras, microphone, tmp_path):
    with (
        room(tmp_path, cameras.url("108"), cameras.url("116")) as ingest,
        running_agent(ingest, tmp_path / "spool", sound_environment=microphone.environment),
    ):
        ingest.wait_for(
            lambda: min(len(of_source(ingest, name)) for name in ("main", "door")) >= 4, 60, "footage"
        )
    for name in ("main", "door"):
        segments = of_source(ingest, name)
        assert len({r.manifest.run for r in segments}) <= 2
        offsets = [o for r in segments for o in offsets_ms(seen_of(ingest, r))]
        assert offsets
        assert all(abs(offset) <= 20 for offset in offsets), (name, offsets)
