"""A Friday of room 228-А in an archive, with a clock that stands on the Monday after it."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import Page, expect
from uuid6 import uuid7

from archive.system import Archive
from recorder.instants import parse_instant
from recorder.manifest import TrackStatement
from recorder.settings import Settings
from tests.footage import SECOND, FakeAgent

DATE = "2026-11-20"
MONDAY = "2026-11-23T09:00:00"
MINUTE = 60 * SECOND
# Playing must reach a picture in this time, on a machine that does other things too.
PLAYS_MS = 15_000
_FPS = 5
_SOUNDS = 48_000 * 60 // 1024
_TIMESCALES = {1: 90_000, 2: 48_000}
ROOMS = """\
council: {name: {uk: Тестова рада, en: Test council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-thu: ["08:00-12:00", "13:00-17:00"]
  fri: ["08:00-12:00", "13:00-16:45"]
rooms:
  - {id: "108", label: "108", floor: 1, cameras: [{name: main, url: "rtsp://127.0.0.1:9/108"}]}
  - {id: 228-a, label: 228-А, floor: 2, cameras: [{name: main, url: "rtsp://127.0.0.1:9/228-a"}]}
"""


def at(time: str) -> int:
    """`10:00` or `10:00:30` of that Friday in Kyiv."""
    return parse_instant(f"{DATE}T{time}{':00' if time.count(':') == 1 else ''}+02:00")


def empty_archive(directory: Path, rooms: str = ROOMS) -> Archive:
    (directory / "rooms.yaml").write_text(rooms, "utf-8")
    return Archive.open(Settings(data_dir=directory, demo=True, secure_cookies=False), migrate=True)


@functools.cache
def _minute(codec: str) -> bytes:
    """A minute of fragmented MP4: 5 pictures a second, a keyframe each second, a bar that moves, and AAC."""
    sink = io.BytesIO()
    options = {
        "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
        "avoid_negative_ts": "disabled",
        "max_interleave_delta": "500000",
    }
    with av.open(sink, "w", format="mp4", options=options) as container:
        video: Any = container.add_stream(codec, rate=_FPS)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.gop_size, video.max_b_frames = _FPS, 0
        video.time_base = Fraction(1, 90_000)
        video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "scenecut=0",
            "x265-params": f"scenecut=0:keyint={_FPS}:log-level=none",
        }
        audio: Any = container.add_stream("aac", rate=48_000)
        audio.layout = "mono"
        for number in range(_FPS * 60):
            plane = np.full((270, 320), 128, np.uint8)
            plane[:180] = 70
            plane[60:120, number % 300 : number % 300 + 20] = 200
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts, frame.time_base = 90_000 + number * 90_000 // _FPS, Fraction(1, 90_000)
            container.mux(video.encode(frame))
        silence = np.zeros((1, 1024), np.float32)
        for number in range(_SOUNDS):
            sound = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, 48_000 + number * 1024
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return sink.getvalue()


def minute(number: int, codec: str = "libx264") -> bytes:
    """The minute of that number of a run: the same pictures, `tfdt` going on as a camera's does."""
    body = bytearray(_minute(codec))
    position = body.find(b"tfdt")
    while position >= 0:
        track = int.from_bytes(body[body.rfind(b"tfhd", 0, position) + 8 :][:4], "big")
        time = slice(position + 8, position + 16)
        assert body[position + 4] == 1, "64 bits"
        ticks = int.from_bytes(body[time], "big") + number * 60 * _TIMESCALES[track]
        body[time] = ticks.to_bytes(8, "big")
        position = body.find(b"tfdt", position + 16)
    return bytes(body)


def record(agent: FakeAgent, start: str, end: str, codec: str = "libx264") -> None:
    """Footage `[start, end)` of that Friday as one run, a segment a minute."""
    agent.run = str(uuid7())
    for number, start_us in enumerate(range(at(start), at(end), MINUTE)):
        signed, body = agent.segment(start_us, 60, minute(number, codec), tracks=_tracks(number, codec))
        answer = agent.send(signed, body)
        assert answer.outcome == "accepted", answer


def _tracks(number: int, codec: str) -> list[TrackStatement]:
    empty, coding = hashlib.sha256(b"").hexdigest(), codec.removeprefix("lib").replace("x", "h")
    return [
        TrackStatement(
            track="video", codec=coding, timescale=90_000, start_ticks=90_000 * (1 + 60 * number),
            duration_ticks=90_000 * 60, samples=_FPS * 60, codec_sha256=empty, width=320, height=180,
        ),
        TrackStatement(
            track="audio", codec="aac", timescale=48_000, start_ticks=48_000 * (1 + 60 * number),
            duration_ticks=1024 * _SOUNDS, samples=_SOUNDS, codec_sha256=empty,
            sample_rate=48_000, channels=1,
        ),
    ]  # fmt: skip


def miss(agent: FakeAgent, start: str, end: str, cause: str, *tracks: str) -> None:
    """A gap record `[start, end)`; of both tracks where none is named."""
    answer = agent.send(agent.gap(at(start), at(end), cause, tracks or ("video", "audio")))
    assert answer.outcome == "accepted", answer


def is_ready(page: Page) -> None:
    """The scripts have taken the page over."""
    expect(page.locator("[data-deck]")).to_be_visible(timeout=PLAYS_MS)


def go_to(page: Page, time: str) -> None:
    is_ready(page)
    page.keyboard.press("g")
    page.keyboard.type(time)
    page.keyboard.press("Enter")


def shows(page: Page, time: str) -> str:
    """The clock, once a picture of that time (a pattern) is shown."""
    # Before the first one the clock tells where it is going to be.
    expect(page.locator("[data-video]")).not_to_have_js_property("readyState", 0, timeout=PLAYS_MS)
    expect(page.locator("[data-clock]")).to_have_text(re.compile(rf"^{time}\.\d{{3}}$"), timeout=PLAYS_MS)
    expect(page.locator("#day.moving")).to_have_count(0, timeout=PLAYS_MS)
    return page.inner_text("[data-clock]")
