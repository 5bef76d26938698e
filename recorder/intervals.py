"""Half-open intervals `[start_us, end_us)` of UTC microseconds, and the few set operations on them.

Windows, segments, gaps, holds and clips are all intervals; their arithmetic stands here once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """`[start_us, end_us)` in UTC microseconds since 1970; never empty."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            raise ValueError(f"interval is empty or backwards: [{self.start_us}, {self.end_us})")

    @property
    def duration_us(self) -> int:
        return self.end_us - self.start_us

    def contains(self, instant_us: int) -> bool:
        return self.start_us <= instant_us < self.end_us

    def overlaps(self, other: Interval) -> bool:
        return self.start_us < other.end_us and other.start_us < self.end_us

    def intersection(self, other: Interval) -> Interval | None:
        start, end = max(self.start_us, other.start_us), min(self.end_us, other.end_us)
        return Interval(start, end) if start < end else None


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted and disjoint: overlapping and abutting intervals become one."""
    merged: list[Interval] = []
    for each in sorted(intervals):
        if merged and each.start_us <= merged[-1].end_us:
            if each.end_us > merged[-1].end_us:
                merged[-1] = Interval(merged[-1].start_us, each.end_us)
        else:
            merged.append(each)
    return tuple(merged)


def join(intervals: Iterable[Interval], within_us: int) -> tuple[Interval, ...]:
    """Merged, and seams of up to `within_us` closed."""
    return runs(sorted((each.start_us, each.end_us) for each in intervals), within_us)


def runs(bounds: Iterable[tuple[int, int]], within_us: int) -> tuple[Interval, ...]:
    """As `join`, of many `(start_us, end_us)` in the order of their starts: only what comes out is made."""
    out: list[Interval] = []
    start_us = end_us = 0
    for next_start_us, next_end_us in bounds:
        if start_us < end_us and next_start_us - end_us <= within_us:
            end_us = max(end_us, next_end_us)
            continue
        if start_us < end_us:
            out.append(Interval(start_us, end_us))
        start_us, end_us = next_start_us, next_end_us
    if start_us < end_us:
        out.append(Interval(start_us, end_us))
    return tuple(out)


def intersect(left: Iterable[Interval], right: Iterable[Interval]) -> tuple[Interval, ...]:
    """The instants that lie in both, as sorted disjoint intervals."""
    a, b = merge(left), merge(right)
    out: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        common = a[i].intersection(b[j])
        if common:
            out.append(common)
        if a[i].end_us <= b[j].end_us:
            i += 1
        else:
            j += 1
    return tuple(out)


def subtract(whole: Iterable[Interval], parts: Iterable[Interval]) -> tuple[Interval, ...]:
    """The instants of `whole` that lie in none of `parts`, as sorted disjoint intervals."""
    holes = merge(parts)
    out: list[Interval] = []
    for piece in merge(whole):
        start = piece.start_us
        for hole in holes:
            if hole.end_us <= start:
                continue
            if hole.start_us >= piece.end_us:
                break
            if hole.start_us > start:
                out.append(Interval(start, hole.start_us))
            start = max(start, hole.end_us)
        if start < piece.end_us:
            out.append(Interval(start, piece.end_us))
    return tuple(out)
