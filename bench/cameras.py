"""Twenty-four cameras on one host: agents against as many `ffmpeg -c copy -f segment`.

Twice: as in a council, an agent for each room of one camera; and one agent for one room of 24. The
simulator and the two sides share the machine, so their sum must stay well below its cores; it is
reported, and the figures are worth nothing where it does not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.agents import AgentProcess, cpu_s, helpers, rss_mb, start_ffmpeg
from bench.council import Council, camera_room, room_configuration
from recorder.rooms import RoomConfiguration
from simulator.control import Simulator

_CAMERAS = 24
_WARM_UP_S = 5.0
_PATIENCE_S = 300.0
_MEASURE_S = 40.0


@contextmanager
def _running(council: Council, directory: Path) -> Iterator[list[AgentProcess]]:
    agents = [AgentProcess(council, room, directory / room) for room in council.rooms]
    try:
        yield agents
        for agent in agents:
            agent.terminate()
    finally:
        for agent in agents:
            agent.close()


def _measured(
    simulator: Simulator, configurations: list[RoomConfiguration], directory: Path
) -> dict[str, Any]:
    """Memory is what all processes hold together, shared pages counted once for each (`rss`) or by
    their share (`pss`).
    """
    with ExitStack() as stack:
        council = stack.enter_context(Council(configurations))
        agents = stack.enter_context(_running(council, directory))
        peers = [start_ffmpeg(simulator.url(room), directory, room) for room in simulator.rooms]
        try:
            _until_all_record(council)
            time.sleep(_WARM_UP_S)
            own = [psutil.Process(agent.popen.pid) for agent in agents]
            own += [child for process in own for child in helpers(process)]
            sides = {"agents": own, "ffmpeg": [psutil.Process(peer.pid) for peer in peers]}
            sides["simulator"] = [psutil.Process(simulator.process.pid)]
            before = {name: sum(map(cpu_s, side)) for name, side in sides.items()}
            time.sleep(_MEASURE_S)
            used = {name: sum(map(cpu_s, side)) - before[name] for name, side in sides.items()}
            return {
                "agents": len(agents),
                "recording": _recording(council),
                "cpu_ratio": round(used["agents"] / used["ffmpeg"], 3),
                **{f"{name}_cpu_percent": round(100 * s / _MEASURE_S, 1) for name, s in used.items()},
                "rss_mb": round(sum(map(rss_mb, sides["agents"]))),
                "ffmpeg_rss_mb": round(sum(map(rss_mb, sides["ffmpeg"]))),
                "pss_mb": round(sum(map(_pss_mb, sides["agents"]))),
                "ffmpeg_pss_mb": round(sum(map(_pss_mb, sides["ffmpeg"]))),
            }
        finally:
            for peer in peers:
                peer.terminate()
                peer.wait(10)


def _recording(council: Council) -> int:
    """Sources that record, as the last heartbeats say."""
    return sum(
        source["state"] == "recording"
        for room in council.rooms.values()
        for beat in room.heartbeats[-1:]
        for source in beat["sources"].values()
    )


def _until_all_record(council: Council) -> None:
    until = time.monotonic() + _PATIENCE_S
    while _recording(council) < _CAMERAS:
        if time.monotonic() > until:
            raise TimeoutError(f"{_recording(council)} of {_CAMERAS} cameras are recorded")
        time.sleep(0.5)


def _pss_mb(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 2**20


def run() -> dict[str, Any]:
    """720p25 of 1.8 Mbit/s with AAC: what a simulator in one process can serve twice over."""
    rooms = tuple(f"{number}" for number in range(201, 201 + _CAMERAS))
    with Simulator(rooms, audio="aac") as simulator, tempfile.TemporaryDirectory() as name:
        apart = [camera_room(room, simulator.url(room)) for room in rooms]
        cameras = [{"name": f"c{room}", "url": simulator.url(room)} for room in rooms]
        together = [room_configuration("200", cameras)]
        return {
            "cameras": _CAMERAS,
            "one_agent_each": _measured(simulator, apart, Path(name) / "apart"),
            "one_agent_for_all": _measured(simulator, together, Path(name) / "together"),
            "measured_s": _MEASURE_S,
        }
