"""A room given as `onvif: host`, recorded by the real agent from a simulated camera; and its commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recorder.capture.camera import CameraError
from recorder.capture.onvif_address import OnvifAddress
from simulator.control import Simulator, free_ports
from simulator.onvif import OnvifDevice, OnvifFaults
from simulator.onvif_messages import Stream
from tests.integration.agent_rig import AgentProcess, assert_contiguous, decode, running_agent
from tests.integration.ingest_double import IngestDouble, configuration

USER, PASSWORD = "viewer", "s3cretPassw0rd"
STREAMS = (Stream("main", 1280, 720, gop_frames=250), Stream("sub", 640, 360))


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",), user=USER, password=PASSWORD) as simulator:
        yield simulator


@pytest.fixture
def device(camera):
    """Off at first; its clock is an hour ahead, and it believes to be somewhere else."""
    faults = OnvifFaults(clock_offset_s=3600, own_host="192.0.2.64")
    [port] = free_ports(1)
    device = OnvifDevice(
        camera.url("108"), user=USER, password=PASSWORD, port=port, streams=STREAMS, faults=faults
    )
    yield device
    device.close()


@pytest.fixture
def secrets(tmp_path):
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "cam-108").write_text(f"{USER}:{PASSWORD}\n")
    return directory


def room(device):
    cameras = [{"name": "main", "onvif": device.address, "credentials": "cam-108"}]
    return configuration("rtsp://unused/", cameras=cameras)


def test_a_room_by_onvif_is_recorded_once_its_camera_is_there(device, secrets, tmp_path, capfd):
    with (
        IngestDouble(tmp_path, room(device)) as ingest,
        running_agent(ingest, tmp_path / "spool", secrets=secrets) as agent,
    ):
        address = agent._sources["main"].hardware.address
        ingest.wait_for(
            lambda: ingest.heartbeats and ingest.heartbeats[-1]["cause"] == "camera_unreachable",
            what="the camera is away",
        )
        assert address.clock_error_ms is None
        device.start()
        ingest.wait_for(lambda: len(ingest.segments) >= 2, what="two segments")
        assert address.clock_error_ms == pytest.approx(3_600_000, abs=5_000)
        told = lambda: ingest.heartbeats[-1]["sources"]["main"]["clock_error_ms"]  # noqa: E731
        ingest.wait_for(lambda: told() == address.clock_error_ms, what="the heartbeat tells it")
    assert device.asked.count("GetProfiles") == 1
    assert device.streams[0].gop_frames == 50
    ingest.check_chain()
    ingest.check_covered()
    assert_contiguous([number for path in ingest.files() for number in decode(path).numbers][:50])
    out, err = capfd.readouterr()
    assert "camera tells its stream" in out + err
    assert PASSWORD not in out + err
    assert not [r for r in ingest.received if PASSWORD in r.signed.manifest.model_dump_json()]
    assert PASSWORD not in json.dumps(ingest.heartbeats)


def test_the_agent_does_not_carry_what_speaks_onvif(device, secrets, tmp_path):
    device.start()
    with IngestDouble(tmp_path, room(device)) as ingest:
        agent = AgentProcess(ingest, tmp_path, PROTOKOL_CAMERA_SECRETS_DIR=str(secrets))
        try:
            ingest.wait_for(
                lambda: ingest.heartbeats and ingest.heartbeats[-1]["state"] == "recording",
                what="recording",
            )
            loaded = Path(f"/proc/{agent.popen.pid}/maps").read_text()
            rss_mb = psutil.Process(agent.popen.pid).memory_info().rss / 2**20
            children = [child.cmdline() for child in psutil.Process(agent.popen.pid).children()]
            agent.terminate()
        finally:
            agent.close()
    assert "/lxml/" not in loaded
    assert not [command for command in children if any("onvif" in word for word in command)]
    assert rss_mb <= 100
    assert "camera keeps its long GOP" not in agent.said()
    assert "stream=rtsp://127.0.0.1" in agent.said()
    assert PASSWORD not in agent.said()


def test_a_stream_that_is_known_is_opened_without_asking_and_without_the_device(device):
    device.start()
    address = OnvifAddress(device.address, f"{USER}:{PASSWORD}")
    address.open().close()
    device.close()
    address.open().close()
    assert device.asked.count("GetProfiles") == 1
    assert address.facts() | {"clock_error_ms": 0, "clock_uncertainty_ms": 0} == {
        "model": "Room camera",
        "clock_error_ms": 0,
        "clock_uncertainty_ms": 0,
        "profile": "main",
        "why": "the largest picture up to 1920x1080 (2 of 2 usable)",
        "stream": f"rtsp://127.0.0.1:{address.facts()['stream'].split(':')[2]}",
        "configured_gop_frames": 50,
    }


def test_a_wrong_password_is_asked_once_and_reported_as_refused(device):
    device.start()
    address = OnvifAddress(device.address, f"{USER}:wr0ng")
    for _ in range(2):
        with pytest.raises(CameraError, match="refuses the user or the password by ONVIF") as told:
            address.open()
        assert told.value.refused
        assert "wr0ng" not in str(told.value)
    assert device.asked.count("GetDeviceInformation") == 1


def protokol(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    return subprocess.run(
        [sys.executable, "-m", "protokol", *arguments],
        env={**environment, "PROTOKOL_SETTINGS_FILE": os.devnull, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_probe_shows_the_profile_and_the_cameras_clock(device, secrets, tmp_path):
    device.start()
    with IngestDouble(tmp_path, room(device)) as ingest:
        ingest.agent_key().write(tmp_path / "agent.key")
    done = protokol(
        *("agent", "probe", "108", "--json"),
        PROTOKOL_AGENT_KEY_FILE=str(tmp_path / "agent.key"),
        PROTOKOL_CAMERA_SECRETS_DIR=str(secrets),
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)["cameras"]["main"]
    assert seen["url"] == f"onvif {device.address}"
    assert (seen["model"], seen["profile"], seen["configured_gop_frames"]) == ("Room camera", "main", 50)
    assert seen["clock_error_ms"] == pytest.approx(3_600_000, abs=5_000)
    assert (seen["width"], seen["height"]) == (1280, 720)
    assert PASSWORD not in done.stdout + done.stderr


def test_discover_asks_the_hosts_it_is_told(device, secrets):
    device.start()
    [nobody] = free_ports(1)
    hosts = ("--host", device.address, "--host", f"127.0.0.1:{nobody}")
    done = protokol("rooms", "discover", *hosts, "--credentials", str(secrets / "cam-108"), "--json")
    assert done.returncode == 0, done.stderr
    found, absent = json.loads(done.stdout)["cameras"]
    assert (found["host"], found["model"], found["needs_password"]) == (device.address, "Room camera", False)
    assert found["chosen"]["token"] == "main"
    assert [profile["gop_frames"] for profile in found["profiles"]] == [250, 25]
    assert device.streams == STREAMS  # looked at, not changed
    assert found["clock_error_ms"] == pytest.approx(3_600_000, abs=5_000)
    assert (absent["found"], absent["model"]) == (False, None)
    assert PASSWORD not in done.stdout + done.stderr

    done = protokol("rooms", "discover", "--host", device.address)
    assert done.returncode == 0
    assert "model and streams need a user and a password: --credentials FILE" in done.stdout
    done = protokol("rooms", "discover", "--host", f"127.0.0.1:{nobody}")
    assert done.returncode == 1
    assert "does not answer by ONVIF" in done.stdout


def test_discover_tells_what_is_wrong_with_its_arguments(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("only-a-password\n")
    for arguments, words in (
        (("--host", "http://cam/"), "is no host"),
        (("--credentials", str(secret)), "user:password"),
        (("--credentials", str(tmp_path / "none")), "cannot be read: No such file"),
    ):
        done = protokol("rooms", "discover", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert "only-a-password" not in done.stderr


# A camera and who looks for it, in a network of their own: an interface, since loopback is left out.
_NETWORK = """
set -e
ip link set lo up
ip link add cameras type veth peer name other
ip address add 10.77.0.2/24 dev cameras
ip link set cameras up
ip link set other up
"$PYTHON" -m protokol rooms discover --timeout 0.5 --json || echo "exit $?"
coproc "$PYTHON" -m simulator onvif rtsp://10.77.0.2:8554/108 --address 10.77.0.2 --port 0 --discoverable
read -r ready <&"${COPROC[0]}"
"$PYTHON" -m protokol rooms discover --timeout 1 --json --credentials "$SECRET" || echo "exit $?"
kill "$COPROC_PID"
"""


@pytest.mark.root
def test_discover_finds_a_camera_of_the_network(tmp_path):
    alone = ["unshare", "--net", "--kill-child"]
    possible = "ip link add cameras type veth peer name other"
    if (
        not shutil.which("ip")
        or subprocess.run([*alone, "sh", "-c", possible], capture_output=True, check=False).returncode
    ):
        pytest.skip("network namespaces need root and iproute2")
    secret = tmp_path / "secret"
    secret.write_text("viewer:\n")
    done = subprocess.run(
        [*alone, "bash", "-c", _NETWORK],
        env={**os.environ, "PYTHON": sys.executable, "SECRET": str(secret)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    nothing, nothing_code, something = done.stdout.splitlines()
    assert (json.loads(nothing), nothing_code) == ({"cameras": []}, "exit 1")
    [camera] = json.loads(something)["cameras"]
    assert camera["host"].startswith("10.77.0.2:")
    assert (camera["name"], camera["hardware"], camera["model"]) == ("Room camera", "sim", "Room camera")
    assert camera["profiles"][0]["uri"] == "rtsp://10.77.0.2:8554/108"
