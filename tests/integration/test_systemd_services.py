"""What the units start speaks systemd's protocol, under the units' own rules."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.master_key import make_master_key
from recorder.rooms import shipped_rooms_text
from tests.integration import unit_sandbox
from tests.integration.test_systemd_units import AGENT, ROOT, SERVER

READY_WITHIN_S = 60
CLEAN_STOP_S = 5
Service = tuple[subprocess.Popen[str], socket.socket]


def environment(directory: Path, settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    ours = {f"PROTOKOL_{name.upper()}": value for name, value in settings.items()}
    return kept | ours | {"PROTOKOL_SETTINGS_FILE": str(directory / "none.toml")}


def run_protokol(directory: Path, command: list[str], settings: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protokol", *command],
        cwd=ROOT,
        env=environment(directory, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def started(unit: Path, directory: Path, *command: str, **settings: str) -> Iterator[Service]:
    """The command under the unit's rules with the given settings, and the socket that systemd would read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(directory / "notify"))
        notifications.settimeout(0.5)
        process = subprocess.Popen(
            [sys.executable, unit_sandbox.__file__, str(unit), sys.executable, "-m", "protokol", *command],
            cwd=ROOT,
            env=environment(directory, settings)
            | {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": "1000000"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process, notifications
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_for(service: Service, state: str) -> None:
    """Fails at once, with what it said, when the service has ended meanwhile."""
    process, notifications = service
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if state in notifications.recv(4096).decode().splitlines():
                return
        except TimeoutError:
            if process.poll() is not None:
                break
    process.kill()
    pytest.fail(f"no {state} from the service: {process.communicate()[1]}")


def test_the_server_is_ready_alive_and_leaves_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    command = ("serve", "--host", "127.0.0.1", "--port", "0")
    make_master_key(tmp_path / "master.key")
    settings = {"data_dir": str(data), "master_key_file": str(tmp_path / "master.key")}
    with started(SERVER, tmp_path, *command, **settings) as service:
        wait_for(service, "READY=1")
        wait_for(service, "WATCHDOG=1")
        process, _ = service
        process.send_signal(signal.SIGTERM)
        wait_for(service, "STOPPING=1")
        _, log = process.communicate(timeout=30)
    # uvicorn ends in order and then by the signal itself; to systemd both are a clean stop.
    assert process.returncode in {0, -signal.SIGTERM}, log
    assert (data / "archive.sqlite").exists()
    assert not re.search("Permission|Operation not permitted|Traceback", log), log


def test_the_agent_is_ready_alive_and_leaves_in_order(tmp_path: Path) -> None:
    """With neither its camera nor the server within reach, as after a power cut."""
    secrets, key, rooms = tmp_path / "cameras", tmp_path / "108.key", tmp_path / "rooms.yaml"
    secrets.mkdir()
    (secrets / "cam-108").write_text("viewer:password\n")
    rooms.write_text(shipped_rooms_text().replace("cam-108.rooms.internal", "127.0.0.1:9"))
    make_master_key(tmp_path / "master.key")
    server = {
        "data_dir": str(tmp_path),
        "master_key_file": str(tmp_path / "master.key"),
        "rooms_file": str(rooms),
        "server_url": "http://127.0.0.1:9",
    }
    for command in (["archive", "migrate"], ["agent", "enroll", "108", "-o", str(key)]):
        run_protokol(tmp_path, command, server)
    settings = {
        "data_dir": str(tmp_path / "agent"),
        "agent_key_file": str(key),
        "camera_secrets_dir": str(secrets),
    }
    with started(AGENT, tmp_path, "agent", "run", "108", **settings) as service:
        wait_for(service, "READY=1")
        wait_for(service, "WATCHDOG=1")
        process, _ = service
        process.send_signal(signal.SIGTERM)
        wait_for(service, "STOPPING=1")
        _, log = process.communicate(timeout=CLEAN_STOP_S)
    assert process.returncode == 0, log
    assert not re.search("Operation not permitted|Traceback", log), log
