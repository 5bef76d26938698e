"""The fault matrix: each fault is played to a real agent, and what came of it is written down.

`python -m bench faults --write` writes docs/fault-matrix.md. A new fault is one line in FAULTS. Every
fault has a room of its own; all are played side by side.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.agents import AgentProcess
from bench.council import Council, Room, camera_room
from recorder.instants import US_PER_SECOND, now_us
from recorder.intervals import Interval, intersect, merge, subtract
from recorder.manifest import Track
from simulator.control import Simulator

DOCUMENT = Path(__file__).parent.parent / "docs" / "fault-matrix.md"
# Longer than two heartbeats, so that the board must have shown it.
_LASTS_S = 12.0
_WELL_S = 4.0
# Some cameras' sound comes back with their next report, five seconds later.
_AFTER_S = 10.0
_PATIENCE_S = 90.0
# Of a fault less than this lost is a seam.
_SEAM_US = 100_000


@dataclass
class Stage:
    """What a fault has to play with: one room, its camera, its agent, its server."""

    room: str
    simulator: Simulator
    council: Council
    directory: Path
    agent: AgentProcess

    def say(self, words: str) -> None:
        self.simulator.command(self.room, *words.split())

    def start_agent(self) -> None:
        self.agent = AgentProcess(self.council, self.room, self.directory)


Act = Callable[[Stage], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """`words`: the simulator's command, empty where something else than the camera is at fault."""

    name: str
    words: str
    begin: Act
    heal: Act
    lasts_s: float = _LASTS_S

    @property
    def title(self) -> str:
        return self.name + (f" (`{self.words}`)" if self.words else "")


def camera(name: str, words: str, heal: str = "mend") -> Fault:
    """A fault that the simulator plays."""
    return Fault(name, words, lambda stage: stage.say(words), lambda stage: stage.say(heal))


def _server(*, away: bool) -> Act:
    return lambda stage: setattr(stage.council, "away", away)


FAULTS = (
    camera("camera off", "kill"),
    camera("camera hangs", "stall"),
    camera("no picture", "drop video"),
    camera("no sound", "drop audio"),
    camera("another resolution", "resolution 640x360"),
    camera("camera's clock set an hour ahead", "clock 3600"),
    camera("a tenth of all packets lost", "loss 0.1"),
    Fault("server away", "", _server(away=True), _server(away=False)),
    Fault("agent killed (`kill -9`)", "", lambda stage: stage.agent.kill9(), Stage.start_agent, 3.0),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a fault. Lists are sorted; milliseconds are beyond the fault's own time."""

    title: str
    recorded: str
    lost_ms: dict[str, int]
    fault_ms: int
    causes: dict[str, list[str]]
    alarms: list[str]
    logged: list[str]
    flaws: list[str]

    def markdown(self) -> str:
        lost = "; ".join(f"{track}: {self._loss(track)}" for track in self.lost_ms)
        causes = "; ".join(f"{track}: {', '.join(each) or 'none'}" for track, each in self.causes.items())
        cells = (
            self.title,
            self.recorded,
            lost,
            causes,
            ", ".join(self.alarms) or "none",
            "; ".join(self.logged) or "nothing",
        )
        return f"| {' | '.join(cells)} |"

    def _loss(self, track: str) -> str:
        lost, fault = self.lost_ms[track], self.fault_ms
        if lost < _SEAM_US // 1000:
            return "nothing"
        if lost < fault // 2:
            return f"under {_coarse_s(lost)} s"
        return f"the fault's time and under {_coarse_s(max(1, lost - fault))} s more"


def _coarse_s(ms: int) -> int:
    return next((limit for limit in (1, 2, 3, 5, 10, 20) if ms < limit * 1000), 60)


def play(faults: Sequence[Fault]) -> list[Row]:
    """All of them side by side, in their order."""
    rooms = tuple(f"r{number}" for number in range(len(faults)))
    rows: list[Row | BaseException] = [RuntimeError("not played")] * len(faults)
    with Simulator(rooms) as simulator, tempfile.TemporaryDirectory() as name:

        def one(number: int) -> None:
            try:
                rows[number] = _play_one(faults[number], simulator, rooms[number], Path(name) / rooms[number])
            except BaseException as error:  # noqa: BLE001 raised below, in the caller's thread
                rows[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(faults))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done = []
    for row in rows:
        if isinstance(row, BaseException):
            raise row
        done.append(row)
    return done


def _play_one(fault: Fault, simulator: Simulator, room: str, directory: Path) -> Row:
    with Council([camera_room(room, simulator.url(room))]) as council:
        seen = council.rooms[room]
        agent = AgentProcess(council, room, directory)
        stage = Stage(room, simulator, council, directory, agent)
        try:
            _wait(lambda: any(beat["state"] == "recording" for beat in seen.heartbeats), "recording")
            time.sleep(_WELL_S)
            said, beats, began_us = len(_lines(stage)), len(seen.heartbeats), now_us()
            fault.begin(stage)
            time.sleep(fault.lasts_s)
            during = seen.heartbeats[beats:]
            fault.heal(stage)
            healed_us = now_us()
            beats = len(seen.heartbeats)
            _wait(lambda: any(b["state"] == "recording" for b in seen.heartbeats[beats:]), "recording again")
            time.sleep(_AFTER_S)
            stage.agent.terminate()
            logged = _events(_lines(stage)[said:])
        finally:
            stage.agent.close()
            stage.say("mend")
    return _judged(fault, seen, Interval(began_us, healed_us), during, logged)


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {_PATIENCE_S} s: {what}")
        time.sleep(0.1)


def _lines(stage: Stage) -> list[str]:
    return stage.agent.log.read_text("utf-8", "replace").splitlines()


def _events(lines: list[str]) -> list[str]:
    """What is worth a person's look: warnings and errors, and why."""
    found = set()
    for line in lines:
        if re.search(r"\blevel=(warning|error)\b", line):
            event = re.search(r'\bevent="?([^"=]+?)"?(?: \w+=|$)', line)
            cause = re.search(r"\bcause=(\w+)", line)
            found.add((event[1] if event else line[:60]) + (f" ({cause[1]})" if cause else ""))
    return sorted(found)


def _judged(fault: Fault, seen: Room, time_of_it: Interval, during: list[Any], logged: list[str]) -> Row:
    watched = Interval(time_of_it.start_us - US_PER_SECOND, time_of_it.end_us + int(_AFTER_S * US_PER_SECOND))
    lost_ms, causes, kept = {}, {}, []
    for track in Track:
        gaps = [gap for gap in seen.gaps if track.value in gap.tracks and watched.overlaps(gap.interval)]
        missing = merge(gap.interval for gap in gaps if gap.cause != "maintenance")
        lost_ms[_PLAIN[track]] = sum(each.duration_us for each in missing) // 1000
        causes[_PLAIN[track]] = sorted({str(gap.cause) for gap in gaps if gap.cause != "maintenance"})
        within = sum(each.duration_us for each in subtract([time_of_it], intersect([time_of_it], missing)))
        if within > time_of_it.duration_us // 2:
            kept.append(_PLAIN[track])
    return Row(
        title=fault.title,
        recorded=" and ".join(kept) or "nothing",
        lost_ms=lost_ms,
        fault_ms=time_of_it.duration_us // 1000,
        causes=causes,
        alarms=sorted({f"{beat['state']}: {beat['cause']}" for beat in during if beat["state"] == "fault"}),
        logged=logged,
        flaws=seen.flaws(),
    )


_PLAIN = {Track.VIDEO: "picture", Track.AUDIO: "sound"}

_HEADER = """\
# Fault matrix

What a room agent makes of each fault that the simulator can play, and of two that it cannot. Written by
`python -m bench faults --write`, which plays them to real agents on simulated cameras; do not edit.
Faults last {seconds:.0f} s unless told otherwise. *Alarmed* is what the heartbeat tells the board while
the fault lasts; the server of itself says `agent_down` of an agent that is silent for 20 s.

| Fault (simulator's command) | Recorded meanwhile | Lost | Cause of the gap | Alarmed | Logged |
|---|---|---|---|---|---|
"""


def document(rows: Sequence[Row]) -> str:
    return _HEADER.format(seconds=_LASTS_S) + "".join(row.markdown() + "\n" for row in rows)


def run(*, write: bool = False) -> dict[str, Any]:
    """`flaws`: of chains and accounts; there must be none."""
    rows = play(FAULTS)
    if write:
        DOCUMENT.write_text(document(rows), "utf-8")
    return {
        "faults": len(rows),
        "flaws": [f"{row.title}: {flaw}" for row in rows for flaw in row.flaws],
        "rows": [row.markdown() for row in rows],
    }
