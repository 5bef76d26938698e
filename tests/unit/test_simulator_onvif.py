"""The simulated ONVIF device refuses what a camera refuses: its checks are checked, not its client."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from simulator.onvif import OnvifDevice, OnvifFaults
from simulator.onvif_discovery import probe_match

RIGHT = "right"
_EXTENSION, _UTILITY = (
    f"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-{name}-1.0.xsd"
    for name in ("secext", "utility")
)


def request(operation: str, *, user: str = "viewer", password: str = RIGHT, age_s: float = 0) -> bytes:
    nonce = b"0123456789abcdef"
    created = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="seconds")
    digest = hashlib.sha1(nonce + created.encode() + password.encode()).digest()  # noqa: S324
    return (
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:w="{_EXTENSION}" '
        f'xmlns:u="{_UTILITY}"><s:Header><w:Security><w:UsernameToken><w:Username>{user}</w:Username>'
        f"<w:Password>{base64.b64encode(digest).decode()}</w:Password>"
        f"<w:Nonce>{base64.b64encode(nonce).decode()}</w:Nonce><u:Created>{created}</u:Created>"
        f"</w:UsernameToken></w:Security></s:Header><s:Body><{operation}/></s:Body></s:Envelope>"
    ).encode()


@pytest.fixture
def device() -> OnvifDevice:
    return OnvifDevice("rtsp://127.0.0.1:8554/108", password=RIGHT)


def test_the_right_password_is_answered(device: OnvifDevice) -> None:
    status, answer = device.answer(request("GetDeviceInformation"))
    assert status == 200
    assert b"Room camera" in answer


@pytest.mark.parametrize(
    "wrong", [{"user": "other"}, {"password": "wrong"}, {"age_s": 60}, {"age_s": -60}], ids=str
)
def test_a_wrong_user_password_or_time_is_refused(device: OnvifDevice, wrong: dict) -> None:
    status, answer = device.answer(request("GetDeviceInformation", **wrong))
    assert status == 400
    assert b"NotAuthorized" in answer
    assert device.answer(request("GetSystemDateAndTime", **wrong))[0] == 200


def test_freshness_goes_by_the_devices_own_clock(device: OnvifDevice) -> None:
    device.faults = OnvifFaults(clock_offset_s=-3600)
    assert device.answer(request("GetProfiles"))[0] == 400
    assert device.answer(request("GetProfiles", age_s=3600))[0] == 200


def test_nonsense_is_refused(device: OnvifDevice) -> None:
    for nonsense in (b"", b"<a/>", b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"/>'):
        assert device.answer(nonsense)[0] == 400
    assert device.answer(request("Reboot"))[0] == 500


def test_only_a_call_for_cameras_is_answered() -> None:
    def call(action: str, types: str) -> bytes:
        return (
            '<e xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
            'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">'
            f"<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{action}</a:Action>"
            f"<a:MessageID>urn:1</a:MessageID>{types}</e>"
        ).encode()

    cameras, printers = (f"<d:Types>x:{name}</d:Types>" for name in ("NetworkVideoTransmitter", "Printer"))
    address = "http://10.0.0.1/onvif/device_service"
    for probe in (call("Probe", cameras), call("Probe", "")):
        answer = probe_match(probe, address, "urn:uuid:1")
        assert answer
        assert b"<a:RelatesTo>urn:1</a:RelatesTo>" in answer
        assert address.encode() in answer
    for probe in (call("Probe", printers), call("Hello", cameras), b"?"):
        assert probe_match(probe, address, "urn:uuid:1") is None
