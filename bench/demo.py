"""What `protokol demo` needs: CPU of its parts, and how long until the first clip can be watched.

Seven simulated 720p25 rooms with G.711 sound, recorded by seven agents into one server on this
machine. Figures are fractions of one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from simulator.control import free_ports

_MEASURE_S = 60.0
_PATIENCE_S = 180.0


def _environment(data: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    lines = (data / "demo.env").read_text("utf-8").splitlines()
    return {**inherited, **dict(line.split("=", 1) for line in lines)}


def _first_segment(data: Path, deadline: float) -> None:
    """Returns when the archive has a segment of some room: from then on a clip of it can be watched."""
    today = datetime.now(UTC)
    span = ("--from", f"{today.year}-01-01T00:00:00Z", "--to", f"{today.year + 1}-01-02T00:00:00Z")
    command = [sys.executable, "-m", "protokol", "archive", "search", "--room", "108", *span, "--json"]
    while time.monotonic() < deadline:
        if (data / "demo.env").exists():
            done = subprocess.run(
                command, env=_environment(data), capture_output=True, text=True, check=False
            )
            if done.stdout and json.loads(done.stdout)["segments"]:
                return
        time.sleep(1)
    raise TimeoutError(f"no segment within {_PATIENCE_S} s")


def _parts(demo: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The demo's processes by what they do."""
    parts: dict[str, list[psutil.Process]] = {"agents": [], "server": [], "simulator": []}
    for process in demo.children(recursive=True):
        words = process.cmdline()
        for name, word in (("agents", "agent"), ("server", "serve"), ("simulator", "simulator")):
            if word in words and not (name == "server" and "simulator" in words):
                parts[name].append(process)
                break
    return parts


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def run() -> dict[str, Any]:
    """`*_core`: fraction of one core over `measured_s`; `first_clip_s` from the command on."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "demo"
        started = time.monotonic()
        [port] = free_ports(1)
        command = [sys.executable, "-m", "protokol", "demo", "--data", str(data), "--port", str(port)]
        demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _first_segment(data, started + _PATIENCE_S)
            first_clip_s = time.monotonic() - started
            parts = _parts(psutil.Process(demo.pid))
            before = {part: _cpu_s(processes) for part, processes in parts.items()}
            time.sleep(_MEASURE_S)
            used = {part: _cpu_s(processes) - before[part] for part, processes in parts.items()}
            rss_mb = max(process.memory_info().rss for process in parts["agents"]) / 2**20
        finally:
            demo.terminate()
            demo.wait(30)
    return {
        "rooms": len(parts["agents"]),
        "first_clip_s": round(first_clip_s, 1),
        **{f"{part}_core": round(seconds / _MEASURE_S, 3) for part, seconds in used.items()},
        "agent_rss_mb": round(rss_mb, 1),
        "measured_s": _MEASURE_S,
    }
