"""A room proves before its first window that it could record, with a real camera; it keeps nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import av
import numpy as np
import pytest

from recorder.capture.camera import CameraAddress
from recorder.capture.readiness_check import look_at_camera
from recorder.host_watch import HostWatch
from recorder.instants import now_us, to_datetime
from recorder.readiness_checker import ReadinessChecker
from recorder.spool import Spool
from simulator.control import Simulator
from tests.integration.agent_rig import running_agent
from tests.integration.ingest_double import IngestDouble, configuration


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


def hours_from(minutes: int) -> str:
    """An hour that begins that many minutes from now, by the wall clock of the council."""
    start = to_datetime(now_us(), "Europe/Kyiv") + timedelta(minutes=minutes)
    return f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"


@pytest.fixture
def ingest(camera, tmp_path):
    camera.command("108", "mend")
    with IngestDouble(tmp_path, configuration(camera.url("108"), hours=hours_from(10))) as double:
        yield double


def files_of(spool: Path) -> list[str]:
    return sorted(path.suffix for path in spool.rglob("*") if path.is_file())


def told(ingest: IngestDouble) -> dict:
    return ingest.heartbeats[-1]["readiness"] if ingest.heartbeats else {"state": "unknown"}


def test_a_room_that_could_record_says_so_and_keeps_nothing(ingest, tmp_path) -> None:
    with running_agent(ingest, tmp_path / "spool", limit_bytes=10**11):
        ingest.wait_for(lambda: told(ingest)["state"] == "ready", what="readiness")
    document = told(ingest)
    assert ingest.heartbeats[-1]["state"] == "closed"
    assert abs(document["checked_us"] - now_us()) < 60_000_000
    assert {each["item"] for each in document["items"]} == {"camera", "picture", "sound", "clock", "disk"}
    assert not [each for each in document["items"] if each["code"] and not each["warning"]]
    assert not ingest.received
    assert not {".part", ".head", ".mp4", ".gap"} & set(files_of(tmp_path / "spool"))


def checker(ingest: IngestDouble, directory: Path, **changes) -> ReadinessChecker:
    return ReadinessChecker(
        lambda: ingest.configuration,
        lambda: {"main": CameraAddress(ingest.configuration.room.cameras[0].url, None)},
        **{
            "spool": Spool(directory / "spool", ingest.agent_key(), limit_bytes=10**11),
            "host": HostWatch(),
            "is_idle": lambda: True,
            "server_error": lambda: "",
            **changes,
        },
    )


def codes(document: dict) -> list[str]:
    return [each["code"] for each in document["items"] if each["code"] and not each["warning"]]


def test_a_camera_that_is_dead_or_silent_is_told_and_looked_at_again_in_a_minute(
    camera, ingest, tmp_path
) -> None:
    ahead_us = 0
    made = checker(ingest, tmp_path, clock=lambda: now_us() + ahead_us)
    assert made.document()["state"] == "unknown"
    camera.command("108", "kill")
    made.look_around()
    assert (made.document()["state"], codes(made.document())) == ("not_ready", ["camera_unreachable"])
    camera.command("108", "start")
    camera.command("108", "drop audio")
    made.look_around()
    assert codes(made.document()) == ["camera_unreachable"], "not again within the minute"
    ahead_us = 61_000_000
    made.look_around()
    assert codes(made.document()) == ["sound_missing"]
    camera.command("108", "restore")
    ahead_us *= 2
    made.look_around()
    assert made.document()["state"] == "ready"


def test_nobody_looks_while_a_source_is_at_work_or_no_window_is_near(camera, ingest, tmp_path) -> None:
    made = checker(ingest, tmp_path, is_idle=lambda: False)
    made.look_around()
    assert made.document()["state"] == "unknown"
    ingest.configuration = configuration(camera.url("108"), hours=hours_from(20))
    made = checker(ingest, tmp_path)
    made.look_around()
    assert made.document()["state"] == "unknown"


def test_a_microphone_is_listened_to_as_well(ingest, tmp_path) -> None:
    made = checker(ingest, tmp_path, microphone=lambda: lambda _seconds: "no such device")
    made.look_around()
    document = made.document()
    assert document["state"] == "ready", "the camera's sound would be recorded"
    warnings = {each["code"]: each["detail"] for each in document["items"] if each["warning"]}
    assert warnings["microphone_lost"] == "no such device"


def film(path: Path, luma: int, amplitude: float) -> CameraAddress:
    """Two seconds of one brightness and one loudness, in place of a camera."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for number in range(50):
            plane = np.full((360, 320), 128, np.uint8)
            plane[:240] = luma
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts = number
            container.mux(video.encode(frame))
        tone = amplitude * np.sin(np.arange(2 * 16_000) / 8)
        sound = av.AudioFrame.from_ndarray(tone.astype(np.float32).reshape(1, -1), "fltp", "mono")
        sound.sample_rate, sound.pts = 16_000, 0
        container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return CameraAddress(str(path), None)


@pytest.mark.parametrize(
    ("luma", "amplitude", "mean", "dbfs"), [(16, 0.0, 16, -120), (128, 0.1, 128, -20), (235, 0.5, 235, -6)]
)
def test_brightness_and_loudness_are_measured(tmp_path, luma, amplitude, mean, dbfs) -> None:
    look = look_at_camera(film(tmp_path / "film.mp4", luma, amplitude), 4, lambda: True)
    assert look.luma_mean == pytest.approx(mean, abs=2)
    assert look.luma_spread is not None
    assert look.luma_spread <= 4
    assert look.sound_dbfs == pytest.approx(dbfs, abs=1.5)
    assert look.bits_per_s > 0
