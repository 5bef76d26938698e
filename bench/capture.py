"""CPU of the room agent against `ffmpeg -c copy -f segment` on the same camera at the same time.

The agent hashes, signs, syncs to disk, ships and sends heartbeats; FFmpeg only writes files. Both
read one simulated camera of 1080p25, 4 Mbit/s, AAC, side by side, so that what else the machine
does weighs on both alike.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.agents import AgentProcess, cpu_s, helpers, rss_mb, start_ffmpeg
from bench.council import Council, Room, camera_room
from recorder.instants import now_us
from simulator.control import Simulator

_WARM_UP_S = 6.0
_MEASURE_S = 60.0
# Not in step with the camera's keyframes, which come each second.
_AWAY_S = (1.5, 3.0)
_BACK_S = 5.0
_REOPENINGS = 5
_ROOM = "108"


def _away_and_back(simulator: Simulator) -> int:
    """The instant of the camera's return, UTC microseconds."""
    simulator.command(_ROOM, "kill")
    time.sleep(random.uniform(*_AWAY_S))
    simulator.command(_ROOM, "start")
    back_us = now_us()
    time.sleep(_BACK_S)
    return back_us


def _recorded_again_s(seen: Room, since_us: int) -> float | None:
    """From an instant to the first picture recorded after it, as the agent's manifests say."""
    starts = [segment.start_us for segment in seen.segments if segment.start_us > since_us]
    return round((min(starts) - since_us) / 1e6, 2) if starts else None


def run() -> dict[str, Any]:
    """cpu_ratio is agent / FFmpeg; CPU in per cent of one core, memory in MB (2^20).

    `helpers_*`: the agent's child processes (microphone, health), not in the ratio. `open_s`: from the
    agent's start to the first picture recorded. `reopen_s`: median of `reopens_s`, from the camera's
    return to the first picture recorded of it.
    """
    camera = Simulator((_ROOM,), audio="aac", size="1920x1080", bitrate_kbps=4000)
    with camera as simulator, tempfile.TemporaryDirectory() as name:
        directory, url = Path(name), simulator.url(_ROOM)
        with Council([camera_room(_ROOM, url)]) as council:
            seen, started_us = council.rooms[_ROOM], now_us()
            agent = AgentProcess(council, _ROOM, directory)
            peer = start_ffmpeg(url, directory)
            try:
                figures = _side_by_side(agent, peer)
                returns_us = [_away_and_back(simulator) for _ in range(_REOPENINGS)]
                agent.terminate()
            finally:
                agent.close()
                peer.kill()
                peer.wait()
            reopens_s = [_recorded_again_s(seen, each) for each in returns_us]
            return {
                **figures,
                "reopen_s": statistics.median([each for each in reopens_s if each is not None]),
                "reopens_s": reopens_s,
                "open_s": _recorded_again_s(seen, started_us),
                "segments": len(seen.segments),
                "measured_s": _MEASURE_S,
            }


def _side_by_side(agent: AgentProcess, peer: subprocess.Popen[bytes]) -> dict[str, Any]:
    own, other = psutil.Process(agent.popen.pid), psutil.Process(peer.pid)
    time.sleep(_WARM_UP_S)
    children = helpers(own)
    watched = (own, other, *children)
    before = [cpu_s(process) for process in watched]
    time.sleep(_MEASURE_S)
    agent_s, peer_s, *children_s = (cpu_s(p) - b for p, b in zip(watched, before, strict=True))
    figures = {
        "cpu_ratio": round(agent_s / peer_s, 3),
        "agent_cpu_percent": round(100 * agent_s / _MEASURE_S, 2),
        "ffmpeg_cpu_percent": round(100 * peer_s / _MEASURE_S, 2),
        "rss_mb": round(rss_mb(own), 1),
        "ffmpeg_rss_mb": round(rss_mb(other), 1),
        "helpers": len(children),
        "helpers_cpu_percent": round(100 * sum(children_s) / _MEASURE_S, 2),
        "helpers_rss_mb": round(sum(map(rss_mb, children)), 1),
    }
    peer.terminate()
    peer.wait(10)
    return figures
