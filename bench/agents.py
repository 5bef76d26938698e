"""Room agents as processes, as installed, and what they use of the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.council import Council
from recorder.instants import now_us


class AgentProcess:
    """`protokol agent run ROOM` with its data in `directory`, which a later one may take over."""

    def __init__(self, council: Council, room: str, directory: Path, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        key_file = directory / "agent.key"
        if not key_file.exists():
            council.key_file(room, key_file)
        self.directory = directory
        self.log = directory / "agent.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")},
            "PROTOKOL_SETTINGS_FILE": os.devnull,
            "PROTOKOL_DATA_DIR": str(directory),
            "PROTOKOL_AGENT_KEY_FILE": str(key_file),
            **settings,
        }
        command = [sys.executable, "-m", "protokol", "agent", "run", room]
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def parts(self) -> list[Path]:
        """Segments that are being written."""
        return sorted((self.directory / "spool").rglob("*.part"))

    def waits_to_be_shipped(self) -> bool:
        return any((self.directory / "spool").rglob("*.mp4"))

    def kill9(self) -> int:
        """The instant of the kill, UTC microseconds."""
        at_us = now_us()
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        return at_us

    def terminate(self) -> None:
        """A clean stop, within ten seconds."""
        if self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait(10)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


def start_ffmpeg(camera_url: str, directory: Path, name: str = "peer") -> subprocess.Popen[bytes]:
    """The peer: copies a camera to files of 60 s, and nothing else."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", camera_url]
    command += ["-map", "0", "-c", "copy", "-f", "segment", "-segment_time", "60"]
    command += ["-segment_format", "mp4", "-reset_timestamps", "1", str(directory / f"{name}%03d.mp4")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def cpu_s(process: psutil.Process) -> float:
    """From the kernel's CPU clock of the process, to the nanosecond: /proc counts in ticks of 10 ms,
    which is five per cent of what is measured here. clock_getcpuclockid(3) builds the same number.
    Children are not in it.
    """
    scheduler_clock = 2
    return time.clock_gettime((~process.pid << 3) | scheduler_clock)


def rss_mb(process: psutil.Process) -> float:
    """Resident memory in MB (2^20), what is shared with others included."""
    return float(process.memory_info().rss) / 2**20


def helpers(process: psutil.Process) -> list[psutil.Process]:
    """The processes that an agent keeps for its microphone and its health: counted apart."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []
