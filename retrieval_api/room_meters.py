"""What a tile of the board draws and tells of a room beside its state: loudness, clock, what waits.

Pure. An agent's figures are its own and unchecked: what is none is not shown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from archive.room_states import RoomState
from recorder.in_use import LOUD_DBFS

# What the meter spans: below lies the noise of the quietest room.
_FLOOR_DBFS = -60.0
_BARS = 10
BAR_HEIGHT = 24


class Bar(NamedTuple):
    """A second of sound, in units of the drawing: how high its effective level and its peak reach."""

    rms: int
    peak: int


class Meter(NamedTuple):
    """The last ten seconds, the oldest first; fewer where there were fewer. `peak_dbfs`: their loudest."""

    bars: tuple[Bar, ...]
    peak_dbfs: int

    @property
    def is_loud(self) -> bool:
        """By the same line at which a room is told to be in use."""
        return self.peak_dbfs > LOUD_DBFS


class HostClock(NamedTuple):
    """How far the room host's clock may be off; None where no time service vouches for it."""

    uncertainty_ms: int | None


def meter(room: RoomState) -> Meter | None:
    """Of the first source that is heard; None where nothing is recorded or heard."""
    if room.state != "recording":
        return None
    for source in _members(_member(room.heartbeat, "health", "sources")):
        levels = _levels(source.get("levels"))
        if levels:
            bars = tuple(Bar(_height(rms), _height(peak)) for rms, peak in levels)
            return Meter(bars, round(max(peak for _, peak in levels)))
    return None


def clock(room: RoomState) -> HostClock | None:
    """None where the agent has not told."""
    uncertainty_us = _member(room.heartbeat, "clock", "uncertainty_us")
    if not _is_figure(uncertainty_us) or uncertainty_us < 0:
        return None
    if _member(room.heartbeat, "clock", "estimated") is True:
        return HostClock(None)
    return HostClock(-(-round(uncertainty_us) // 1000))


def waiting(room: RoomState) -> int:
    """How many finished parts wait on the room host for the archive."""
    count = _member(room.heartbeat, "spool", "segments")
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**31 else 0


def _levels(told: Any) -> list[tuple[float, float]]:
    pairs = told[-_BARS:] if isinstance(told, list) else []
    return [
        (pair[0], pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and all(_is_figure(each) for each in pair)
    ]


def _height(dbfs: float) -> int:
    part = (min(max(dbfs, _FLOOR_DBFS), 0.0) - _FLOOR_DBFS) / -_FLOOR_DBFS
    return max(1, round(part * BAR_HEIGHT))


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _member(document: Any, *path: str) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _members(document: Any) -> list[dict[str, Any]]:
    return (
        [each for each in document.values() if isinstance(each, dict)] if isinstance(document, dict) else []
    )
