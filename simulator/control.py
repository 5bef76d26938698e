"""The simulator as tests, benchmarks and the demo use it: a process, started and commanded."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.errors import ProtokolError
from simulator.faults import CommandError

_LOOPBACK = "127.0.0.1"
_READY = "READY"
# The first start on a machine encodes the loop; a 1080p one takes some 15 s of a core, twice that if shared.
_READY_TIMEOUT_S = 120.0
_COMMAND_TIMEOUT_S = 120.0
_CLOSE_TIMEOUT_S = 5.0


class SimulatorError(ProtokolError):
    """The simulator did not start, or is gone."""


def command(control_port: int, room: str, *words: str) -> str:
    """Have a running simulator obey; the answer after `ok`, once the fault is in force.

    Raises CommandError when it refuses, SimulatorError when nobody answers at the port.
    """
    try:
        with socket.create_connection((_LOOPBACK, control_port), timeout=_COMMAND_TIMEOUT_S) as connection:
            connection.sendall((" ".join((room, *words)) + "\n").encode())
            answer = connection.makefile("r", encoding="utf-8").readline().strip()
    except OSError as error:
        raise SimulatorError(f"no simulator answers at control port {control_port}: {error}") from error
    if not (answer == "ok" or answer.startswith("ok ")):
        raise CommandError(answer.removeprefix("error: ") or "the simulator ended before it answered")
    return answer[3:]


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that were free a moment ago."""
    listeners = [socket.create_server((_LOOPBACK, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Simulator:
    """Simulated cameras in a process of their own; a context manager that starts and closes it.

    Ports are chosen at once and kept: `url` is true before `start`, and after `kill9` and `start` again.
    The process ends with the thread that started it, however that ends.
    """

    def __init__(
        self,
        rooms: Sequence[str] = ("108",),
        *,
        audio: str = "alaw",
        audio_rate: int = 0,
        video_codec: str = "h264",
        size: str = "1280x720",
        bitrate_kbps: int = 1800,
        gop_frames: int = 25,
        b_frames: int = 0,
        open_gop: bool = False,
        loop_s: int = 60,
        formats: Mapping[str, str] | None = None,
        user: str | None = None,
        password: str | None = None,
        unset_clock: bool = False,
        media_dir: Path | None = None,
    ) -> None:
        """`audio`: a simulator.audio.AudioCodec, `audio_rate` 0 its usual rate; `video_codec`: h264 or h265.
        `formats`: what single rooms send instead, as in {"116": "video-codec=h265,audio=opus"} by the names
        of simulator.formats.KEYS. `user`, `password`: what every camera asks for (digest).

        `unset_clock`: cameras think that it was 1970 when they started. `media_dir`: where encoded loops are
        kept; by default a cache of this user's that all simulators share.
        """
        self.user, self.password = user, password
        *ports, self.control_port = free_ports(len(rooms) + 1)
        self._ports = dict(zip(rooms, ports, strict=True))
        self._arguments = [
            *("--rooms", ",".join(f"{room}={port}" for room, port in self._ports.items())),
            *("--control-port", str(self.control_port)),
            *("--audio", audio, "--audio-rate", str(audio_rate), "--video-codec", video_codec),
            *("--size", size, "--bitrate", str(bitrate_kbps)),
            *("--gop", str(gop_frames), "--b-frames", str(b_frames), "--loop", str(loop_s)),
            *(("--open-gop",) if open_gop else ()),
            *(word for room, what in (formats or {}).items() for word in ("--format", f"{room}:{what}")),
            *(("--user", user) if user is not None else ()),
            *(("--unset-clock",) if unset_clock else ()),
            *(("--media-dir", str(media_dir)) if media_dir is not None else ()),
            "--die-with-parent",
        ]
        self._process: subprocess.Popen[str] | None = None

    @property
    def rooms(self) -> list[str]:
        return list(self._ports)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process; raises SimulatorError when there is none."""
        if self._process is None:
            raise SimulatorError("the simulator is not running; call start()")
        return self._process

    def url(self, room: str, *, password: str | None = None) -> str:
        """The camera's RTSP address with its user and password; with another password if one is given."""
        login = "" if self.user is None else f"{self.user}:{password or self.password}@"
        return f"rtsp://{login}{_LOOPBACK}:{self._ports[room]}/{room}"

    def start(self) -> Self:
        """Returns when every camera listens. Raises SimulatorError with what the process said."""
        if self._process is not None:
            raise SimulatorError("the simulator is already running")
        environment = dict(os.environ)
        if self.password is not None:
            environment["PROTOKOL_SIMULATOR_PASSWORD"] = self.password
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "serve", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._process = process
        deadline = threading.Timer(_READY_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            line = process.stdout.readline() if process.stdout else ""
        finally:
            deadline.cancel()
        if not line.startswith(_READY):
            self.close()
            raise SimulatorError("the simulator did not start; what it said stands above")
        served = json.loads(line.removeprefix(_READY))["rooms"]
        if set(served) != set(self._ports):
            self.close()
            raise SimulatorError(f"the simulator serves {sorted(served)} instead of {self.rooms}")
        return self

    def command(self, room: str, *words: str) -> str:
        """`command("108", "stall")`, `("108", "drop", "audio")`, `("all", "kill")`…; see simulator.faults.

        Returns when the fault is in force. Raises CommandError, SimulatorError.
        """
        return command(self.control_port, room, *(part for word in words for part in word.split()))

    def kill9(self) -> None:
        """End all cameras at once, as a power cut would; `start` brings them back at the same addresses."""
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        """End the process, if it runs; idempotent."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        process, self._process = self.process, None
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
