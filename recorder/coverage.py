"""Which instants of the recording windows are covered, and why the others are not.

One cursor per track: everything before it is accounted for, by a segment or by a gap. Whoever moves
a cursor gets the gaps that lie on its way, so that none can be forgotten.

Pure; UTC microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recorder.intervals import Interval, intersect
from recorder.manifest import GapCause, Track

# Packets of sound are up to 64 ms long and begin where they begin: a joint shorter than this between
# picture and sound is no hole.
SOUND_JOINT_US = 100_000


@dataclass(frozen=True, slots=True)
class Gap:
    """`configuration_version`: whose windows it lies in."""

    interval: Interval
    tracks: tuple[Track, ...]
    cause: GapCause
    detail: str = ""
    configuration_version: int = 0


@dataclass(frozen=True, slots=True)
class _Reason:
    since_us: int
    cause: GapCause
    detail: str


class Coverage:
    """Of one source. `covered_until` is where each track's account stands."""

    def __init__(self, covered_until: Mapping[Track, int]) -> None:
        self._until = dict(covered_until)
        self._reasons: dict[Track, list[_Reason]] = {track: [] for track in self._until}

    @property
    def covered_until(self) -> dict[Track, int]:
        return dict(self._until)

    def note(
        self, since_us: int, cause: GapCause, detail: str = "", tracks: Iterable[Track] | None = None
    ) -> None:
        """What is missing from `since_us` on is missing for this cause, until another is noted."""
        for track in self._until if tracks is None else tracks:
            reasons = self._reasons[track]
            while reasons and reasons[-1].since_us >= since_us:
                reasons.pop()
            if not reasons or (reasons[-1].cause, reasons[-1].detail) != (cause, detail):
                reasons.append(_Reason(since_us, cause, detail))

    def cover(self, track: Track, until_us: int) -> None:
        """The track is there up to `until_us`. Take the gaps before it first."""
        self._until[track] = max(self._until[track], until_us)

    def go_back(self, until: Mapping[Track, int]) -> None:
        """What lies after these instants is not accounted for after all, as far as it was."""
        for track, until_us in until.items():
            self._until[track] = min(self._until[track], until_us)

    def take_gaps(self, until: Mapping[Track, int], windows: Iterable[Interval]) -> list[Gap]:
        """The gaps from each cursor to `until`, inside `windows`; the cursors stand there afterwards.

        `windows` must reach over all of that time. Both tracks missing alike is one gap. A joint of sound
        is none, unless the picture is missing there too.
        """
        windows = tuple(windows)
        pieces: dict[tuple[Interval, GapCause, str], list[Track]] = {}
        joint = until.get(Track.VIDEO, 0) <= self._until.get(Track.VIDEO, 0)
        for track, until_us in until.items():
            start_us = self._until[track]
            if until_us <= start_us:
                continue
            if joint and track is Track.AUDIO and until_us - start_us < SOUND_JOINT_US:
                self._until[track] = until_us
                continue
            for part in intersect([Interval(start_us, until_us)], windows):
                for piece, reason in self._by_reason(track, part):
                    pieces.setdefault((piece, reason.cause, reason.detail), []).append(track)
            self._until[track] = until_us
            self._forget(track)
        gaps = [Gap(i, tuple(tracks), cause, detail) for (i, cause, detail), tracks in pieces.items()]
        return sorted(gaps, key=lambda gap: (gap.interval, gap.tracks))

    def _by_reason(self, track: Track, part: Interval) -> list[tuple[Interval, _Reason]]:
        reasons = self._reasons[track] or [_Reason(part.start_us, GapCause.UNKNOWN, "")]
        out = []
        for index, reason in enumerate(reasons):
            # The first reason known also accounts for what lies before it.
            start = part.start_us if index == 0 else max(part.start_us, reason.since_us)
            last = index + 1 == len(reasons)
            end = part.end_us if last else min(part.end_us, reasons[index + 1].since_us)
            if start < end:
                out.append((Interval(start, end), reason))
        return out

    def _forget(self, track: Track) -> None:
        reasons = self._reasons[track]
        while len(reasons) > 1 and reasons[1].since_us <= self._until[track]:
            reasons.pop(0)
