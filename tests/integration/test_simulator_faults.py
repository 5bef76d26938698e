"""Each fault does what it says, and is mended by its word."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
import av.error
import psutil
import pytest
from click.testing import CliRunner

from simulator.cli import simulator as cli
from simulator.control import Simulator, SimulatorError
from simulator.faults import CommandError
from simulator.measure import luma_of
from simulator.picture import NoBarCodeError, capture_time_us, read_frame_number

FPS, LOOP_S = 25, 60


def open_camera(url: str) -> av.container.InputContainer:
    return av.open(url, options={"rtsp_transport": "tcp", "timeout": "6000000"}, timeout=(6, 0.5))


def packets_of(container: av.container.InputContainer, seconds: float) -> Iterator[av.Packet]:
    """What comes within that time; silence of a read timeout is only silence."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            for packet in container.demux():
                if packet.size:
                    yield packet
                if time.monotonic() >= end:
                    return
        except av.error.ExitError:
            continue
        else:
            raise EOFError("the camera closed the connection")


def count(container: av.container.InputContainer, seconds: float) -> Counter[str]:
    return Counter(packet.stream.type for packet in packets_of(container, seconds))


def report_error_s(container: av.container.InputContainer) -> float:
    """Clock that the sender reports tell, minus the bar code's; the newest of a stretch of pictures."""
    errors: list[float] = []
    prft: dict[int, int] = {}
    for packet in packets_of(container, 10):
        side = packet.get_sidedata("prft")
        if packet.stream.type != "video" or packet.pts is None:
            continue
        if side:
            prft[packet.pts] = struct.unpack_from("<q", bytes(side))[0]
        for frame in packet.decode():
            if not isinstance(frame, av.VideoFrame) or frame.pts not in prft:
                continue
            try:
                number = read_frame_number(luma_of(frame))
            except NoBarCodeError:  # before the first keyframe
                continue
            taken_us = capture_time_us(number, time.time_ns() // 1000, LOOP_S, FPS)
            errors.append((prft[frame.pts] - taken_us) / 1e6)
        if len(errors) >= 5:
            break
    return errors[-1]


def ask(url: str, method: str) -> str:
    """The first line of the answer to one bare RTSP request."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=2) as connection:
        connection.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        return connection.makefile("r").readline().strip()


@pytest.fixture(scope="module")
def process() -> Iterator[Simulator]:
    with Simulator(["108", "116"]) as simulator:
        yield simulator


@pytest.fixture
def simulator(process: Simulator) -> Simulator:
    """With every camera well."""
    process.command("all", "mend")
    return process


def test_a_stalled_camera_answers_but_sends_nothing(simulator: Simulator) -> None:
    with open_camera(simulator.url("108")) as container, open_camera(simulator.url("116")) as other:
        simulator.command("108", "stall")
        count(container, 0.3)  # what was under way
        assert not count(container, 0.8)
        assert count(other, 0.5)["video"] > 5
        assert ask(simulator.url("108"), "OPTIONS") == "RTSP/1.0 200 OK"
        assert ask(simulator.url("108"), "DESCRIBE") == "RTSP/1.0 200 OK"
        simulator.command("108", "resume")
        assert count(container, 0.8)["video"] > 10


@pytest.mark.parametrize(("dropped", "other"), [("audio", "video"), ("video", "audio")])
def test_a_dropped_track_stops_alone(simulator: Simulator, dropped: str, other: str) -> None:
    with open_camera(simulator.url("108")) as container:
        simulator.command("108", f"drop {dropped}")
        count(container, 0.3)
        # The client's parser may still give the last picture.
        got = count(container, 0.8)
        assert got[dropped] <= 1
        assert got[other] > 10
        assert ask(simulator.url("108"), "DESCRIBE") == "RTSP/1.0 200 OK"
        simulator.command("108", "restore")
        assert count(container, 0.8)[dropped] > 10


def test_a_killed_camera_drops_clients_and_refuses_until_it_is_started(simulator: Simulator) -> None:
    with open_camera(simulator.url("108")) as container, open_camera(simulator.url("116")) as other:
        simulator.command("108", "kill")
        with pytest.raises((EOFError, av.error.FFmpegError)):
            count(container, 3)
        with pytest.raises(av.error.ConnectionRefusedError):
            open_camera(simulator.url("108"))
        assert count(other, 0.5)["video"] > 5
    assert simulator.command("108", "status") == "killed"
    simulator.command("108", "start")
    with open_camera(simulator.url("108")) as container:
        assert count(container, 0.5)["video"] > 5


def test_the_resolution_changes_within_a_connection(simulator: Simulator) -> None:
    def sizes(container: av.container.InputContainer) -> dict[tuple[int, int], int]:
        seen: dict[tuple[int, int], int] = {}
        for packet in packets_of(container, 1.8):
            for frame in packet.decode() if packet.stream.type == "video" else ():
                if isinstance(frame, av.VideoFrame) and not frame.is_corrupt:
                    seen[frame.width, frame.height] = frame.width
                    last = frame
        taken_us = capture_time_us(read_frame_number(luma_of(last)), time.time_ns() // 1000, LOOP_S, FPS)
        assert 0 < time.time_ns() // 1000 - taken_us < 1_000_000
        return seen

    with open_camera(simulator.url("108")) as container:
        simulator.command("108", "resolution 640x480")
        assert (640, 480) in sizes(container)
        simulator.command("108", "resolution 1280x720")
        assert list(sizes(container))[-1] == (1280, 720)


@pytest.mark.parametrize("offset_s", [3600.0, -0.5])
def test_a_wrong_clock_is_in_the_sender_reports(simulator: Simulator, offset_s: float) -> None:
    simulator.command("108", f"clock {offset_s}")
    with open_camera(simulator.url("108")) as container:
        assert report_error_s(container) == pytest.approx(offset_s, abs=0.005)


def test_an_unset_clock_tells_1970() -> None:
    with Simulator(["108"], unset_clock=True) as simulator, open_camera(simulator.url("108")) as container:
        assert time.time() + report_error_s(container) < 60


def test_packets_are_lost(simulator: Simulator) -> None:
    with open_camera(simulator.url("108")) as container:
        whole = count(container, 1)["audio"]
        simulator.command("108", "loss 0.5")
        count(container, 0.3)
        # Each packet of G.711 comes or does not: 50 in two seconds, p < 1e-6 for what is outside.
        assert whole >= 20
        assert 8 < count(container, 2)["audio"] < 42
        simulator.command("108", "loss 0")
        count(container, 0.3)
        assert count(container, 1)["audio"] >= 20


def test_a_password_is_asked_for() -> None:
    with Simulator(["108"], audio="none", user="room", password="камера") as simulator:
        with pytest.raises(av.error.HTTPUnauthorizedError):
            open_camera(simulator.url("108", password="wrong"))
        with pytest.raises(av.error.HTTPUnauthorizedError):
            open_camera(simulator.url("108").replace("room:камера@", ""))
        with open_camera(simulator.url("108")) as container:
            assert count(container, 0.5)["video"] > 5


@pytest.mark.parametrize(
    ("room", "words", "message"),
    [
        ("999", "stall", "no room '999'"),
        ("108", "explode", "say kill"),
        ("108", "loss 7", "not a number from 0 to 1"),
    ],
)
def test_a_bad_command_is_an_answered_error(
    simulator: Simulator, room: str, words: str, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        simulator.command(room, words)
    assert simulator.command("all", "status") == "well; well"


def test_the_command_line_commands_a_running_simulator(simulator: Simulator) -> None:
    port = str(simulator.control_port)
    done = CliRunner().invoke(cli, ["command", "108", "drop", "audio", "--control-port", port])
    assert (done.exit_code, done.output) == (0, "ok\n")
    done = CliRunner().invoke(cli, ["command", "108", "status", "--control-port", port])
    assert done.output == "no audio\n"
    done = CliRunner().invoke(cli, ["command", "116", "clock", "-3600", "--control-port", port])
    assert (done.exit_code, done.output) == (0, "ok\n")
    assert simulator.command("116", "status") == "clock -3600 s"


def test_nobody_at_the_control_port_is_said() -> None:
    simulator = Simulator(["108"])
    with pytest.raises(SimulatorError, match="no simulator answers"):
        simulator.command("108", "stall")


def test_kill9_and_start_keep_the_address() -> None:
    with Simulator(["108"]) as simulator:
        url, process_id = simulator.url("108"), simulator.process.pid
        simulator.kill9()
        with pytest.raises(av.error.ConnectionRefusedError):
            open_camera(url)
        simulator.start()
        assert simulator.process.pid != process_id
        with open_camera(url) as container:
            assert count(container, 0.3)["video"] > 2


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "simulator", "serve", "--rooms", f"108={port}", "--control-port", "0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--rooms", ""], ["--rooms", "каб"], ["--rooms", "1=x"], ["--user", "u"]]
)
def test_bad_options_end_with_a_sentence(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "serve", "--port", "0", "--control-port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("simulator: ")
    assert "Traceback" not in done.stderr


def test_sigterm_ends_it_cleanly() -> None:
    simulator = Simulator(["108"]).start()
    process = simulator.process
    with open_camera(simulator.url("108")):
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    simulator.close()


def test_it_dies_with_its_parent() -> None:
    code = (
        "import os; from simulator.control import Simulator\n"
        "simulator = Simulator(['108']).start()\n"
        "print(simulator.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    orphan = int(parent.stdout)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(orphan) and psutil.Process(orphan).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {orphan} outlived its parent"
        time.sleep(0.05)
