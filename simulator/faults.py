"""What can be wrong with a simulated camera, and the words that make it so. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from recorder.errors import ProtokolError
from simulator.flaws import Hear, Look
from simulator.media import parse_size

VIDEO, AUDIO = "video", "audio"


class CommandError(ProtokolError):
    """A command that the simulator does not know, or cannot do."""


@dataclass(frozen=True)
class Faults:
    """The state of one camera. A healthy one is `Faults()`.

    `killed`: nobody listens at its port and its clients are gone. `stalled`: RTSP answers, media does not
    come. `dropped`: tracks that do not come. `size`: another resolution than the one it was started with.
    `clock_offset_s`: its clock minus the true one, as its sender reports tell it. `loss`: part of RTP
    packets lost on the way, 0 to 1. `look`, `hear`: what is wrong with picture and sound themselves.
    """

    killed: bool = False
    stalled: bool = False
    dropped: frozenset[str] = frozenset()
    size: tuple[int, int] | None = None
    clock_offset_s: float = 0.0
    loss: float = 0.0
    sound_late_ms: float = 0.0
    look: Look = Look.WELL
    hear: Hear = Hear.WELL


USAGE = (
    "kill | start | stall | resume | drop video | drop audio | restore | resolution WIDTHxHEIGHT | "
    "clock OFFSET_S | loss FRACTION | sound-late MS | black | freeze | cover | blur | see | silence | clip | "
    "hum | hear | mend | status"
)


def change(faults: Faults, words: list[str]) -> Faults:
    """The state after a command; raises CommandError for one that is not understood."""
    if words == ["mend"]:
        return Faults()
    return replace(faults, **(_flaw(words) or _fault(faults, words)))


def _flaw(words: list[str]) -> dict[str, Any]:
    """Of picture and sound themselves; nothing for any other word."""
    match words:
        case ["black" | "freeze" | "cover" | "blur" | "see" as word]:
            return {"look": Look.WELL if word == "see" else Look(word)}
        case ["silence" | "clip" | "hum" | "hear" as word]:
            return {"hear": Hear.WELL if word == "hear" else Hear(word)}
        case _:
            return {}


def _fault(faults: Faults, words: list[str]) -> dict[str, Any]:
    new: dict[str, Any]
    match words:
        case ["kill" | "start" as word]:
            new = {"killed": word == "kill"}
        case ["stall" | "resume" as word]:
            new = {"stalled": word == "stall"}
        case ["drop", "video" | "audio" as track]:
            new = {"dropped": faults.dropped | {track}}
        case ["restore"]:
            new = {"dropped": frozenset()}
        case ["resolution", size]:
            new = {"size": parse_size(size)}
        case ["clock", offset]:
            new = {"clock_offset_s": _number(offset, -1e10, 1e10)}
        case ["loss", fraction]:
            new = {"loss": _number(fraction, 0.0, 1.0)}
        case ["sound-late", late]:
            new = {"sound_late_ms": _number(late, 0.0, 2000.0)}
        case _:
            raise CommandError(f"not understood: {' '.join(words)[:80]!r}; say {USAGE}")
    return new


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise CommandError(f"not a number from {low:g} to {high:g}: {text[:40]!r}")
    return value


def describe(faults: Faults) -> str:
    """One line for people and tests; `well` when nothing is wrong."""
    said = [
        *(["killed"] if faults.killed else []),
        *(["stalled"] if faults.stalled else []),
        *(f"no {track}" for track in sorted(faults.dropped)),
        *([f"{faults.size[0]}x{faults.size[1]}"] if faults.size else []),
        *([f"clock {faults.clock_offset_s:+g} s"] if faults.clock_offset_s else []),
        *([f"loss {faults.loss:g}"] if faults.loss else []),
        *([f"sound {faults.sound_late_ms:g} ms late"] if faults.sound_late_ms else []),
        *([f"picture: {faults.look}"] if faults.look is not Look.WELL else []),
        *([f"sound: {faults.hear}"] if faults.hear is not Hear.WELL else []),
    ]
    return ", ".join(said) or "well"
