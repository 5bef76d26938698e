from __future__ import annotations

import pytest

from recorder.agent import camera_address
from recorder.capture.camera import CameraAddress, Inbox, Lost, Overloaded
from recorder.errors import ConfigurationError
from recorder.logging import redact
from recorder.manifest import GapCause
from recorder.rooms import Camera


def test_credentials_never_show():
    address = CameraAddress("rtsp://cam.example:554/stream1", "user:p@ss:w/rd\n")
    assert str(address) == "rtsp://***@cam.example:554/stream1"
    assert "p@ss" not in repr(address)
    assert address == CameraAddress("rtsp://cam.example:554/stream1", "user:p@ss:w/rd")
    assert address != CameraAddress("rtsp://cam.example:554/stream1", "user:other")
    assert (
        redact("open rtsp://user:pw@h/x failed, Bearer abc.def") == "open rtsp://***@h/x failed, Bearer ***"
    )


def test_another_transport_is_another_address(tmp_path):
    camera = Camera(url="rtsp://cam.example/x", transport="udp")
    assert camera_address(camera, tmp_path) == CameraAddress("rtsp://cam.example/x", None, "udp")
    assert camera_address(camera, tmp_path) != CameraAddress("rtsp://cam.example/x", None)


@pytest.mark.parametrize("text", ["", "nocolon", ":nouser"])
def test_credentials_that_are_none_are_refused(text):
    with pytest.raises(ConfigurationError, match="user:password"):
        CameraAddress("rtsp://cam.example/x", text)


def test_what_is_wrong_with_a_camera_names_it(tmp_path):
    named = Camera(name="door", url="rtsp://cam.example/x", credentials="cam-door")
    with pytest.raises(ConfigurationError, match=r"camera door: cannot read its credentials from .*cam-door"):
        camera_address(named, tmp_path)
    (tmp_path / "cam-door").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"camera door: .*not text"):
        camera_address(named, tmp_path)


def test_a_full_inbox_drops_whole_until_it_was_emptied_and_says_so():
    inbox = Inbox(limit_packets=2)
    for number in range(5):
        inbox.put_burst([(f"packet {number}", number)])
    assert inbox.take(0) == [("packet 0", 0)]
    inbox.put_burst([("packet 5", 5)])  # not emptied yet
    assert inbox.take(0) == [("packet 1", 1)]
    assert inbox.take(0) is None
    inbox.put_burst([("packet 6", 6)])
    assert inbox.take(0) == (Overloaded(), 6)
    assert inbox.take(0) == [("packet 6", 6)]


def test_events_are_never_dropped_and_keep_their_order():
    inbox = Inbox(limit_packets=1)
    inbox.put_burst([("packet", 0)])
    inbox.put_burst([("dropped", 1)])
    lost = Lost(GapCause.CAMERA_STALLED, "")
    inbox.put(lost, 2)
    assert inbox.take(0) == [("packet", 0)]
    assert inbox.take(0) == (lost, 2)
