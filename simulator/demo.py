"""`protokol demo`: the whole product on one machine, with simulated rooms.

Starts what a council would run as services, by the same commands: a camera simulator, the council
server (with retention inside), one agent a room. Nothing here reaches into the product: it calls
the commands that docs/setup.uk.md calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from recorder.die_with_parent import die_with_parent
from recorder.errors import ProtokolError
from recorder.rooms import RoomsFile, parse_rooms, shipped_rooms_text
from simulator.control import free_ports

_START_TIMEOUT_S = 60.0
# An agent must be done within 5 s of SIGTERM; the server then finishes what they sent last.
_STOP_TIMEOUT_S = 12.0
_STAFF = {"operator": "operator", "auditor": "auditor", "clerk": "clerk"}


class DemoError(ProtokolError):
    """A part of the demo did not start; the message names its log."""


@dataclass
class _Demo:
    data_dir: Path
    port: int
    rooms: RoomsFile
    room_ids: list[str]
    control_port: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    stopping: bool = False

    # --- environment ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PROTOKOL_DATA_DIR": str(self.data_dir),
            "PROTOKOL_ROOMS_FILE": str(self.data_dir / "rooms.yaml"),
            "PROTOKOL_SERVER_URL": self.url,
            "PROTOKOL_PUBLIC_URL": self.url,
            "PROTOKOL_LISTEN_PORT": str(self.port),
            "PROTOKOL_SECURE_COOKIES": "false",
            "PROTOKOL_DEMO": "true",
        }

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PROTOKOL_")}
        # No settings file of this machine may leak into a demo.
        return {**inherited, **self.settings, "PROTOKOL_SETTINGS_FILE": os.devnull, **more}

    def write_environment(self) -> Path:
        path = self.data_dir / "demo.env"
        settings = {**self.settings, "PROTOKOL_SETTINGS_FILE": os.devnull}
        path.write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()), "utf-8")
        return path

    # --- processes -----------------------------------------------------------------------------

    def log_of(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                [*_command(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(**environment),
                # Ctrl-C reaches this process alone: it stops the others in order.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (the demo has one thread)
            )
        self.running[name] = process
        return process

    def call(self, *arguments: str) -> str:
        """Run a command to its end; its stdout. Raises DemoError with what it said."""
        done = subprocess.run(
            [*_command(), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            check=False,
        )
        if done.returncode:
            raise DemoError(f"`protokol {' '.join(arguments)}` failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def stop(self) -> None:
        """Agents first, so that their last segments still arrive; then the server, then the cameras."""
        self.stopping = True
        agents = [name for name in self.running if name.startswith("agent-")]
        for names in (agents, ["server"], ["simulator"]):
            group = [self.running[name] for name in names if name in self.running]
            for process in group:
                if process.poll() is None:
                    process.terminate()
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            for process in group:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    # --- the parts -----------------------------------------------------------------------------

    def start_simulator(self) -> dict[str, int]:
        """Room → port of its camera; each has its own, so that one can be killed alone."""
        self.control_port, *ports = free_ports(1 + len(self.room_ids))
        cameras = dict(zip(self.room_ids, ports, strict=True))
        process = self.start(
            "simulator",
            "simulator",
            "serve",
            f"--rooms={','.join(f'{room}={port}' for room, port in cameras.items())}",
            f"--control-port={self.control_port}",
            "--die-with-parent",
        )

        def ready() -> bool:
            return all(_accepts(port) for port in ports)

        _wait_for(ready, process, "the camera simulator", self.log_of("simulator"))
        return cameras

    def start_server(self) -> None:
        process = self.start("server", "serve", "--port", str(self.port))
        _wait_for(lambda: _answers(self.url + "/readyz"), process, "the server", self.log_of("server"))

    def staff(self) -> dict[str, str]:
        """Name → password; made once, kept readable by the owner alone, so that a restart prints them too."""
        path = self.data_dir / "logins.json"
        if path.exists():
            return dict(json.loads(path.read_text("utf-8")))
        logins = {}
        for name, role in _STAFF.items():
            logins[name] = self.call("user", "add", name, "--role", role).split()[-1]
        path.touch(0o600)
        path.write_text(json.dumps(logins), "utf-8")
        return logins

    def start_agent(self, room_id: str) -> None:
        key = self.data_dir / "agents" / f"{room_id}.key"
        if key.exists() and json.loads(key.read_text("utf-8")).get("server_url") != self.url:
            key.unlink()
        if not key.exists():
            self.call("agent", "enroll", room_id, "-o", str(key))
        self.start(f"agent-{room_id}", "agent", "run", room_id, PROTOKOL_AGENT_KEY_FILE=str(key))

    def watch(self) -> None:
        """Until stopped: an agent that died is started again, as systemd would; the rest ends the demo."""
        while not self.stopping:
            time.sleep(0.5)
            for name, process in list(self.running.items()):
                if self.stopping or process.poll() is None:
                    continue
                if not name.startswith("agent-"):
                    raise DemoError(f"{name} ended with {process.returncode}; see {self.log_of(name)}")
                click.echo(f"{name} ended with {process.returncode}; started again", err=True)
                self.start_agent(name.removeprefix("agent-"))


def _command() -> list[str]:
    return [sys.executable, "-m", "protokol"]


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=1):  # noqa: S310 (our own loopback address)
        return True
    return False


def _wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if process.poll() is not None:
            raise DemoError(f"{what} ended with {process.returncode}; see {log}")
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not start within {_START_TIMEOUT_S:.0f} s; see {log}")
        time.sleep(0.1)


def _rooms_text(rooms: RoomsFile, cameras: dict[str, int]) -> str:
    """The shipped rooms with simulated cameras, recording around the clock."""
    council = rooms.council
    names = f"{{uk: {council.name.uk}, en: {council.name.en}}}"
    lines = [
        "# Written by `protokol demo`: the shipped rooms, with simulated cameras, around the clock.",
        f"council: {{name: {names}, timezone: {council.timezone}}}",
        "retention: {months: 1}",
        "hours:",
        '  mon-sun: ["00:00-24:00"]',
        "rooms:",
    ]
    for room_id, port in cameras.items():
        room = rooms.room(room_id)
        lines += [
            f'  - id: "{room.id}"',
            f'    label: "{room.label}"',
            *([f"    floor: {room.floor}"] if room.floor is not None else []),
            f'    cameras: [{{name: main, url: "rtsp://127.0.0.1:{port}/{room.id}"}}]',
        ]
    return "\n".join(lines) + "\n"


def _print_welcome(demo: _Demo, logins: dict[str, str], environment: Path) -> None:
    first = demo.room_ids[0]
    rows = "\n".join(f"    {name:10} {password}" for name, password in logins.items())
    click.echo(
        f"""
  Protokol records {len(demo.room_ids)} simulated rooms: {", ".join(demo.room_ids)}

  Residents   {demo.url}/
  Staff       {demo.url}/staff
  Log-ins (name, password):
{rows}

  Three things to try
  1. Log in as operator and open room {first}'s day; the first minute is there within 90 s:
       {demo.url}/staff/rooms/{first}/day
  2. Ask for a recording as a resident would, then find the request in the operator's queue:
       {demo.url}/request
  3. In another terminal, break a camera and watch the board:
       set -a; . {shlex.quote(str(environment))}; set +a
       .venv/bin/protokol simulator command --control-port {demo.control_port} {first} kill
       … and `start` in place of `kill` to mend it;
       .venv/bin/protokol archive search --room {first} --date $(date +%F)

  Logs: {demo.data_dir / "logs"}        Ctrl-C stops everything.
"""
    )


@click.command()
@click.option("--port", default=8000, show_default=True, help="where the pages are")
@click.option("--data", "data_dir", default="var/demo", show_default=True, type=click.Path(path_type=Path))
@click.option("--rooms", "room_list", help="ids, comma-separated; default: all that are shipped")
def demo(port: int, data_dir: Path, room_list: str | None) -> None:
    """Simulated rooms, agents, server and retention, all at once. Ctrl-C stops all of it."""
    rooms = parse_rooms(shipped_rooms_text())
    wanted = room_list.split(",") if room_list else [room.id for room in rooms.rooms]
    room_ids = [rooms.room(name.strip()).id for name in wanted]
    if _accepts(port):
        raise DemoError(f"port {port} is in use; choose another one with --port")
    data_dir = data_dir.resolve()
    for directory in (data_dir / "logs", data_dir / "agents"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    running = _Demo(data_dir, port, rooms, room_ids)
    environment = running.write_environment()

    def stop(signal_number: int, frame: object) -> None:
        del signal_number, frame
        raise KeyboardInterrupt

    # SIGINT too: a shell that puts the demo into the background has it ignored.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        cameras = running.start_simulator()
        (data_dir / "rooms.yaml").write_text(_rooms_text(rooms, cameras), "utf-8")
        running.start_server()
        for room_id in room_ids:
            running.start_agent(room_id)
        logins = running.staff()
        _print_welcome(running, logins, environment)
        running.watch()
    except KeyboardInterrupt:
        click.echo("stopping …", err=True)
    finally:
        # A second Ctrl-C must not leave processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        running.stop()
