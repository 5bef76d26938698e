"""The simulated camera is a camera: a real client opens it, and it tells the true time in every way."""

from __future__ import annotations

import itertools
import math
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from simulator.control import Simulator
from simulator.measure import luma_of, measure_file
from simulator.picture import capture_time_us, read_frame_number

FPS, LOOP_S = 25, 60
FRAME_US = 1_000_000 // FPS
CODECS = {"alaw": "pcm_alaw", "mulaw": "pcm_mulaw", "aac": "aac", "none": None}


def open_camera(url: str) -> av.container.InputContainer:
    return av.open(url, options={"rtsp_transport": "tcp", "timeout": "6000000"}, timeout=(6, 1.0))


@dataclass
class Watched:
    """What a client saw, in microseconds: how old pictures were when they came, and how far the sender
    reports were from the bar code.
    """

    age_us: list[int] = field(default_factory=list)
    report_error_us: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)


def watch(
    container: av.container.InputContainer, *, reports: int, loop_s: int = LOOP_S, fresh_us: float = math.inf
) -> Watched:
    """Decode from the next keyframe on, until that many pictures bore the time of a sender report, and one
    was younger than `fresh_us`: on a busy machine those that queued come first.
    """
    seen = Watched()
    prft: dict[int, int] = {}
    packets = container.demux(video=0)
    for packet in itertools.dropwhile(lambda packet: not packet.is_keyframe, packets):
        side = packet.get_sidedata("prft")
        if side and packet.pts is not None:
            prft[packet.pts] = struct.unpack_from("<q", bytes(side))[0]
        for frame in packet.decode():
            now_us = time.time_ns() // 1000
            number = read_frame_number(luma_of(frame))
            taken_us = capture_time_us(number, now_us, loop_s, FPS)
            seen.numbers.append(number)
            seen.age_us.append(now_us - taken_us)
            seen.sizes.add((frame.width, frame.height))
            if frame.pts in prft:
                seen.report_error_us.append(prft[frame.pts] - taken_us)
        # A sender report comes within 5 s; 10 s without one is a failure.
        told = len(seen.report_error_us) >= reports and min(seen.age_us) < fresh_us
        if told or len(seen.numbers) > 10 * FPS:
            break
    return seen


def assert_true_time(seen: Watched, *, loop_s: int = LOOP_S) -> None:
    frames = loop_s * FPS
    assert all((b - a) % frames == 1 for a, b in zip(seen.numbers, seen.numbers[1:], strict=False))
    assert min(seen.age_us) > 0  # none comes from the future
    # FFmpeg tells the first report of a stream with the time of a picture before (with B-frames, in
    # display order, that may be the third).
    assert len(seen.report_error_us) > 10
    assert max(abs(error) for error in seen.report_error_us[3:]) < 5000


@pytest.fixture(scope="module", params=list(CODECS))
def camera(request: pytest.FixtureRequest) -> Iterator[tuple[str, Simulator]]:
    with Simulator(["108"], audio=request.param) as simulator:
        yield request.param, simulator


def test_a_client_opens_it_and_the_time_is_right(camera: tuple[str, Simulator], tmp_path: Path) -> None:
    """Two clients at once: one decodes and looks at the clock, one records."""
    audio, simulator = camera
    recording = tmp_path / "room.mkv"
    url = simulator.url("108")
    with recorded(url, recording, seconds=3.5), open_camera(url) as container:
        codecs = [stream.codec_context.name for stream in container.streams]
        assert codecs == ["h264", *([CODECS[audio]] if CODECS[audio] else [])]
        seen = watch(container, reports=20, fresh_us=2 * FRAME_US)
    assert_true_time(seen)
    # The best is within a frame of the wall clock, once the frame by which FFmpeg's parser is late is off.
    assert min(seen.age_us) - FRAME_US < FRAME_US
    measured = measure_file(recording)
    assert measured.decode_errors == 0
    assert None not in measured.frame_numbers
    assert len(measured.flash_times_s) >= 2
    if audio == "none":
        assert measured.beep_times_s == ()
    else:
        assert len(measured.av_offsets_ms) >= 2
        assert max(abs(offset) for offset in measured.av_offsets_ms) < 2


@contextmanager
def recorded(url: str, path: Path, *, seconds: float) -> Iterator[None]:
    """By the distribution's ffmpeg, which shares no code with what we record with; whole at the end."""
    recorder = subprocess.Popen(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp"),
            *("-i", url, "-t", str(seconds), "-c", "copy", str(path)),
        ]
    )
    try:
        yield
        assert recorder.wait(timeout=30) == 0
    finally:
        recorder.kill()
        recorder.wait()


def test_b_frames_and_another_gop(tmp_path: Path) -> None:
    with (
        Simulator(
            ["108"],
            audio="aac",
            size="640x480",
            bitrate_kbps=600,
            gop_frames=50,
            b_frames=2,
            loop_s=8,
            media_dir=tmp_path,
        ) as simulator,
        open_camera(simulator.url("108")) as container,
    ):
        seen = watch(container, reports=30, loop_s=8)
    assert seen.sizes == {(640, 480)}
    assert_true_time(seen, loop_s=8)
