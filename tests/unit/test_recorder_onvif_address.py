"""When a camera is asked for its stream again, and what an address shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.agent import camera_address
from recorder.capture.onvif_address import Freshness, OnvifAddress
from recorder.errors import ConfigurationError
from recorder.rooms import Camera

S = 1_000_000


def test_a_stream_is_asked_for_at_first_then_hourly() -> None:
    fresh = Freshness()
    assert fresh.is_due(0)
    fresh.answered(10 * S)
    assert not fresh.is_due(3609 * S)
    assert fresh.is_due(3610 * S)


def test_a_stream_that_does_not_open_is_asked_for_again_soon_but_not_at_once() -> None:
    fresh = Freshness()
    fresh.answered(0)
    fresh.doubtful = True
    assert not fresh.is_due(29 * S)
    assert fresh.is_due(30 * S)
    fresh.answered(30 * S)
    assert not fresh.is_due(60 * S)


def test_a_camera_that_does_not_answer_is_asked_ever_more_rarely() -> None:
    fresh = Freshness()
    at_us, pauses = 0, []
    for _ in range(7):
        fresh.failed(at_us)
        began_us = at_us
        while not fresh.is_due(at_us):
            at_us += S
        pauses.append((at_us - began_us) // S)
    assert pauses == [2, 4, 8, 16, 30, 30, 30]
    fresh.answered(at_us)
    fresh.failed(at_us + 3600 * S)
    assert fresh.is_due(at_us + 3602 * S)


@given(st.lists(st.tuples(st.integers(0, 5_000_000), st.booleans()), max_size=60))
def test_whatever_happens_a_camera_is_asked_within_an_hour_and_its_pause(
    steps: list[tuple[int, bool]],
) -> None:
    fresh, now_us = Freshness(), 0
    for after_us, answers in steps:
        now_us += after_us
        if fresh.is_due(now_us):
            fresh.answered(now_us) if answers else fresh.failed(now_us)
    assert fresh.is_due(now_us + 3600 * S)


def test_an_address_shows_no_password_and_equals_its_like() -> None:
    address = OnvifAddress("10.1.8.20:8000", "viewer:s3cret\n")
    assert str(address) == "onvif 10.1.8.20:8000"
    assert "s3cret" not in repr(address) + repr(vars(address)["_question"])
    assert address == OnvifAddress("10.1.8.20:8000", "viewer:s3cret")
    assert hash(address) == hash(OnvifAddress("10.1.8.20:8000", "viewer:s3cret"))
    assert address != OnvifAddress("10.1.8.20:8000", "viewer:other")
    assert address != OnvifAddress("10.1.8.20", "viewer:s3cret")
    assert address.clock_error_ms is None
    assert address.facts() == {}


def test_a_room_by_onvif_is_an_address_that_asks_nobody_yet(tmp_path) -> None:
    (tmp_path / "cam-door").write_text("viewer:s3cret\n")
    camera = Camera(name="door", onvif="192.0.2.1", credentials="cam-door")
    assert camera_address(camera, tmp_path) == OnvifAddress("192.0.2.1", "viewer:s3cret")
    (tmp_path / "cam-door").write_text("s3cret\n")
    with pytest.raises(ConfigurationError, match=r"camera door: .*user:password") as told:
        camera_address(camera, tmp_path)
    assert "s3cret" not in str(told.value)
