"""The ONVIF client against a device that checks passwords and times as cameras do."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from recorder.capture.onvif import Camera, describe
from recorder.capture.onvif_address import ask
from recorder.capture.onvif_device import Failure, GopChange, OnvifError, Question, choose_profile
from simulator.onvif import OnvifDevice, OnvifFaults
from simulator.onvif_messages import Stream

USER, PASSWORD = "viewer", "s3cret/pässw0rd"
CAMERA_OWN_ADDRESS = "rtsp://192.0.2.64:8554/108"


@pytest.fixture
def device():
    with OnvifDevice(CAMERA_OWN_ADDRESS, user=USER, password=PASSWORD) as device:
        yield device


def question(device, **more):
    return Question(host=device.address, user=USER, password=PASSWORD, **more)


def test_a_camera_is_described(device):
    seen = describe(device.address, USER, PASSWORD)
    assert (seen.manufacturer, seen.model, seen.firmware) == ("Protokol", "Room camera", "1.0")
    assert abs(seen.clock_error_ms) <= seen.clock_uncertainty_ms
    main, sub = seen.profiles
    assert (main.token, main.codec, main.width, main.height, main.fps) == ("main", "H264", 1280, 720, 25)
    assert (main.bitrate_kbps, main.gop_frames, main.audio) == (2000, 25, "G711")
    assert (sub.width, sub.height) == (640, 360)
    assert main.uri == "rtsp://127.0.0.1:8554/108"
    assert seen.reported_host == "192.0.2.64"
    assert set(device.asked) == {
        *("GetSystemDateAndTime", "GetDeviceInformation", "GetCapabilities", "GetProfiles", "GetStreamUri")
    }


@pytest.mark.parametrize(
    "faults",
    [OnvifFaults(clock_offset_s=3600), OnvifFaults(clock_offset_s=-7.5), OnvifFaults(unset_clock=True)],
)
def test_a_wrong_clock_is_measured_and_does_not_stand_in_the_way(device, faults):
    device.faults = faults
    before_s = device.now().timestamp() - time.time()
    seen = describe(device.address, USER, PASSWORD)
    after_s = device.now().timestamp() - time.time()
    assert seen.model == "Room camera"
    low_ms, high_ms = sorted((before_s * 1000, after_s * 1000))
    within_ms = seen.clock_uncertainty_ms
    assert low_ms - within_ms <= seen.clock_error_ms <= high_ms + within_ms


def test_a_camera_that_names_no_address_or_a_wrong_one_is_asked_where_it_answered(device):
    device.faults = OnvifFaults(own_host="0.0.0.0")  # noqa: S104
    seen = describe(device.address, USER, PASSWORD)
    assert [profile.uri for profile in seen.profiles] == ["rtsp://127.0.0.1:8554/108"] * 2
    assert seen.reported_host == "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("faults", "failure", "words"),
    [
        (OnvifFaults(status=500), Failure.FAULTY, "fails at GetSystemDateAndTime: HTTP 500.*restart"),
        (OnvifFaults(status=401), Failure.REFUSED, "refuses the user or the password.*`credentials`"),
        (OnvifFaults(status=404), Failure.NOT_ONVIF, "not as an ONVIF camera; switch ONVIF on"),
        (OnvifFaults(web_page=True), Failure.NOT_ONVIF, "not as an ONVIF camera"),
        pytest.param(
            OnvifFaults(hangs=True),
            Failure.UNREACHABLE,
            "nothing within 5 s.*check its address",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value if isinstance(value, Failure) else None,
)
def test_each_fault_is_told_with_the_host_and_what_to_do(device, faults, failure, words):
    device.faults = faults
    with pytest.raises(OnvifError, match=words) as told:
        describe(device.address, USER, PASSWORD)
    assert told.value.failure is failure
    assert device.address in str(told.value)


def test_nobody_at_the_address(device):
    device.close()
    with pytest.raises(OnvifError, match="no connection") as told:
        describe(device.address, USER, PASSWORD)
    assert told.value.failure is Failure.UNREACHABLE


def test_a_wrong_password_is_refused_and_shown_nowhere(device, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OnvifError, match="refuses the user or the password") as told:
        describe(device.address, USER, "wr0ng-password")
    chain, error = "", told.value
    while error is not None:
        chain += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__
    out, err = capfd.readouterr()
    for text in (chain, out, err, caplog.text):
        assert "wr0ng-password" not in text
    assert device.asked[-1] == "GetDeviceInformation"  # once: wrong passwords lock accounts
    assert device.asked.count("GetDeviceInformation") == 1


def test_without_a_password_a_camera_tells_the_time_alone(device):
    seen = describe(device.address)
    assert seen.locked
    assert seen.clock_error_ms is not None
    assert (seen.model, seen.profiles) == (None, ())


def test_a_long_gop_is_shortened_once(device):
    device.streams = (Stream("main", 1920, 1080, gop_frames=250), Stream("sub", 640, 360, gop_frames=250))
    answer = ask(question(device, record=True))
    assert answer.gop == GopChange(before=250, asked=50, after=50)
    assert [stream.gop_frames for stream in device.streams] == [50, 250]
    assert device.streams[0] == Stream("main", 1920, 1080, gop_frames=50)
    assert ask(question(device, record=True)).gop is None
    assert device.asked.count("SetVideoEncoderConfiguration") == 1


def test_a_refused_gop_is_told_and_no_error(device):
    device.streams = (Stream("main", 1920, 1080, gop_frames=250),)
    device.faults = OnvifFaults(gop_is_fixed=True)
    with Camera(device.address, USER, PASSWORD) as camera:
        change = camera.shorten_gop(choose_profile(camera.describe()))
    assert (change.before, change.asked, change.after) == (250, 50, 250)
    assert "Parameters cannot be set" in change.refusal


def test_a_camera_that_sends_mjpeg_alone(device):
    device.streams = (Stream("main", 1920, 1080, codec="JPEG"),)
    answer = ask(question(device, record=True))
    assert answer.failure is Failure.NO_STREAM
    assert "it offers JPEG 1920x1080" in answer.message
    assert answer.device.model == "Room camera"


def test_the_child_is_ended_when_the_camera_hangs_and_nobody_can_read_its_password(device):
    device.faults = OnvifFaults(hangs=True)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(question(device), timeout_s=2)))
    asking.start()
    seen = ""
    mine = psutil.Process()
    while asking.is_alive():
        for child in mine.children():
            try:
                if any("onvif_child" in word for word in child.cmdline()):
                    seen += f"{child.cmdline()} {child.environ()}"
            except psutil.Error:
                continue
        time.sleep(0.05)
    asking.join()
    assert "onvif_child" in seen
    assert PASSWORD not in seen
    assert answers[0].failure is Failure.UNREACHABLE
    assert "within 2 s" in answers[0].message
    assert not [child for child in mine.children() if "onvif_child" in " ".join(child.cmdline())]


def test_importing_it_leaves_logging_and_proxies_alone():
    code = (
        "import logging, os; before = logging.getLogger().handlers[:], logging.getLogger().level\n"
        "from recorder.capture.onvif import describe\n"
        "assert (logging.getLogger().handlers, logging.getLogger().level) == before\n"
        "assert logging.getLogger('zeep.client').level == logging.NOTSET\n"
        "try: describe('127.0.0.1:9')\nexcept Exception as error: print(error)\n"
        "assert os.environ['http_proxy'] == 'http://127.0.0.1:1'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "does not answer by ONVIF (no connection)" in done.stdout
