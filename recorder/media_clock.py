"""A device's media clock on the host's CLOCK_MONOTONIC, from nothing but arrivals.

Delay can only be added. So the lower convex hull of (arrival - media time) over media time touches
the packets that were not delayed, and the hull's edge over the middle of the window is the clock:
jitter, bursts and stalls do not bend it, and the skew of the device is its slope. The constant part
of the delay (exposure, encoder, network floor) stays in: no clock can see it.

Pure, all in microseconds; never looks at the wall clock.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """How a kind of device behaves. The numbers are from simulated and real sessions of hours."""

    window_us: int
    bin_us: int
    # An arrival earlier than the line by this is impossible: the media clock jumped.
    early_us: int
    # Every arrival later than the line by `late_us` during `late_for_us`: the path became slower.
    late_us: int
    late_for_us: int
    # The answer follows the line at most this much faster or slower than the skew.
    slew_ppm: float
    max_skew_ppm: float


# Some cameras count RTP nominally while their frames run thousands of ppm off.
CAMERA = ClockLimits(
    window_us=600_000_000, bin_us=2_000_000, early_us=80_000, late_us=100_000,
    late_for_us=20_000_000, slew_ppm=5_000, max_skew_ppm=20_000,
)  # fmt: skip

_SLEW_TIME_US = 10_000_000
_MIN_SPAN_US = 10_000_000  # shorter than this, a slope would be noise
_BACK_US = 300_000


class MediaClock:
    """Feed it every unit's media time and arrival; ask it for the host time of any media time.

    `jumps` grows by one whenever the answer became discontinuous.
    """

    def __init__(self, limits: ClockLimits, *, skew: float = 0.0) -> None:
        self.skew = skew  # d(host)/d(media) - 1
        self.jumps = 0
        self._limits = limits
        self._shift_us = 0.0  # callers' media time minus ours
        self._clear()

    def _clear(self) -> None:
        self._bins: deque[tuple[float, float]] = deque()  # closed: the least late (media, lateness)
        self._bin_start = 0.0
        self._bin_media = 0.0
        self._bin_late: float | None = None
        self._line_media = 0.0
        self._line_late: float | None = None
        self._out: tuple[float, float, float] | None = None  # (media, lateness, slope)
        self._late_since: float | None = None
        self._late_bins: list[tuple[float, float]] = []
        self._last_media = 0.0

    @property
    def started(self) -> bool:
        return self._line_late is not None

    def restart(self) -> None:
        """Forgets the line after a reported loss; the skew is the device's own and stays."""
        self._clear()
        self.jumps += 1

    def shift_media(self, shift_us: float) -> None:
        """The device's media times are greater by `shift_us` from now on; nothing else changed."""
        self._shift_us += shift_us

    def host_us(self, media_us: float) -> int:
        """Host time at which `media_us` was captured, the constant delay included. Needs one `observe`."""
        media = media_us - self._shift_us
        out = self._out
        if out is None:
            return round(media + self._on_line(media))
        at, late, slope = out
        return round(media + late + slope * (media - at))

    def observe(self, media_us: float, arrival_us: float) -> None:
        media = media_us - self._shift_us
        late = arrival_us - media
        line = self._line_late
        if line is None:
            self._line_media, self._line_late = media, late
        else:
            expected = line + self.skew * (media - self._line_media)
            if media < self._last_media - _BACK_US or (
                self._bins and late < expected - self._limits.early_us
            ):
                self.restart()
                self._line_media, self._line_late = media, late
            elif not self._bins and late < expected:
                self._line_media, self._line_late = media, late
        self._last_media = media
        if self._bin_late is None:
            self._bin_start, self._bin_media, self._bin_late = media, media, late
        elif media >= self._bin_start + self._limits.bin_us:
            self._close_bin(self._bin_late)
            self._bin_start, self._bin_media, self._bin_late = media, media, late
        elif late - self.skew * media < self._bin_late - self.skew * self._bin_media:
            self._bin_media, self._bin_late = media, late

    def _on_line(self, media: float) -> float:
        line = self._line_late
        if line is None:
            raise ValueError("the clock has observed nothing yet")
        return line + self.skew * (media - self._line_media)

    def _lateness(self, media: float) -> float:
        if self._out is None:
            return self._on_line(media)
        at, late, slope = self._out
        return late + slope * (media - at)

    def _close_bin(self, late: float) -> None:
        media = self._bin_media
        self._watch_lateness(media, late)
        if not self._bins or media > self._bins[-1][0]:
            self._bins.append((media, late))
        while media - self._bins[0][0] > self._limits.window_us:
            self._bins.popleft()
        self._fit()
        target = self._on_line(media)
        if self._out is None:
            self._out = (media, target, self.skew)
            return
        now = self._lateness(media)
        slew = self._limits.slew_ppm * 1e-6
        self._out = (media, now, self.skew + min(max((target - now) / _SLEW_TIME_US, -slew), slew))

    def _watch_lateness(self, media: float, late: float) -> None:
        if not self._bins or late <= self._on_line(media) + self._limits.late_us:
            self._late_since = None
            return
        if self._late_since is None:
            self._late_since, self._late_bins = self._bin_start, []
        self._late_bins.append((media, late))
        if media - self._late_since >= self._limits.late_for_us:
            kept = self._late_bins
            self.restart()
            self._bins.extend(kept)
            self._last_media = media

    def _fit(self) -> None:
        bins = self._bins
        if bins[-1][0] - bins[0][0] < _MIN_SPAN_US:
            self._line_media, self._line_late = min(bins, key=lambda b: b[1] - self.skew * b[0])
            return
        hull: list[tuple[float, float]] = []
        for x, y in bins:
            while len(hull) > 1:
                (x0, y0), (x1, y1) = hull[-2], hull[-1]
                if (y1 - y0) * (x - x1) < (y - y1) * (x1 - x0):
                    break
                hull.pop()
            hull.append((x, y))
        middle = (bins[0][0] + bins[-1][0]) / 2
        left, right = next((a, b) for a, b in itertools.pairwise(hull) if b[0] >= middle)
        limit = self._limits.max_skew_ppm * 1e-6
        self.skew = min(max((right[1] - left[1]) / (right[0] - left[0]), -limit), limit)
        self._line_media, self._line_late = left
