"""A room-day in numbers: how much of what was planned is recorded, and what the rest is for. Pure.

Every instant of the recording windows counts once: planned = recorded + missing + pending + unknown, exactly.
An instant is *recorded* where each track that the room owes is there from any of its sources, *missing* where
one is not (with one cause), *pending* where it lies ahead or may still be on its way, and *unknown* where the
index was lost after the footage had been destroyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval, intersect, join, merge, subtract

# Clock estimates of neighbouring runs touch within a frame or two; less is not a gap worth telling.
SEAM_US: Final = 50_000
# A segment is shipped after it ends: within this of now, missing footage is "not yet arrived".
ARRIVAL_US: Final = 150 * US_PER_SECOND
# What the server says of its own accord where nothing signed has come.
SILENCE: Final = "agent_down"


@dataclass(frozen=True, slots=True)
class Missing:
    """A gap record: `tracks` of `source` are missing in the interval, for `cause`."""

    interval: Interval
    source: str
    tracks: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class Cause:
    """How much is missing for one cause: stretches inside the windows, and their time."""

    count: int = 0
    missing_us: int = 0

    def __add__(self, other: Cause) -> Cause:
        return Cause(self.count + other.count, self.missing_us + other.missing_us)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a room-day, or of many together. `no_picture_us` and `no_sound_us` are parts of `missing_us` that
    overlap where both are missing; `causes` add up to `missing_us`.
    """

    planned_us: int = 0
    recorded_us: int = 0
    missing_us: int = 0
    pending_us: int = 0
    unknown_us: int = 0
    no_picture_us: int = 0
    no_sound_us: int = 0
    causes: Mapping[str, Cause] = field(default_factory=dict)

    @property
    def settled_us(self) -> int:
        """What has passed and can be told: recorded or missing."""
        return self.recorded_us + self.missing_us

    def without_pending(self) -> Figures:
        """As if only what can be told had been planned."""
        return replace(self, planned_us=self.planned_us - self.pending_us, pending_us=0)

    def __add__(self, other: Figures) -> Figures:
        names = [*self.causes, *(name for name in other.causes if name not in self.causes)]
        return Figures(
            self.planned_us + other.planned_us,
            self.recorded_us + other.recorded_us,
            self.missing_us + other.missing_us,
            self.pending_us + other.pending_us,
            self.unknown_us + other.unknown_us,
            self.no_picture_us + other.no_picture_us,
            self.no_sound_us + other.no_sound_us,
            {name: self.causes.get(name, Cause()) + other.causes.get(name, Cause()) for name in names},
        )


def unknown(windows: Iterable[Interval]) -> Figures:
    """A day of which nothing is left but its windows."""
    planned_us = _length_us(merge(windows))
    return Figures(planned_us=planned_us, unknown_us=planned_us)


def account(
    windows: Iterable[Interval],
    footage: Mapping[str, Sequence[Interval]],
    missing: Iterable[Missing],
    now_us: int,
    *,
    tracks: Sequence[str] = ("video", "audio"),
) -> Figures:
    """`footage` by source, `tracks` are what the room owes. What lies outside the windows counts nothing.

    Where records contradict each other, what a gap record says is missing is missing in that source; of
    several causes the one that began first counts.
    """
    planned = merge(windows)
    past = intersect(planned, [Interval(min(0, now_us - 1), now_us)])
    records = sorted(missing, key=lambda each: (each.interval, each.source, each.cause, each.tracks))
    there = {track: _there(footage, records, track) for track in tracks}
    absent = {track: subtract(past, there[track]) for track in tracks}
    holes = merge(hole for each in absent.values() for hole in each)
    causes: dict[str, list[Interval]] = {}
    for record in records:
        of_tracks = merge(hole for track in record.tracks for hole in absent.get(track, ()))
        claimed = intersect(intersect(holes, of_tracks), [record.interval])
        if claimed:
            causes.setdefault(record.cause, []).extend(claimed)
            holes = subtract(holes, claimed)
    # What nothing explains: a seam of two runs, not here yet, or an agent of which nothing was heard. What
    # reaches up to now is no seam: its other side has not come.
    silent = [hole for hole in holes if hole.duration_us > SEAM_US or hole.end_us == now_us]
    pending = intersect(silent, [Interval(now_us - ARRIVAL_US, now_us)])
    if silent_past := subtract(silent, pending):
        causes.setdefault(SILENCE, []).extend(silent_past)
    gaps = merge(gap for each in causes.values() for gap in each)
    missing_us = _length_us(gaps)
    pending_us = _length_us(planned) - _length_us(past) + _length_us(pending)
    return Figures(
        planned_us=_length_us(planned),
        recorded_us=_length_us(planned) - missing_us - pending_us,
        missing_us=missing_us,
        pending_us=pending_us,
        no_picture_us=_length_us(intersect(absent.get("video", ()), gaps)),
        no_sound_us=_length_us(intersect(absent.get("audio", ()), gaps)),
        causes={
            name: Cause(len(join(each, SEAM_US)), _length_us(each)) for name, each in sorted(causes.items())
        },
    )


def _there(
    footage: Mapping[str, Sequence[Interval]], records: Sequence[Missing], track: str
) -> tuple[Interval, ...]:
    """When any source has the track."""
    found: list[Interval] = []
    for source, stored in footage.items():
        told = [each.interval for each in records if each.source == source and track in each.tracks]
        found += subtract(join(stored, SEAM_US), told)
    return merge(found)


def _length_us(intervals: Iterable[Interval]) -> int:
    return sum(each.duration_us for each in intervals)
