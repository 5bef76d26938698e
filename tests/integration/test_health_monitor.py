"""The process that looks at pictures, with real coded ones; and the thread that must not wait for it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
import pytest

from recorder.capture.health import HealthMonitor, HealthTerms
from recorder.capture.health_process import HealthProcess, LookFailedError, SoundCoding, UndecodableError
from recorder.health_rules import Condition, HostFacts, Levels, Limits
from recorder.instants import US_PER_SECOND
from tests.integration import unit_sandbox
from tests.processes import wait_for

SIZE = (640, 360)
CODECS = {"h264": "libx264", "hevc": "libx265"}
SILENCE = Levels(-120, -120, 0, -120, 0)
LIMITS = Limits(picture_us=0, sound_us=0, clear_us=0, unchecked_us=0, clock_must_be_kept=False)
HASTY = HealthTerms(LIMITS, every_us=US_PER_SECOND // 10)


def scene(seed: int, *, sigma: float = 0) -> np.ndarray:
    """A room of boxes, lit from one side, with a sensor's noise that `seed` decides."""
    boxes = np.random.default_rng(3)
    luma = np.full(SIZE[::-1], 150.0)
    for _ in range(25):
        (left, right), (top, bottom) = (np.sort(boxes.integers(0, length, 2)) for length in SIZE)
        luma[top:bottom, left:right] = boxes.integers(30, 220)
    luma *= 0.7 + 0.5 * np.linspace(0, 1, SIZE[0])
    if sigma:
        luma = cv2.GaussianBlur(luma, (0, 0), sigma)
    noise = np.random.default_rng(seed).normal(0, 2, luma.shape)
    return np.clip(luma + noise, 16, 235).astype(np.uint8)


def flat(level: int) -> np.ndarray:
    return np.full(SIZE[::-1], level, np.uint8)


def coded(codec: str, *lumas: np.ndarray) -> list[bytes]:
    """Each as a keyframe with its parameter sets in band."""
    out = []
    for luma in lumas:
        encoder = av.CodecContext.create(CODECS[codec], "w")
        encoder.height, encoder.width = luma.shape
        encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
        encoder.options = {"preset": "ultrafast", "crf": "20", "x265-params": "log-level=none"}
        planes = np.concatenate([luma, np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)])
        packets = [
            *encoder.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")),
            *encoder.encode(None),
        ]
        out.append(b"".join(bytes(packet) for packet in packets))
    return out


@pytest.fixture
def process():
    made = HealthProcess()
    yield made
    made.stop()


AGENT_UNIT = Path(__file__).parents[2] / "systemd" / "protokol-agent@.service"
CHILD = (sys.executable, "-m", "recorder.capture.health_child")


def test_it_works_under_the_rules_of_the_agents_unit() -> None:
    sandboxed = HealthProcess([sys.executable, unit_sandbox.__file__, str(AGENT_UNIT), *CHILD])
    try:
        for codec in CODECS:
            (picture,) = coded(codec, scene(1))
            assert sandboxed.look("main", codec, picture, "blurred")["detail"] > 0.05
    finally:
        sandboxed.stop()


@pytest.mark.parametrize("codec", CODECS)
def test_coded_pictures_are_measured_and_told_apart(process, codec) -> None:
    first, same, next_one, blurred, black, grey = coded(
        codec, scene(1), scene(1), scene(2), scene(3, sigma=8), flat(16), flat(100)
    )
    facts = [
        process.look("main", codec, each, None) for each in (first, same, next_one, blurred, black, grey)
    ]
    assert [each["difference"] for each in facts[:2]] == [None, 0.0]
    limits = Limits()
    assert facts[2]["difference"] > limits.frozen_difference[1], "noise moves"
    assert facts[2]["detail"] == pytest.approx(facts[0]["detail"], rel=0.2), "but it is no detail"
    assert facts[3]["detail"] < facts[0]["detail"] * limits.blurred_part[0]
    assert facts[4]["bright"] == pytest.approx(16, abs=1)
    assert facts[5]["dark"] == pytest.approx(facts[5]["bright"], abs=1) == pytest.approx(100, abs=1)
    assert all(each["bright"] - each["dark"] > 100 for each in facts[:4])


def test_it_gives_way_to_the_recording(process) -> None:
    process.look("main", "h264", coded("h264", scene(1))[0], None)
    assert process.pid
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(mine + 10, 19)


def test_text_in_the_picture_hides_no_fault(process) -> None:
    covered = flat(20)
    cv2.putText(covered, "2026-11-20 14:05:09", (10, 30), cv2.FONT_HERSHEY_PLAIN, 2, 235, 2)
    (text,) = coded("h264", covered)
    assert process.look("main", "h264", text, None)["bright"] < Limits().black_bright[0]


def test_sources_and_sizes_are_not_compared_with_each_other(process) -> None:
    large, small = coded("h264", scene(1), scene(1)[:180, :320])
    looks = [("main", large), ("door", large), ("main", small), ("main", large)]
    assert [process.look(name, "h264", each, None)["difference"] for name, each in looks] == [None] * 4


def test_what_is_no_picture_is_said_so_and_the_next_one_is_measured(process) -> None:
    (picture,) = coded("h264", scene(1))
    for broken in (b"", b"\0" * 100, b"\0\0\0\1\x65" + bytes(range(256)), picture[: len(picture) // 20]):
        with pytest.raises(UndecodableError):
            process.look("main", "h264", broken, None)
    pid = process.pid
    assert process.look("main", "h264", picture, None)["detail"] > 0.05
    assert process.pid == pid


def test_nobody_can_be_told_and_nothing_read_in_the_blurred_picture(process) -> None:
    """Letters a tenth of the picture high, and faces of a quarter of its width, leave next to nothing."""
    pages = [scene(1), scene(1)]
    for page, words in zip(pages, ("ZVIT 2026", "LYST 1987"), strict=True):
        cv2.putText(page, words, (60, 250), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 20, 4)
    faces = []
    for eyes_px, mouth_px in ((18, 4), (28, 9)):
        face = flat(170)
        cv2.ellipse(face, (320, 180), (80, 105), 0, 0, 360, 120, -1)
        for side in (-1, 1):
            cv2.circle(face, (320 + side * eyes_px, 150), 8, 40, -1)
        cv2.ellipse(face, (320, 230), (30, mouth_px), 0, 0, 360, 60, -1)
        faces.append(face)
    for first, second in (pages, faces):
        shown = [process.look("main", "h264", each, "clear") for each in coded("h264", first, second)]
        small = [_grey(each["blurred"]) for each in shown]
        assert [each.shape for each in small] == [(14, 24)] * 2, "what is not there cannot be read"
        assert cv2.absdiff(*small).mean() < 1, "one looks like the other"
        assert cv2.absdiff(*small).max() < 16
        clear = [_grey(each["clear"]) for each in shown]
        assert [each.shape for each in clear] == [(180, 320)] * 2
        assert cv2.absdiff(*clear).max() > 100, "and could be told apart in a clear one"
        assert all(len(each["blurred"]) < 1000 and len(each["clear"]) < 16_000 for each in shown)


def test_a_picture_is_made_only_for_who_asks(process) -> None:
    (picture,) = coded("h264", scene(1))
    made = [set(process.look("main", "h264", picture, each)) for each in (None, "blurred", "clear")]
    assert [each & {"blurred", "clear"} for each in made] == [set(), {"blurred"}, {"blurred", "clear"}]


def _grey(coded_jpeg: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(coded_jpeg), np.uint8), cv2.IMREAD_GRAYSCALE)


def coded_tone(codec: str, rate: int, seconds: int) -> tuple[SoundCoding, list[bytes]]:
    """Hum of -9 dBFS as a camera sends it."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.time_base = rate, "mono", Fraction(1, rate)
    encoder.format = "fltp" if codec == "aac" else "s16"
    encoder.open()
    tone = 0.5 * np.sin(2 * np.pi * 50 * np.arange(rate * seconds) / rate)
    samples = tone.astype(np.float32) if codec == "aac" else (tone * 32767).astype(np.int16)
    step, packets = encoder.frame_size or rate // 25, []
    for at in range(0, len(samples) - step + 1, step):
        block = np.ascontiguousarray(samples[at : at + step]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format=encoder.format.name, layout="mono")
        frame.sample_rate, frame.pts = rate, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return SoundCoding(codec, rate, "mono", bytes(encoder.extradata or b"")), packets


@pytest.mark.parametrize(
    ("codec", "rate"), [("pcm_alaw", 8000), ("pcm_mulaw", 8000), ("aac", 16_000), ("aac", 48_000)]
)
def test_coded_sound_is_heard(process, codec, rate) -> None:
    coding, packets = coded_tone(codec, rate, 5)
    half = len(packets) // 2
    levels = process.hear("main", coding, packets[:half])
    with pytest.raises(UndecodableError):
        process.hear("door", replace(coding, codec="smell"), packets)
    with pytest.raises(UndecodableError):
        process.hear("door", replace(coding, rate=0), packets)
    process.hear("door", coding, [b"this is no sound", b""])
    levels += process.hear("main", coding, packets[half:])
    assert len(levels) == 4 if codec == "aac" else 5
    assert all(each.hum_dbfs == pytest.approx(-9, abs=0.5) for each in levels[1:])
    assert all(each.hum_ratio > 0.98 for each in levels[1:])


def test_the_process_ends_with_its_parent() -> None:
    script = (
        "import sys, time; from recorder.capture.health_process import HealthProcess\n"
        "process = HealthProcess()\n"
        "try: process.look('main', 'h264', b'x', None)\n"
        "except Exception: print(process.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not _runs(child), 10, "the child is gone")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_process_that_always_fails_is_not_started_over_and_over() -> None:
    failing = HealthProcess(["/bin/false"])
    with pytest.raises(LookFailedError, match=r"ended with code 1|Broken pipe"):
        failing.look("main", "h264", b"x", None)
    said = []
    for _ in range(3):
        with pytest.raises(LookFailedError) as error:
            failing.look("main", "h264", b"x", None)
        said.append(failing.pid)
        assert str(error.value)
    assert said == [None] * 3, "it waits a second"


class Running:
    """A monitor at work; `facts` may be replaced."""

    def __init__(self, process: HealthProcess | None = None, terms: HealthTerms = HASTY) -> None:
        self.facts = HostFacts(disk_free_bytes=10**12)
        self.process = process or HealthProcess()
        self.monitor = HealthMonitor(lambda: self.facts, terms, self.process)

    def __enter__(self) -> Self:
        self.monitor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.monitor.stop()
        self.monitor.join(20)
        assert not self.monitor.is_alive()

    @property
    def on(self) -> set[Condition]:
        return {each.condition for each in self.monitor.conditions}

    def until(self, condition: Condition, *pictures: bytes, gone: bool = False) -> None:
        """Offers the pictures as a recorder would, over and over, until the condition is there."""

        def offered() -> bool:
            for picture in pictures:
                if self.monitor.wants_keyframe("main", time.monotonic_ns() // 1000):
                    self.monitor.offer_keyframe("main", "h264", picture)
            return (condition in self.on) != gone

        wait_for(offered, 60, f"{condition}, gone: {gone}; now {self.monitor.report()}")


def test_a_hanging_process_keeps_nobody_and_is_replaced(capfd) -> None:
    one, two = coded("h264", scene(1), scene(2))
    with Running(HealthProcess(answer_s=1)) as running:
        running.until(Condition.PICTURE_FROZEN, one)
        hung = running.process.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        for _ in range(1000):  # more than pipes and queues hold
            running.monitor.offer_keyframe("main", "h264", two)
            running.monitor.offer_sound("main", SILENCE)
        running.until(Condition.PICTURE_UNCHECKED, two)
        assert Condition.SOUND_SILENT in running.on, "the rest goes on"
        running.until(Condition.PICTURE_UNCHECKED, one, gone=True)
        assert not _runs(hung)
        assert running.process.pid not in (None, hung)
    assert running.process.pid is None
    assert "does not answer" in "".join(capfd.readouterr())


def test_without_pictures_no_process_runs_and_nothing_of_them_is_kept() -> None:
    one, two = coded("h264", scene(1), scene(2))
    terms = HealthTerms(replace(LIMITS, stale_us=2 * US_PER_SECOND), every_us=US_PER_SECOND // 10)
    with Running(terms=terms) as running:
        running.monitor.watch(2**62)
        running.until(Condition.PICTURE_FROZEN, two, one, one)
        assert running.process.rss_bytes
        wait_for(lambda: running.monitor.pictures, 10, "a small picture")
        json.dumps(running.monitor.report())
        wait_for(lambda: running.process.pid is None, 20, "the process has ended")
        wait_for(lambda: not running.on, 20, "nothing is told of pictures that are gone")
        assert running.monitor.pictures == {}
        assert running.monitor.report()["sources"] == {}


def test_at_the_end_of_the_window_the_picture_and_the_process_go_at_once() -> None:
    one, two = coded("h264", scene(1), scene(2))
    with Running() as running:
        running.monitor.watch(2**62)
        running.until(Condition.PICTURE_FROZEN, two, one, one)
        wait_for(lambda: running.monitor.pictures, 10, "a small picture")
        running.monitor.forget("main")
        assert running.monitor.pictures == {}
        wait_for(lambda: running.process.pid is None, 20, "the process has ended")
        assert running.monitor.pictures == {}


def test_a_clear_picture_is_there_as_long_as_it_was_asked_for_and_no_longer() -> None:
    one, two = coded("h264", scene(1), scene(2))
    with Running() as running:

        def shown() -> tuple[bool, bool]:
            for picture in (one, two):
                running.monitor.offer_keyframe("main", "h264", picture)
            latest = running.monitor.pictures.get("main")
            return latest is not None, bool(latest and latest.clear)

        wait_for(lambda: "main" in running.monitor.report()["sources"] or not shown()[0], 20, "a look")
        assert shown() == (False, False), "nobody asks"
        running.monitor.watch(2**62)
        wait_for(lambda: shown() == (True, False), 20, "a blurred picture")
        until_us = time.monotonic_ns() // 1000 + 2 * US_PER_SECOND
        running.monitor.watch(2**62, until_us)
        wait_for(lambda: shown() == (True, True), 20, "a clear picture")
        wait_for(lambda: time.monotonic_ns() // 1000 >= until_us, 5, "its end")
        assert shown() == (True, False)
        running.monitor.watch(0)
        assert running.monitor.pictures == {}


def test_the_last_seconds_of_sound_are_told_in_their_order() -> None:
    with Running() as running:
        for number in range(14):
            running.monitor.offer_sound("main", Levels(-10 - number, -20 - number, 0, -120, 0))
        running.until(Condition.PICTURE_FROZEN, *coded("h264", scene(1)))
        told = running.monitor.report()["sources"]["main"]["levels"]
    assert told == [[-20 - number, -10 - number] for number in range(4, 14)]


def test_the_host_is_asked_and_a_defect_ends_nothing(capfd) -> None:
    with Running(terms=HealthTerms(replace(LIMITS, host_us=0), HASTY.every_us)) as running:
        wait_for(lambda: running.monitor.report()["host"]["disk_free_bytes"], 10, "facts of the host")
        running.facts = None
        wait_for(lambda: running.monitor.report()["host"]["disk_free_bytes"] is None, 10, "the defect")
        running.facts = HostFacts(disk_free_bytes=10**12, spool_age_us=10**12)
        wait_for(lambda: Condition.SPOOL_OLD in running.on, 30, "the spool is old")
    assert "health fails" in "".join(capfd.readouterr())
