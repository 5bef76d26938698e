"""The fault matrix: each fault is played to a real agent, and what came of it is written down.

`python -m bench faults --write` writes docs/fault-matrix.md. A new fault is one line in FAULTS. Every
fault has a room of its own; as many are played side by side as a small machine bears.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.agents import AgentProcess
from bench.council import Council, Room, room_configuration
from recorder.instants import US_PER_SECOND, now_us
from recorder.intervals import Interval, intersect, merge, subtract
from recorder.manifest import SegmentManifest, Track
from recorder.room_sound import CAMERA_SOUND
from simulator.control import Simulator
from simulator.microphone import SimulatedMicrophone

DOCUMENT = Path(__file__).parent.parent / "docs" / "fault-matrix.md"
# Longer than two heartbeats, so that the board must have shown it.
_LASTS_S = 12.0
# What is wrong with picture or sound themselves is told within 30 s, and heartbeats come each 5 s.
_TOLD_S = 40.0
# That sound is missing, or another microphone's, is believed after 10 s; it is looked at each 5 s.
_REPLACED_S = 25.0
_WELL_S = 4.0
# Some cameras' sound comes back with their next report, five seconds later.
_AFTER_S = 10.0
_PATIENCE_S = 90.0
# Of a fault less than this lost is a seam.
_SEAM_US = 100_000
# What a machine without a time service, as a container, has from ten seconds after each start on.
_USUAL = "clock_error"
# Rooms at once: with a microphone each is some 8 processes, and two cores must do them all in real time.
_AT_ONCE = 9


@dataclass
class Stage:
    """What a fault has to play with: one room, its camera, its agent, its server, its microphone if it has
    one.
    """

    room: str
    simulator: Simulator
    council: Council
    directory: Path
    microphone: SimulatedMicrophone | None
    agent: AgentProcess = field(init=False)

    def __post_init__(self) -> None:
        self.start_agent()

    def say(self, words: str) -> None:
        self.simulator.command(self.room, *words.split())

    def tell_microphone(self, words: str) -> None:
        if self.microphone is None:
            raise ValueError(f"{words}: the room has no microphone; a fault of one is made by microphone()")
        self.microphone.command(*words.split())

    def start_agent(self) -> None:
        environment = self.microphone.environment if self.microphone else {}
        self.agent = AgentProcess(self.council, self.room, self.directory, **environment)


Act = Callable[[Stage], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """`words`: the simulator's command, empty where neither camera nor microphone is at fault.
    `has_microphone`: the room's sound is a microphone's, and the camera's only stands in for it.
    """

    name: str
    words: str
    begin: Act
    heal: Act
    lasts_s: float = _LASTS_S
    has_microphone: bool = False

    @property
    def title(self) -> str:
        lasts = "" if self.lasts_s == _LASTS_S else f", {self.lasts_s:.0f} s"
        return self.name + (f" (`{self.words}`{lasts})" if self.words else lasts)


def camera(name: str, words: str, lasts_s: float = _LASTS_S, *, has_microphone: bool = False) -> Fault:
    """A fault that the simulated camera plays."""
    return Fault(
        name, words, lambda stage: stage.say(words), lambda stage: stage.say("mend"), lasts_s, has_microphone
    )


def microphone(name: str, words: str, lasts_s: float = _TOLD_S, heal: str = "mend") -> Fault:
    """A fault that the simulated microphone plays."""
    return Fault(
        name,
        words,
        lambda stage: stage.tell_microphone(words),
        lambda stage: stage.tell_microphone(heal),
        lasts_s,
        has_microphone=True,
    )


def _server(*, away: bool) -> Act:
    return lambda stage: setattr(stage.council, "away", away)


FAULTS = (
    camera("camera off", "kill"),
    camera("camera hangs", "stall"),
    camera("no picture", "drop video"),
    camera("no sound", "drop audio", _REPLACED_S),
    camera("another resolution", "resolution 640x360"),
    camera("camera's clock set an hour ahead", "clock 3600", _REPLACED_S),
    camera("a tenth of all packets lost", "loss 0.1"),
    camera("camera's sound comes late", "sound-late 300"),
    camera("black picture", "black", _TOLD_S),
    camera("frozen picture", "freeze", _TOLD_S),
    camera("covered camera", "cover", _TOLD_S),
    camera("blurred picture", "blur", _TOLD_S),
    camera("camera's sound is silent", "silence", _TOLD_S),
    camera("camera's sound is overloaded", "clip", _TOLD_S),
    camera("camera's sound hums", "hum", _TOLD_S),
    Fault("server away", "", _server(away=True), _server(away=False)),
    Fault("agent killed (`kill -9`)", "", lambda stage: stage.agent.kill9(), Stage.start_agent, 3.0),
    microphone("microphone: unplugged", "unplug", _REPLACED_S),
    microphone("microphone: sound system hangs", "hang", _REPLACED_S),
    microphone("microphone: sound system crashes and is there again", "restart", _LASTS_S),
    microphone("microphone: silent", "silence"),
    microphone("microphone: overloaded", "clip"),
    microphone("microphone: hums", "hum"),
    microphone("microphone: clock too fast by 0.03 %", "ppm 300", _LASTS_S, "ppm 0"),
    camera("with a microphone: camera off", "kill", has_microphone=True),
    camera("with a microphone: no sound of the camera", "drop audio", _REPLACED_S, has_microphone=True),
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
    """In their order; those that last alike side by side, so that none stands in the way of another."""
    places = sorted(range(len(faults)), key=lambda place: faults[place].lasts_s)
    rows: dict[int, Row] = {}
    for first in range(0, len(places), _AT_ONCE):
        batch = places[first : first + _AT_ONCE]
        rows |= zip(batch, _play_batch([faults[place] for place in batch]), strict=True)
    return [rows[place] for place in range(len(faults))]


def _play_batch(faults: Sequence[Fault]) -> list[Row]:
    rooms = tuple(f"r{number}" for number in range(len(faults)))
    rows: list[Row | BaseException] = [RuntimeError("not played")] * len(faults)
    with Simulator(rooms) as simulator, tempfile.TemporaryDirectory() as name:

        def one(number: int) -> None:
            try:
                rows[number] = _play_one(faults[number], simulator, rooms[number], Path(name) / rooms[number])
            except BaseException as error:  # noqa: BLE001 raised below, in the caller's thread
                error.add_note(f"while playing: {faults[number].title}")
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
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(SimulatedMicrophone()) if fault.has_microphone else None
        fields = {"microphone": {"device": device.device}} if device else {}
        cameras = [{"name": "main", "url": simulator.url(room)}]
        council = stack.enter_context(Council([room_configuration(room, cameras, **fields)]))
        seen = council.rooms[room]
        stage = Stage(room, simulator, council, directory, device)
        wanted = device.device if device else CAMERA_SOUND
        try:
            _wait(lambda: any(_is_well(beat, wanted) for beat in seen.heartbeats), "recording")
            time.sleep(_WELL_S)
            said, beats, began_us = len(_lines(stage)), len(seen.heartbeats), now_us()
            usual = _conditions(seen.heartbeats[-1])
            fault.begin(stage)
            time.sleep(fault.lasts_s)
            during = seen.heartbeats[beats:]
            fault.heal(stage)
            healed_us = now_us()
            beats = len(seen.heartbeats)
            _wait(lambda: any(_is_well(beat, wanted) for beat in seen.heartbeats[beats:]), "recording again")
            time.sleep(_AFTER_S)
            stage.agent.terminate()
            logged = _events(_lines(stage)[said:])
        finally:
            stage.agent.close()
            stage.say("mend")
    alarms = {f"{beat['state']}: {beat['cause']}" for beat in during if beat["state"] == "fault"}
    alarms |= {f"warning: {name}" for beat in during for name in _conditions(beat) - usual}
    return _judged(fault, seen, Interval(began_us, healed_us), alarms, logged)


def _is_well(beat: dict[str, Any], microphone: str) -> bool:
    """Whether all that the room has is recorded."""
    return bool(beat["state"] == "recording" and beat["sources"]["main"]["microphone"] == microphone)


def _conditions(beat: dict[str, Any]) -> set[str]:
    return {each["condition"] for each in beat["health"]["conditions"]} - {_USUAL}


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
        if re.search(r"\blevel=(warning|error)\b", line) and f"condition={_USUAL}" not in line:
            event = re.search(r'\bevent="?([^"=]+?)"?(?: \w+=|$)', line)
            cause = re.search(r"\b(?:cause|condition)=(\w+)", line)
            found.add((event[1] if event else line[:60]) + (f" ({cause[1]})" if cause else ""))
    return sorted(found)


def _judged(fault: Fault, seen: Room, time_of_it: Interval, alarms: set[str], logged: list[str]) -> Row:
    watched = Interval(time_of_it.start_us - US_PER_SECOND, time_of_it.end_us + int(_AFTER_S * US_PER_SECOND))
    lost_ms, causes, kept = {}, {}, []
    for track in Track:
        gaps = [gap for gap in seen.gaps if track.value in gap.tracks and watched.overlaps(gap.interval)]
        missing = merge(gap.interval for gap in gaps if gap.cause != "maintenance")
        lost_ms[_PLAIN[track]] = sum(each.duration_us for each in missing) // 1000
        told = lost_ms[_PLAIN[track]] >= _SEAM_US // 1000
        causes[_PLAIN[track]] = sorted(
            {str(gap.cause) for gap in gaps if told and gap.cause != "maintenance"}
        )
        within = _within_us(time_of_it, subtract([time_of_it], missing))
        if within > time_of_it.duration_us // 2:
            whose = _whose(seen, time_of_it) if fault.has_microphone and track is Track.AUDIO else ""
            kept.append(_PLAIN[track] + whose)
    return Row(
        title=fault.title,
        recorded=" and ".join(kept) or "nothing",
        lost_ms=lost_ms,
        fault_ms=time_of_it.duration_us // 1000,
        causes=causes,
        alarms=sorted(alarms),
        logged=logged,
        flaws=seen.flaws(),
    )


def _within_us(whole: Interval, parts: Iterable[Interval]) -> int:
    return sum(each.duration_us for each in intersect([whole], merge(parts)))


def _whose(seen: Room, time_of_it: Interval) -> str:
    """Whose sound was recorded, by the manifests."""
    camera_us = _within_us(
        time_of_it,
        (piece for each in seen.segments for piece, name in _microphones(each) if name == CAMERA_SOUND),
    )
    if camera_us > time_of_it.duration_us // 2:
        return " (the camera's)"
    if camera_us > _SEAM_US:
        return f" (the microphone's, the camera's for under {_coarse_s(camera_us // 1000)} s)"
    return " (the microphone's)"


def _microphones(segment: SegmentManifest) -> Iterator[tuple[Interval, str]]:
    """Which microphone is heard when, in one segment."""
    if not any(each.track == Track.AUDIO.value for each in segment.tracks):
        return
    start_us, name = segment.start_us, segment.microphone
    for switch in segment.switches:
        if start_us < switch.at_us < segment.end_us:
            yield Interval(start_us, switch.at_us), name
            start_us = switch.at_us
        name = switch.microphone
    yield Interval(start_us, segment.end_us), name


_PLAIN = {Track.VIDEO: "picture", Track.AUDIO: "sound"}

_HEADER = """\
# Fault matrix

What a room agent makes of each fault that the simulator can play, and of two that it cannot. Written by
`python -m bench faults --write`, which plays them to real agents on simulated cameras and microphones; do
not edit. Faults last {seconds:.0f} s unless told otherwise. A room of which nothing else is said has a
camera and no microphone. *Alarmed* is what the heartbeat tells the board while the fault lasts: the room's
state (`fault`) and what its health adds to what was there before (`warning`); the server of itself says
`agent_down` of an agent that is silent for 20 s.

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
