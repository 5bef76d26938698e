"""`protokol agent calibrate` against a simulated camera whose sound is late by a known time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.warm import environment
from recorder.calibration import CannotTellError, calibrate
from recorder.capture.calibrate import observe
from recorder.capture.camera import CameraAddress
from simulator.control import Simulator
from tests.integration.ingest_double import IngestDouble, configuration
from tests.processes import protokol

LATE_MS = 123


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        simulator.command("108", f"sound-late {LATE_MS}")
        yield simulator


@pytest.fixture
def call(tmp_path):
    """The command, in a room with a camera at that address: exit code, document, stderr."""

    def run(url: str, *options: str) -> tuple[int, dict, str]:
        double = IngestDouble(tmp_path, configuration(url, av_offset_ms=40), port=1)
        key_file = tmp_path / "agent.key"
        key_file.unlink(missing_ok=True)
        double.agent_key().write(key_file)
        env = environment(tmp_path, 1, PROTOKOL_AGENT_KEY_FILE=str(key_file))
        done = protokol(env, "agent", "calibrate", "108", "--json", *options, expect=None)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    return run


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


def test_the_offset_is_found_and_the_line_for_the_rooms_file_is_said(camera, call, tmp_path) -> None:
    code, found, said = call(camera.url("108"), "--yes", "--seconds", "10", "--pattern", "camera")
    assert code == 0, found
    assert abs(found["measured_ms"] + LATE_MS) < 5
    assert abs(found["measured_ms"] + LATE_MS) <= found["uncertainty_ms"]
    assert found["events"] >= 8
    assert found["method"] == "flashes"
    assert found["current_av_offset_ms"] == 40
    assert found["line"] == f"av_offset_ms: {found['av_offset_ms']}"
    assert "looked at and listened to" in said
    assert files(tmp_path) == {"agent.key"}, "nothing is kept"


def test_a_camera_without_sound_is_refused_in_time_and_by_name(call) -> None:
    with Simulator(("108",), audio="none") as deaf:
        code, found, _ = call(deaf.url("108"), "--yes", "--seconds", "60")
    assert code == 1
    assert found["refused"] == "no_sound"
    assert "av_offset_ms" not in found


def test_a_microphone_is_heard_in_the_cameras_place_and_its_silence_is_refused(camera) -> None:
    class Microphone:
        began = False

        def start(self) -> None:
            self.began = True

        def stop(self):
            return 48_000, []

    microphone = Microphone()
    observed = observe(CameraAddress(camera.url("108"), None), 1, microphone)
    assert microphone.began
    assert len(observed.pictures.times_us) >= 25
    with pytest.raises(CannotTellError, match="no sound came"):
        calibrate(observed.pictures, observed.sound)


def test_nothing_begins_unasked_or_without_a_camera(camera, call) -> None:
    code, _, said = call(camera.url("108"))
    assert (code, "say --yes" in said) == (2, True)
    code, _, said = call(camera.url("108"), "--yes", "--camera", "door")
    assert (code, "no camera 'door'" in said) == (2, True)
    code, _, said = call("rtsp://127.0.0.1:9/x", "--yes")
    assert (code, "the camera failed" in said) == (2, True)
