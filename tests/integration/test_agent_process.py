"""The installed command: a clean stop, a kill, a power cut's leftovers, the service manager."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from recorder.manifest import Track
from simulator.control import Simulator
from simulator.picture import capture_time_us
from tests.integration.agent_rig import LOOP_FRAMES, AgentProcess, assert_contiguous, decode
from tests.integration.ingest_double import IngestDouble, configuration

LOST_BY_A_KILL_US = 500_000


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


@pytest.fixture
def ingest(camera, tmp_path):
    with IngestDouble(tmp_path, configuration(camera.url("108"))) as double:
        yield double


@pytest.fixture
def start(ingest, tmp_path):
    processes = []

    def starting(**settings):
        processes.append(AgentProcess(ingest, tmp_path, **settings))
        return processes[-1]

    yield starting
    for process in processes:
        process.close()


def recovered_by(ingest):
    return [received for received in ingest.segments if received.manifest.recovered]


def parts(tmp_path):
    return sorted((tmp_path / "spool").rglob("*.part"))


def until_parts_hold(tmp_path, size):
    deadline = time.monotonic() + 20
    while sum(path.stat().st_size for path in parts(tmp_path)) < size:
        assert time.monotonic() < deadline, "no footage in the part"
        time.sleep(0.02)


def test_sigterm_ships_the_last_segment_within_five_seconds(ingest, start, tmp_path):
    agent = start()
    until_parts_hold(tmp_path, 500_000)
    took = agent.terminate()
    assert took < 5
    assert ingest.segments, agent.said()
    assert list((tmp_path / "spool").rglob("*.mp4")) == []
    assert parts(tmp_path) == []
    ingest.check_chain()

    stopped_us = max(r.manifest.end_us for r in ingest.received)
    agent = start()
    until_parts_hold(tmp_path, 500_000)
    assert agent.terminate() < 5
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    ingest.check_covered(Track.AUDIO)
    maintenance = [gap for gap in ingest.gaps("maintenance") if gap.end_us > stopped_us]
    assert maintenance
    assert not ingest.gaps("agent_down")


def away_from_the_minute():
    """Just after it a segment is sealed, and a kill finds nothing torn."""
    second = time.time() % 60
    if second > 48 or second < 3:
        time.sleep((63 - second) % 60)


def test_kill_9_loses_less_than_half_a_second_and_the_torn_segment_is_recovered(ingest, start, tmp_path):
    away_from_the_minute()
    agent = start()
    until_parts_hold(tmp_path, 700_000)
    killed_us = round(agent.kill9() * 1e6)
    with parts(tmp_path)[-1].open("ab") as file:
        file.write(b"\0\0\x40\0moof torn off by a power cut")
    time.sleep(1.1)  # what was written a second before the kill may still have been in memory
    agent = start()
    ingest.wait_for(lambda: recovered_by(ingest), what="the recovered segment")
    until_parts_hold(tmp_path, 300_000)
    agent.terminate()

    list(ingest.files())
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    (recovered,) = recovered_by(ingest)
    assert not ingest.segments[-1].manifest.recovered
    seen = decode(tmp_path / f"{recovered.manifest.sequence:09d}.mp4")
    assert_contiguous(seen.numbers)
    last_us = capture_time_us(seen.numbers[-1], killed_us, LOOP_FRAMES // 25, 25)
    # The last frame lasts until the next one would have come.
    assert 0 <= killed_us - last_us < LOST_BY_A_KILL_US + 40_000
    lost = next(gap for gap in ingest.gaps("lost_in_crash") if "video" in gap.tracks)
    down = next(gap for gap in ingest.gaps("agent_down") if "video" in gap.tracks)
    assert lost.start_us == recovered.manifest.end_us
    assert lost.end_us == down.start_us
    later = [r for r in ingest.segments if r.manifest.sequence > recovered.manifest.sequence]
    assert down.end_us <= min(r.manifest.start_us for r in later)


def test_killed_again_and_again_the_chain_stays_whole(ingest, start, tmp_path):
    """Kills at awkward moments: while starting, while recovering, just after the first fragment."""
    for patience_s in (0.9, 1.3, 2.2, 0.7):
        agent = start()
        time.sleep(patience_s)
        agent.kill9()
    runs = agent.said().count("run begins")
    agent = start()
    # The part may be what the last kill left.
    ingest.wait_for(lambda: agent.said().count("run begins") > runs, what="a run of the last agent")
    until_parts_hold(tmp_path, 300_000)
    agent.terminate()
    ingest.wait_for(lambda: not list((tmp_path / "spool").rglob("*.mp4")), what="an empty spool")
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    for path in ingest.files():
        decode(path)


def test_the_service_manager_is_told(ingest, start, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10)
        agent = start(NOTIFY_SOCKET=str(address))
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        agent.terminate()
        assert manager.recv(100) == b"STOPPING=1"


def run(tmp_path, *arguments, **settings):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    environment = {**inherited, "PROTOKOL_SETTINGS_FILE": os.devnull, "PROTOKOL_DATA_DIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-m", "protokol", "agent", *arguments],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_wrong_at_start_is_said_in_one_line(ingest, tmp_path):
    done = run(tmp_path, "run", "108")
    assert done.returncode == 2
    assert "PROTOKOL_AGENT_KEY_FILE" in done.stderr
    key_file = tmp_path / "agent.key"
    ingest.agent_key().write(key_file)
    done = run(tmp_path, "run", "116", PROTOKOL_AGENT_KEY_FILE=str(key_file))
    assert done.returncode == 2
    assert "is the key of room 108, not of 116" in done.stderr
    key_file.chmod(0o640)
    done = run(tmp_path, "run", "108", PROTOKOL_AGENT_KEY_FILE=str(key_file))
    assert done.returncode == 2
    assert f"chmod 600 {key_file}" in done.stderr
    assert "Traceback" not in done.stderr


def test_probe_says_what_the_camera_sends(camera, ingest, tmp_path):
    key_file = tmp_path / "agent.key"
    ingest.agent_key().write(key_file)
    done = run(tmp_path, "probe", "108", "--json", PROTOKOL_AGENT_KEY_FILE=str(key_file))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)["cameras"]["main"]
    told = {"transport": "tcp", "video": "h264", "width": 1280, "fps": 25.0, "gop_frames": 25, "gop_s": 1.0}
    told |= {"b_frames": False, "audio": "pcm_alaw", "audio_rate": 8000, "no_sound": None}
    assert {key: seen[key] for key in told} == told
    camera.command("108", "kill")
    try:
        done = run(tmp_path, "probe", "108", PROTOKOL_AGENT_KEY_FILE=str(key_file))
    finally:
        camera.command("108", "start")
    assert done.returncode == 1
    assert "error" in done.stdout
