"""How a camera's sound drifts from its picture: two counters, one clock of the camera.

A camera's first sender reports put its tracks on one line. From then on each track counts by its own
crystal, and after hours they are apart. Every later report tells both counters against the camera's one
clock, whatever that is worth: their difference is the drift.

Pure; microseconds.
"""

from __future__ import annotations

import statistics
from collections import deque

from recorder.instants import US_PER_SECOND

# Differences that are looked at together: one report that is off moves nothing.
_LATEST = 5
# Crystals part by tens of microseconds in a second; more is a camera that sets its clock between two reports.
_FASTEST = 500e-6
_ABSURD_US = 500_000


class Alignment:
    """`sound_us` is to be added to the sound's media time so that it means the picture's."""

    def __init__(self) -> None:
        self.sound_us = 0.0
        self._picture: float | None = None
        self._latest: deque[float] = deque(maxlen=_LATEST)
        self._began: float | None = None
        self._told_us: float | None = None

    def picture(self, media_us: float, reported_us: float) -> None:
        """`reported_us`: the camera's own clock at this media time, by its latest report."""
        self._picture = reported_us - media_us

    def sound(self, media_us: float, reported_us: float) -> None:
        if self._picture is None:
            return
        self._latest.append(reported_us - media_us - self._picture)
        if len(self._latest) < _LATEST:
            return
        apart = statistics.median(self._latest)
        if self._began is None:
            self._began, self._told_us = apart - self.sound_us, media_us
        drift, since = apart - self._began, media_us - (self._told_us or 0.0)
        self._told_us = media_us
        if abs(drift - self.sound_us) > _ABSURD_US or since < 0:
            self.restart()
            return
        step = min(since, 60 * US_PER_SECOND) * _FASTEST
        self.sound_us += min(max(drift - self.sound_us, -step), step)

    def restart(self) -> None:
        """After a step of a track: what is known of the drift stays, and goes on from there."""
        self._latest.clear()
        self._began = None
        self._picture = None
