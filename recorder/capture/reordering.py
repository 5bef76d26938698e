"""Pictures that are shown in another order than they are sent (B-frames): their decoding times.

RTP tells when a picture is shown, not when it is decoded. FFmpeg guesses that, but leaves it open for the
first pictures, which may bear the very keyframe that a recording begins with, and takes a pause or a step
of the camera for another order. Here it follows from the showing times on the track's continuous time
line: pictures are decoded at the sorted times of showing, late by as many pictures as wait for others.

Pure; times in ticks of 1/90000 s.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

# Of both standards: no picture waits for more.
_MAX_DEPTH = 16
# Cameras reorder by a few pictures; what is further back is a step.
_MAX_REACH = 90_000


class Reordering:
    """Give it each picture's time of showing, in the order of sending.

    `reorders`: FFmpeg has seen, or read in the parameter sets, that decoding and showing differ; until then
    times that go back are steps of the camera, not another order.

    `depth`: how many pictures sent before another are shown after it, at most; 0 without B-frames, and
    then each picture is decoded when it is shown. `frame_ticks`: usual distance of pictures, None at first.
    """

    def __init__(self) -> None:
        self.reorders = False
        self.depth = 0
        self.frame_ticks: int | None = None
        self._waiting: list[int] = []
        self._latest: deque[int] = deque(maxlen=_MAX_DEPTH)
        self._first: int | None = None
        self._highest: int | None = None
        self._reach = 0

    @property
    def tolerance(self) -> int:
        """By how much the distance of pictures that lead may differ from one to the next."""
        return self._reach + (self.frame_ticks or 0) if self.depth else 0

    def learn(self, times: Sequence[tuple[int | None, int | None]]) -> int | None:
        """What a connection's first pictures tell: (shown, decoded) as FFmpeg has them.

        Returns when a first one of unknown time is shown: one before all others, which is right for a
        keyframe. None where nothing tells.
        """
        known = [at for at, _ in times if at is not None]
        # The first one's is never known.
        self.reorders = any(shown != decoded for shown, decoded in times[1:])
        for place, at in enumerate(known):
            self._note(at, known[:place])
        self._first = min(known, default=None)
        steps = [after - before for before, after in pairwise(sorted(known)) if after > before]
        self.frame_ticks = min(steps, default=None)
        return min(known) - self.frame_ticks if self.frame_ticks else None

    def leads(self, shown: int) -> bool:
        """Whether the picture is shown after all before it, as those are that tell the passing of time; or
        so long before the newest that time itself has gone back. Asked for each, with the camera's time.
        """
        highest = self._highest
        leads = highest is None or shown > highest or not self.depth
        if leads or shown < (highest or 0) - 2 * self.tolerance:
            self._highest = shown
            return True
        return False

    def decoded(self, shown: int) -> int:
        """When the picture is decoded, not after it is shown. `shown`: on the continuous time line."""
        if not self.reorders:
            return shown
        waiting = self._waiting
        self._note(shown, self._latest)
        self._latest.append(shown)
        insort(waiting, shown)
        missing = self.depth + 1 - len(waiting)
        if missing > 0:
            first = waiting[0] if self._first is None else min(waiting[0], self._first)
            return first - missing * (self.frame_ticks or 1)
        due = waiting[0]
        del waiting[: -self.depth or None]
        if self.depth:
            self.frame_ticks = waiting[0] - due or self.frame_ticks
        return due

    def move(self, ticks: int) -> None:
        """The continuous time line was moved."""
        self._waiting = [at + ticks for at in self._waiting]
        self._latest = deque((at + ticks for at in self._latest), maxlen=_MAX_DEPTH)
        self._first = None

    def _note(self, shown: int, before: Iterable[int]) -> None:
        later = [at for at in before if shown < at < shown + _MAX_REACH]
        if later and self.reorders:
            self.depth = max(self.depth, len(later))
            self._reach = max(self._reach, max(later) - shown)
