"""What the units start speaks systemd's protocol, under the units' own rules."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration import unit_sandbox
from tests.integration.test_systemd_units import ROOT, SERVER

READY_WITHIN_S = 60


@contextmanager
def started(
    unit: Path, directory: Path, *command: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """The command under the unit's rules with the given settings, and the socket that systemd would read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(directory / "notify"))
        notifications.settimeout(READY_WITHIN_S)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
        process = subprocess.Popen(
            [sys.executable, unit_sandbox.__file__, str(unit), sys.executable, "-m", "protokol", *command],
            cwd=ROOT,
            env=kept
            | {f"PROTOKOL_{name.upper()}": value for name, value in settings.items()}
            | {
                "PROTOKOL_SETTINGS_FILE": str(directory / "none.toml"),
                "NOTIFY_SOCKET": str(directory / "notify"),
                "WATCHDOG_USEC": "1000000",
            },
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


def wait_for(notifications: socket.socket, state: str) -> None:
    while state not in notifications.recv(4096).decode().splitlines():
        pass


def test_the_server_is_ready_alive_and_leaves_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    command = ("serve", "--host", "127.0.0.1", "--port", "0")
    with started(SERVER, tmp_path, *command, data_dir=str(data)) as (process, notifications):
        wait_for(notifications, "READY=1")
        wait_for(notifications, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        wait_for(notifications, "STOPPING=1")
        _, log = process.communicate(timeout=30)
    # uvicorn ends in order and then by the signal itself; to systemd both are a clean stop.
    assert process.returncode in {0, -signal.SIGTERM}, log
    assert (data / "archive.sqlite").exists()
    assert not re.search("Permission|Operation not permitted|Traceback", log), log
