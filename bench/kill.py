"""What `kill -9` costs: real agents, killed at random moments while they record simulated cameras.

The loss of a kill is the time from the capture of the last picture that was kept, as its bar code
tells, to the instant of the kill. Several agents die side by side, each again and again on its own spool.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from bench.agents import AgentProcess
from bench.council import Council, Room, camera_room
from recorder.manifest import SegmentManifest
from simulator.control import Simulator
from simulator.picture import capture_time_us, read_frame_number

_KILLS = 100
_ROOMS = ("201", "202")
_LOOP_S, _FPS = 60, 25
# From the first footage on, so that kills fall on every moment between two writes.
_LIVES_S = (0.5, 4.0)
_PATIENCE_S = 60.0
_FOOTAGE_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Loss:
    """One kill. `caused`: the account says `lost_in_crash` from the last picture on to past the kill."""

    killed_us: int
    lost_us: int
    caused: bool


def _until_it_records(agent: AgentProcess, left_behind: set[Path]) -> None:
    """Returns when footage is on disk, apart from what the last kill left. Raises TimeoutError."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        try:
            if any(path.stat().st_size > _FOOTAGE_BYTES for path in agent.parts() if path not in left_behind):
                return
        except FileNotFoundError:
            continue  # it has just got its name
        time.sleep(0.02)
    raise TimeoutError(f"no footage within {_PATIENCE_S} s; see {agent.log}")


def _killed_again_and_again(
    council: Council, room: str, directory: Path, kills: list[int], count: int
) -> None:
    """Appends the instants of the kills; the last agent is stopped cleanly, once all is shipped."""
    for _ in range(count):
        left_behind = set((directory / "spool").rglob("*.part"))
        agent = AgentProcess(council, room, directory)
        try:
            _until_it_records(agent, left_behind)
            time.sleep(random.uniform(*_LIVES_S))
            kills.append(agent.kill9())
        finally:
            agent.close()
    left_behind = set((directory / "spool").rglob("*.part"))
    agent = AgentProcess(council, room, directory)
    try:
        _until_it_records(agent, left_behind)
        until = time.monotonic() + _PATIENCE_S
        while agent.waits_to_be_shipped() and time.monotonic() < until:
            time.sleep(0.1)
        agent.terminate()
    finally:
        agent.close()


def _decode(path: Path) -> list[int]:
    """The bar codes; raises on any error of the decoder."""
    with av.open(str(path)) as container:
        frames = container.decode(*container.streams)
        return [
            read_frame_number(np.asarray(frame.to_ndarray(format="gray"), np.uint8))
            for frame in frames
            if isinstance(frame, av.VideoFrame)
        ]


def _loss(room: Room, killed_us: int, last_number: dict[str, int]) -> Loss:
    def start(segment: SegmentManifest) -> int:
        return segment.start_us

    last = max((each for each in room.segments if each.start_us < killed_us), key=start)
    kept_us = capture_time_us(last_number[last.segment_id], killed_us, _LOOP_S, _FPS)
    caused = any(
        gap.cause == "lost_in_crash" and gap.start_us <= last.end_us and gap.end_us >= killed_us
        for gap in room.gaps
    )
    return Loss(killed_us, killed_us - kept_us, caused)


def measure(kills: int, rooms: tuple[str, ...] = _ROOMS) -> dict[str, Any]:
    """`uncaused`: kills whose loss no `lost_in_crash` explains; `flaws`: of chains and accounts."""
    shares = [kills // len(rooms) + (place < kills % len(rooms)) for place in range(len(rooms))]
    with Simulator(rooms, loop_s=_LOOP_S) as simulator, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        keep = directory / "kept"
        keep.mkdir()
        configurations = [camera_room(room, simulator.url(room)) for room in rooms]
        with Council(configurations, keep) as council:
            killed: dict[str, list[int]] = {room: [] for room in rooms}
            threads = [
                threading.Thread(
                    target=_killed_again_and_again,
                    args=(council, room, directory / room, killed[room], share),
                )
                for room, share in zip(rooms, shares, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return _account(council, killed)


def _account(council: Council, killed: dict[str, list[int]]) -> dict[str, Any]:
    undecodable, flaws, losses, files = 0, [], [], 0
    for name, room in council.rooms.items():
        flaws += [f"{name}: {flaw}" for flaw in room.flaws()]
        last_number = {}
        for segment_id, path in room.files.items():
            files += 1
            try:
                last_number[segment_id] = _decode(path)[-1]
            except (av.FFmpegError, IndexError) as error:
                undecodable += 1
                flaws.append(f"{name}: {segment_id}: {error}")
        losses += [_loss(room, killed_us, last_number) for killed_us in killed[name]]
    lost_ms = sorted(loss.lost_us / 1000 for loss in losses)
    return {
        "kills": len(losses),
        "worst_loss_ms": round(lost_ms[-1], 1),
        "median_loss_ms": round(statistics.median(lost_ms), 1),
        "undecodable": undecodable,
        "uncaused": sum(not loss.caused for loss in losses),
        "p90_loss_ms": round(lost_ms[len(lost_ms) * 9 // 10], 1),
        "files": files,
        "flaws": flaws,
    }


def run() -> dict[str, Any]:
    return measure(_KILLS)
