"""A room for the agent's tests: a simulated camera, an ingest double, and the agent between them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from recorder.agent import Agent, AgentOptions
from recorder.capture.health import HealthTerms
from simulator.picture import is_flash, read_frame_number
from simulator.sound import beep_onsets
from tests.integration.ingest_double import IngestDouble

SEGMENT_US = 2_000_000
LOOP_FRAMES = 60 * 25


@contextmanager
def running_agent(
    ingest: IngestDouble,
    spool: Path,
    *,
    limit_bytes: int = 10**9,
    secrets: Path | None = None,
    sound_environment: Mapping[str, str] | None = None,
    health: HealthTerms | None = None,
) -> Iterator[Agent]:
    """The agent in this process, with short segments; stopped at the end, within its five seconds."""
    options = AgentOptions(
        spool,
        limit_bytes,
        secrets,
        segment_us=SEGMENT_US,
        heartbeat_s=0.5,
        sound_environment=sound_environment,
        health=health or HealthTerms(),
    )
    stopping = threading.Event()
    agent = Agent(ingest.agent_key(), options, stopping)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            agent.run()
        except BaseException as error:  # noqa: BLE001 told to the test below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield agent
    finally:
        began = time.monotonic()
        stopping.set()
        thread.join(10)
        took = time.monotonic() - began
    assert not thread.is_alive()
    assert took < 5, f"stopping took {took:.1f} s"
    assert not failures, failures


class AgentProcess:
    """`protokol agent run 108` as installed: 60 s segments, a process that can be killed."""

    def __init__(self, ingest: IngestDouble, directory: Path, **settings: str) -> None:
        key_file = directory / "agent.key"
        if not key_file.exists():
            ingest.agent_key().write(key_file)
        self.log = directory / "agent.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
        environment = {
            **inherited,
            "PROTOKOL_SETTINGS_FILE": os.devnull,
            "PROTOKOL_DATA_DIR": str(directory),
            "PROTOKOL_AGENT_KEY_FILE": str(key_file),
            **settings,
        }
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "protokol", "agent", "run", "108"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def kill9(self) -> float:
        """The wall clock at the kill."""
        at = time.time()
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        return at

    def terminate(self) -> float:
        """How long a clean stop took; fails unless it was one."""
        began = time.monotonic()
        self.popen.terminate()
        code = self.popen.wait(10)
        assert code == 0, self.said()[-3000:]
        return time.monotonic() - began

    def close(self) -> None:
        if self.popen.poll() is None:
            self.kill9()


@dataclass
class Seen:
    """A segment, decoded. Times are media seconds of the run."""

    numbers: list[int]
    picture_times: list[float]
    flashes: list[float]
    beeps: list[float]
    sound_start: float | None
    size: tuple[int, int]


def decode(path: Path) -> Seen:
    """Every frame; raises on any error of the decoder."""
    seen = Seen([], [], [], [], None, (0, 0))
    pcm, rate = [], 48_000
    with av.open(str(path)) as container:
        for frame in container.decode(*container.streams):
            if isinstance(frame, av.VideoFrame):
                luma = frame.to_ndarray(format="gray")
                seen.numbers.append(read_frame_number(luma))
                seen.picture_times.append(float(frame.time))
                lit = is_flash(luma)
                if lit and (len(seen.numbers) < 2 or seen.numbers[-1] % 25 == 0):
                    seen.flashes.append(float(frame.time))
                seen.size = (frame.width, frame.height)
            else:
                if seen.sound_start is None:
                    seen.sound_start = float(frame.time)
                    rate = frame.sample_rate
                pcm.append(frame.to_ndarray().reshape(-1))
    if pcm and seen.sound_start is not None:
        samples = np.concatenate(pcm)
        seen.beeps = [seen.sound_start + onset for onset in beep_onsets(samples, rate)]
    return seen


def offsets_ms(seen: Seen) -> list[float]:
    """Sound after picture, for each beep that has its flash in the segment."""
    starts = [t for t, number in zip(seen.picture_times, seen.numbers, strict=True) if number % 25 == 0]
    return [1000 * (beep - flash) for beep in seen.beeps for flash in starts if abs(beep - flash) < 0.5]


def assert_contiguous(numbers: list[int]) -> None:
    """Bar codes that follow each other, around the loop."""
    for before, after in itertools.pairwise(numbers):
        assert (after - before) % LOOP_FRAMES == 1, (before, after)
