"""Which stream is recorded, what is asked of a camera, and what of its addresses is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.capture.onvif_device import (
    MAX_GOP_S,
    Device,
    Failure,
    OnvifError,
    Profile,
    Question,
    choose_profile,
    clock_error,
    reachable_uri,
    shorter_gop,
    shown,
    split_host,
)


def profile(codec: str | None, width: int, height: int, **more: object) -> Profile:
    token = f"{codec}-{width}"
    return Profile(
        **{"token": token, "name": token, "codec": codec, "width": width, "height": height}
        | {"uri": "rtsp://10.0.0.1/x"}
        | more
    )


FULL, HD, SUB = (1920, 1080), (1280, 720), (640, 360)


@pytest.mark.parametrize(
    ("profiles", "chosen", "reason"),
    [
        (
            [profile("H264", *SUB), profile("H264", *FULL), profile("H264", *HD)],
            "H264-1920",
            "up to 1920x1080",
        ),
        ([profile("H265", *FULL), profile("H264", *HD)], "H264-1280", "up to 1920x1080"),
        ([profile("H265", *FULL), profile("H264", *SUB)], "H265-1920", "no H.264 of that class"),
        ([profile("H264", 3840, 2160), profile("H264", *FULL)], "H264-1920", "up to 1920x1080"),
        ([profile("H264", 3840, 2160), profile("H264", 2560, 1440)], "H264-2560", "smallest picture above"),
        ([profile("H264", 2560, 1440), profile("H264", *SUB)], "H264-2560", "smallest picture above"),
        ([profile("H264", 352, 288), profile("H264", *SUB)], "H264-640", "none of 1280x720 or more"),
        ([profile("JPEG", *FULL), profile("H264", *SUB)], "H264-640", "1 of 2 usable"),
        ([profile("H264", *FULL, uri=None), profile("H264", *HD)], "H264-1280", "1 of 2 usable"),
    ],
)
def test_the_profile_that_is_recorded(profiles: list[Profile], chosen: str, reason: str) -> None:
    choice = choose_profile(Device(host="cam", profiles=tuple(profiles)))
    assert choice.profile.token == chosen
    assert reason in choice.reason


def test_among_equal_pictures_more_of_them_and_then_the_first_is_taken() -> None:
    slow, fast = profile("H264", *FULL, token="slow", fps=12), profile("H264", *FULL, token="fast", fps=25)
    assert choose_profile(Device(host="cam", profiles=(slow, fast))).profile.token == "fast"
    twins = tuple(profile("H264", *FULL, token=token) for token in ("first", "second"))
    assert choose_profile(Device(host="cam", profiles=twins)).profile.token == "first"


def test_a_camera_without_a_stream_to_record_is_named_with_what_it_offers() -> None:
    with pytest.raises(
        OnvifError, match=r"camera cam offers no H.264.*JPEG 1920x1080.*set its video"
    ) as told:
        choose_profile(Device(host="cam", profiles=(profile("JPEG", *FULL), profile(None, 0, 0))))
    assert told.value.failure is Failure.NO_STREAM
    with pytest.raises(OnvifError, match="name them by `credentials`") as told:
        choose_profile(Device(host="cam", locked=True))
    assert told.value.failure is Failure.REFUSED


@pytest.mark.parametrize(
    ("gop", "fps", "asked"),
    [(250, 25.0, 50), (50, 25.0, None), (51, 25.0, 50), (30, 12.5, 25), (4, 0.25, 1), (None, 25.0, None)],
)
def test_a_gop_is_shortened_to_two_seconds_when_it_is_longer(
    gop: int | None, fps: float, asked: int | None
) -> None:
    assert MAX_GOP_S == 2
    assert shorter_gop(profile("H264", *FULL, gop_frames=gop, fps=fps)) == asked


def test_a_gop_is_left_alone_when_the_frame_rate_is_unknown() -> None:
    assert shorter_gop(profile("H264", *FULL, gop_frames=250)) is None


@pytest.mark.parametrize(
    ("uri", "host", "reached", "reported"),
    [
        ("rtsp://10.1.8.20:554/s1?a=b", "10.1.8.20:8000", "rtsp://10.1.8.20:554/s1?a=b", None),
        ("rtsp://0.0.0.0/s1", "10.1.8.20", "rtsp://10.1.8.20/s1", "0.0.0.0"),  # noqa: S104
        ("rtsp://u:p@192.168.1.64:554/s1", "cam-108:80", "rtsp://cam-108:554/s1", "192.168.1.64"),
        ("rtsp://[fe80::1]:554/s1", "[fd00::5]:8000", "rtsp://[fd00::5]:554/s1", "fe80::1"),
        ("rtsp://CAM-108/s1", "cam-108", "rtsp://cam-108/s1", None),
    ],
)
def test_a_stream_is_reached_at_the_host_that_answered(
    uri: str, host: str, reached: str, reported: str | None
) -> None:
    assert reachable_uri(uri, host) == (reached, reported)


@pytest.mark.parametrize("uri", ["", "http://10.1.8.20/mjpeg", "rtsp:///x", "rtsp://h:99999/x"])
def test_what_is_no_stream_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        reachable_uri(uri, "10.1.8.20")


def test_hosts_have_the_usual_port_unless_they_bear_one() -> None:
    assert split_host("10.1.8.20") == ("10.1.8.20", 80)
    assert split_host("cam-108:8000") == ("cam-108", 8000)
    assert split_host("[fd00::5]:8000") == ("fd00::5", 8000)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("rtsp://u:secret@h/s", "rtsp://***@h/s"),
        ("rtsp://h/user=u_password=secret_channel=1", "rtsp://h/user=u_password=***_channel=1"),
        ("rtsp://h/s?usr=u&pwd=se_cret&x=1", "rtsp://h/s?usr=u&pwd=***&x=1"),
        ("rtsp://h/s?password=secret", "rtsp://h/s?password=***"),
    ],
)
def test_no_password_of_a_stream_is_shown(uri: str, text: str) -> None:
    assert shown(uri) == text


def test_the_cameras_own_password_is_not_shown_in_any_form() -> None:
    assert shown("rtsp://h/viewer/s3/cret", "s3/cret") == "rtsp://h/viewer/***"
    assert shown("rtsp://h/viewer/s3%2Fcret", "s3/cret") == "rtsp://h/viewer/***"


def test_a_question_shows_no_password() -> None:
    assert "secret" not in repr(Question(host="cam", user="u", password="secret"))
    with pytest.raises(ValueError) as told:
        Question.model_validate_json('{"password": "secret"}')
    assert "secret" not in str(told.value)


@given(
    error_us=st.integers(-2 * 10**15, 2 * 10**15),
    sent_us=st.integers(10**15, 2 * 10**15),
    way_us=st.integers(0, 5_000_000),
    back_us=st.integers(0, 5_000_000),
)
def test_the_true_clock_error_is_within_the_stated_uncertainty(
    error_us: int, sent_us: int, way_us: int, back_us: int
) -> None:
    camera_us = (sent_us + way_us + error_us) // 1_000_000 * 1_000_000
    error_ms, within_ms = clock_error(camera_us, sent_us, sent_us + way_us + back_us)
    assert abs(error_ms - error_us / 1000) <= within_ms + 0.001
    assert within_ms <= 500 + (way_us + back_us) / 2000 + 0.001
