"""A room's microphone by the whole real way: PulseAudio, ALSA, PortAudio, a process of its own.

Where PulseAudio is not installed these tests fail: setup-system.sh installs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import psutil
import pytest

from recorder.capture.microphone import MicrophoneError, MicrophoneLink, list_sound_devices
from recorder.capture.microphone_events import MicrophoneLost, MicrophoneOpened, SoundBlock
from recorder.capture.microphone_probe import probe_microphone
from recorder.host_clock import wall_minus_monotonic_us
from recorder.rooms import Microphone
from simulator.faults import CommandError
from simulator.microphone import SimulatedMicrophone
from simulator.sound import beep_onsets
from tests.integration.ingest_double import IngestDouble, configuration
from tests.processes import protokol, wait_for

DEVICE = "room-mic"
# Far more than anything here takes: what is tested is that it happens, not how busy the machine is.
SOON_S = 30
SEVEN_SECONDS = 350  # blocks


class Receiver:
    """Keeps the events of a link, as a source's inbox does."""

    def __init__(self) -> None:
        self.events = []
        self._lock = threading.Lock()

    def __call__(self, event):
        with self._lock:
            self.events.append(event)

    def of(self, kind):
        with self._lock:
            return [event for event in self.events if isinstance(event, kind)]

    @property
    def blocks(self) -> list[SoundBlock]:
        return self.of(SoundBlock)

    def next(self, kind, after: int = 0):
        """The first event of that kind beyond the `after` that were there before."""
        return wait_for(lambda: self.of(kind)[after:], SOON_S, f"{kind.__name__}; {self.of(MicrophoneLost)}")[
            0
        ]

    def sounding(self, session: int) -> None:
        wait_for(lambda: any(block.session >= session for block in self.blocks), SOON_S, "sound")


@contextmanager
def listening(simulated: SimulatedMicrophone, **fields) -> Iterator[tuple[MicrophoneLink, Receiver]]:
    link = MicrophoneLink(Microphone(**{"device": DEVICE, **fields}), environment=simulated.environment)
    receiver = Receiver()
    link.subscribe(receiver)
    link.want(wanted=True)
    link.start()
    try:
        yield link, receiver
    finally:
        link.stop()
        link.join(SOON_S)
    assert not link.is_alive()


def children() -> list[psutil.Process]:
    """The microphone's processes of this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "recorder.capture.microphone_child" in child.cmdline():
                found.append(child)
    return found


def floor_us(blocks: list[SoundBlock], ppm: float = 0) -> float:
    """The earliest that sound came, against the counts of a device that is so much fast."""
    rate = 48_000 * (1 + ppm * 1e-6)
    return min(block.arrival_us - block.end_count * 1e6 / rate for block in blocks)


def tells_its_clock(blocks: list[SoundBlock]) -> bool:
    """Seven seconds that no busy machine has delayed."""
    if len(blocks) < SEVEN_SECONDS:
        return False
    early, late = blocks[:100], blocks[-100:]
    seconds = (late[0].end_count - early[0].end_count) / 48_000
    return 100 < (floor_us(early) - floor_us(late)) / seconds < 600


def test_blocks_tell_the_devices_clock_and_hold_what_it_heard():
    with SimulatedMicrophone(ppm=300) as simulated, listening(simulated) as (_, receiver):
        wait_for(lambda: tells_its_clock(receiver.blocks[-SEVEN_SECONDS:]), 3 * SOON_S, "its clock")
        every = list(receiver.blocks)
    blocks = every[-SEVEN_SECONDS:]
    assert receiver.events[0] == MicrophoneOpened(DEVICE)
    assert {block.session for block in every} == {1}
    assert not any(block.overflow for block in every)
    counts = np.cumsum([len(block.samples) // 2 for block in every])
    assert [block.end_count for block in every] == counts.tolist()
    arrivals = [block.arrival_us for block in every]
    assert arrivals == sorted(arrivals)
    samples = np.frombuffer(b"".join(block.samples for block in blocks), "<i2")
    onsets_us = np.array(beep_onsets(samples, 48_000)) * 1e6
    began_us = (blocks[0].end_count - len(blocks[0].samples) // 2) * 1e6 / 48_000
    heard_us = (onsets_us + began_us) / (1 + 300e-6) + floor_us(blocks, 300) + wall_minus_monotonic_us()
    past_second_ms = (heard_us + 500_000) % 1_000_000 / 1000 - 500
    # Later than true by the fastest that sound came through, and by that always.
    assert len(past_second_ms) >= 5
    assert np.ptp(past_second_ms) < 5
    assert -2 < past_second_ms.min() < 100


def test_a_microphone_is_unplugged_and_plugged_in_again():
    with SimulatedMicrophone() as simulated, listening(simulated) as (link, receiver):
        receiver.sounding(1)
        assert link.state.state == "opened"
        simulated.command("unplug")
        assert receiver.next(MicrophoneLost).detail == f"'{DEVICE}' is gone"
        assert "'default'" in receiver.next(MicrophoneLost, 1).detail
        assert (link.state.state, link.state.device) == ("lost", "")
        assert "no sound device is named" in link.state.detail
        late = Receiver()
        link.subscribe(late)
        assert late.events == [MicrophoneLost(link.state.detail)]
        link.unsubscribe(late)
        lost = len(receiver.of(MicrophoneLost))
        simulated.command("plug")
        receiver.next(MicrophoneOpened, 1)
        receiver.sounding(3)
        assert len(receiver.of(MicrophoneLost)) == lost == 2
        first = next(block for block in receiver.blocks if block.session > 1)
        assert first.end_count == len(first.samples) // 2
        assert len(late.events) == 1


def test_the_sound_system_crashes_and_comes_back():
    with SimulatedMicrophone() as simulated, listening(simulated) as (_, receiver):
        receiver.sounding(1)
        before = receiver.blocks[-1].session
        simulated.command("restart")
        receiver.next(MicrophoneLost)
        receiver.next(MicrophoneOpened, 1)
        receiver.sounding(2)
        assert receiver.blocks[-1].session > before, "counts begin again, and whoever counts must know"


def test_a_sound_system_that_hangs_costs_its_process_not_the_room():
    with SimulatedMicrophone() as simulated, listening(simulated) as (link, receiver):
        receiver.sounding(1)
        (child,) = children()
        simulated.command("hang")
        last_us = receiver.blocks[-1].arrival_us
        assert receiver.next(MicrophoneLost).detail == "the sound system sends nothing any more"
        assert (time.monotonic_ns() // 1000 - last_us) >= 1_900_000
        wait_for(lambda: not child.is_running(), SOON_S, "the hung process is killed")
        simulated.command("resume")
        receiver.next(MicrophoneOpened, 1)
        receiver.sounding(2)
        assert link.state.detail == ""


def test_a_process_that_was_held_up_is_not_killed_and_its_counts_stay_true():
    """PulseAudio keeps the sound of that second; a sound card would not, and PortAudio would say so."""
    with SimulatedMicrophone() as simulated, listening(simulated) as (link, receiver):
        wait_for(lambda: len(receiver.blocks) >= 50, SOON_S, "a second of sound")
        before = receiver.blocks
        (child,) = children()
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        child.send_signal(signal.SIGCONT)
        wait_for(lambda: len(receiver.blocks) >= len(before) + 100, SOON_S, "the sound comes after all")
        after = receiver.blocks[-25:]
    assert after[-1].session == 1
    assert not receiver.of(MicrophoneLost)
    assert link.state.overflows or floor_us(after) - floor_us(before) < 100_000


def test_a_device_that_is_not_there_is_waited_for_and_told_once_with_those_that_are():
    with SimulatedMicrophone() as simulated:
        simulated.command("unplug")
        with listening(simulated) as (_, receiver):
            detail = receiver.next(MicrophoneLost).detail
            assert detail.startswith(f"no sound device is named '{DEVICE}'; there are 0 'pulse' (")
            first = wait_for(children, SOON_S, "the first process")[0].pid
            wait_for(lambda: [c for c in children() if c.pid != first], SOON_S, "another attempt")
            simulated.command("plug")
            receiver.next(MicrophoneOpened)
            assert receiver.of(MicrophoneLost) == [MicrophoneLost(detail)]


def test_nothing_is_heard_that_is_not_wanted():
    with SimulatedMicrophone() as simulated, listening(simulated) as (link, receiver):
        receiver.sounding(1)
        link.want(wanted=False)
        wait_for(lambda: link.state.state == "closed" and not children(), SOON_S, "the process ends")
        heard = len(receiver.events)
        late = Receiver()
        link.subscribe(late)
        assert late.events == []
        link.want(wanted=True)
        receiver.sounding(2)
        assert receiver.events[heard] == late.events[0] == MicrophoneOpened(DEVICE)
        assert not receiver.of(MicrophoneLost)


def test_the_process_ends_with_the_recorder_however_that_ends():
    code = """if True:
        from recorder.capture.microphone import MicrophoneLink
        from recorder.logging import configure_logging
        from recorder.rooms import Microphone
        configure_logging()
        link = MicrophoneLink(Microphone(device="room-mic"))
        link.subscribe(lambda event: print(event.__class__.__name__, flush=True))
        link.want(wanted=True)
        link.start()
        link.join()
    """
    with SimulatedMicrophone() as simulated:
        recorder = psutil.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **simulated.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert recorder.stdout.readline() == "MicrophoneOpened\n"
            (child,) = recorder.children()
        finally:
            recorder.kill()
            recorder.communicate()
        wait_for(lambda: not child.is_running(), SOON_S, "the microphone's process is gone too")


def test_a_probe_tells_the_level_and_the_devices():
    with SimulatedMicrophone() as simulated:
        (listed, *_) = list_sound_devices(simulated.environment)
        assert (listed["index"], listed["name"]) == (0, DEVICE)
        assert 48_000 in listed["rates"]
        simulated.command("tone")
        # Of two channels, which this system makes of the one.
        seen = probe_microphone(Microphone(device=0, channels=2), 0.5, environment=simulated.environment)
        assert seen["device"] == DEVICE
        assert seen["rms_dbfs"] == pytest.approx(-12, abs=1)
        with pytest.raises(MicrophoneError, match=r"is named 'shure'; there are 0 'room-mic'"):
            probe_microphone(Microphone(device="shure"), 0.5, environment=simulated.environment)
        simulated.command("hang")
        with pytest.raises(MicrophoneError, match="the sound system does not answer"):
            list_sound_devices(simulated.environment)
        with pytest.raises(CommandError, match="say resume first"):
            simulated.command("unplug")


@pytest.mark.parametrize("known", [True, False])
def test_the_agents_probe_tries_the_microphone_too(tmp_path, known):
    configured = configuration(
        "rtsp://127.0.0.1:9/108", microphone={"device": "room" if known else "shure", "channels": 2}
    )
    with IngestDouble(tmp_path, configured) as ingest, SimulatedMicrophone() as simulated:
        ingest.agent_key().write(tmp_path / "agent.key")
        settings = {
            "PROTOKOL_SETTINGS_FILE": os.devnull,
            "PROTOKOL_DATA_DIR": str(tmp_path),
            "PROTOKOL_AGENT_KEY_FILE": str(tmp_path / "agent.key"),
        }
        environment = {**os.environ, **simulated.environment, **settings}
        as_json = ["--json"] if known else []
        # The room's camera does not answer.
        done = protokol(environment, "agent", "probe", "108", *as_json, expect=1)
    if known:
        told = json.loads(done.stdout)
        assert told["microphone"]["device"] == DEVICE
        assert told["microphone"]["peak_dbfs"] == pytest.approx(-6, abs=1)
        assert told["sound_devices"][0]["name"] == DEVICE
    else:
        assert "microphone: device shure, error no sound device is named 'shure'; there are 0" in done.stdout
        assert "sound device 0: room-mic, 32 ch, 16000/32000/44100/48000 Hz" in done.stdout


def test_the_simulated_microphone_by_hand():
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "microphone", "--device", "hand", "--ppm", "-20"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        ready = json.loads(process.stdout.readline().removeprefix("READY "))
        assert ready["device"] == "hand"
        assert list_sound_devices(ready["environment"])[0]["name"] == "hand"
        answers, _ = process.communicate("hum\nppm 7\nsing\n")
    first, second, third = answers.splitlines()
    assert (first, second) == ("ok", "ok")
    assert third.startswith("error: not understood: 'sing'; say unplug | plug")
    assert process.returncode == 0
