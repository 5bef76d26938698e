"""A device's media clock on the host's CLOCK_MONOTONIC, from nothing but arrivals.

Delay can only be added. So the lower convex hull of (arrival - media time) over media time touches
the packets that were not delayed, and the hull's edge over the middle of the window is the clock:
jitter, bursts and stalls do not bend it, and the skew of the device is its slope. The constant part
of the delay (exposure, encoder, network floor) stays in: no clock can see it.

No crystal moves by milliseconds within seconds. So a sudden fall of the floor is believed at once,
with the slope kept; a sudden rise of a camera's floor is the network's and is held to be delay until it
is over, at the price that a media clock set back by less than a frame is not seen.

Media time must not wrap (FFmpeg unwraps RTP time, samples are counted in Python). Pure, all in
microseconds; never looks at the wall clock.
"""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from dataclasses import dataclass

from recorder.slewed_line import SlewedLine


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
    # Every arrival later by `lost_us` during `lost_for_us`: media are missing that were not counted.
    # A stall is over sooner, because what had waited comes at once. None: such media are counted.
    lost_us: int | None = None
    lost_for_us: int = 0
    # A sudden rise of the floor is the network's, and not followed.
    holds_rises: bool = False


# Some cameras count RTP nominally while their frames run thousands of ppm off.
CAMERA = ClockLimits(
    window_us=600_000_000, bin_us=2_000_000, early_us=50_000, late_us=100_000,
    late_for_us=20_000_000, slew_ppm=5_000, max_skew_ppm=20_000, holds_rises=True,
)  # fmt: skip

# Sample counts against the time of the callback. Crystals are within 200 ppm. What a driver loses
# without a word is seen within half a second from 45 ms on (bursts of jitter end at 40), within 5 s
# from 15 ms on; less is not worth a jump.
MICROPHONE = ClockLimits(
    window_us=300_000_000, bin_us=1_000_000, early_us=20_000, late_us=15_000,
    late_for_us=5_000_000, slew_ppm=500, max_skew_ppm=600, lost_us=45_000, lost_for_us=500_000,
)  # fmt: skip

_SLEW_TIME_US = 4_000_000
_MIN_SPAN_US = 10_000_000  # shorter than this, a slope would be noise
_BACK_US = 300_000
# What is sudden: a difference that no crystal makes within a bin, nor jitter between the least late
# units of ten bins and of the ten before. Only from a line that has been learned.
_STEP_US = 6_000
_STEP_BINS = 10
_LEARNED_US = 60_000_000
_LEVEL_LEAST_US = 2_000
# A line begun after a jump rests on one arrival, which may itself have been late; until the first bin is
# closed it rather jumps again than slews for many seconds. Whoever heeds jumps at keyframes sees one.
_JUMP_EARLY_US = 10_000
# Answers up to this far beyond the last observation are kept.
_AHEAD_US = 1_000_000
# For the uncertainty: the latest arrivals, and what is left of it at best.
_RECENT_US = 30_000_000
_LEAST_UNCERTAINTY_US = 500
_YOUNG_UNCERTAINTY_US = 20_000


class MediaClock:
    """Feed it every unit's media time and arrival; ask it for the host time of any media time.

    From the first question on the answers are one continuous, increasing function of media time: it
    follows what was observed by running at most `slew_ppm` faster or slower than the skew. `jumps`
    grows by one whenever that was impossible and a new function began; the next question begins it.
    """

    def __init__(self, limits: ClockLimits, *, skew: float = 0.0) -> None:
        """`skew` of the same device at an earlier time, if known."""
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
        self._out: SlewedLine | None = None
        self._asked = 0.0
        self._level = 0.0  # delay beyond the floor, already taken off the bins
        self._late_since: float | None = None
        self._late_bins: list[tuple[float, float]] = []
        self._doubt_since: float | None = None  # arrival
        self._doubtful = (0.0, 0.0)  # the least late since then
        self._last_media = 0.0

    @property
    def started(self) -> bool:
        return self._line_late is not None

    @property
    def in_doubt(self) -> bool:
        """The latest arrivals tell of a stall or of media lost uncounted. Which, will be known half a second
        of arrivals later at most; until then media are better kept than placed.
        """
        return self._doubt_since is not None

    @property
    def uncertainty_us(self) -> int | None:
        """How far the answer may be from where arrivals put it; None before the first.

        The sum of: how much the answer has yet to slew; how far above the line the usual least late
        arrival is, which tells how sharp the floor of the delay is; by how much all arrivals of the last
        half minute are later than the line; what is held to be delay; in the first ten seconds, what jitter
        may have hidden. True at the last observation. A delay that was there all along is not in it.
        """
        bin_late = self._bin_late
        if bin_late is None:
            return None
        points = [*self._bins, (self._bin_media, bin_late - self._level)]
        above = [late - self._on_line(media) for media, late in points]
        recent = self._bin_media - _RECENT_US
        lately = min(each for each, (media, _) in zip(above, points, strict=True) if media >= recent)
        unslewed = self._lateness(self._bin_media) - self._on_line(self._bin_media)
        span = points[-1][0] - points[0][0]
        young = _YOUNG_UNCERTAINTY_US * max(0.0, 1 - span / _MIN_SPAN_US)
        doubts = (unslewed, statistics.median(above), lately, self._level, young)
        return round(sum(abs(each) for each in doubts)) + _LEAST_UNCERTAINTY_US

    @property
    def ahead_us(self) -> int:
        """How much later its answers are than where arrivals put the line: what it has yet to slew."""
        if self._line_late is None:
            return 0
        return round(self._lateness(self._last_media) - self._on_line(self._last_media))

    def restart(self) -> None:
        """Forgets the line after a reported loss; the skew is the device's own and stays."""
        self._clear()
        self.jumps += 1

    def shift_media(self, shift_us: float) -> None:
        """The device's media times are greater by `shift_us` from now on; nothing else changed."""
        self._shift_us += shift_us

    def host_us(self, media_us: float) -> int:
        """Host time at which `media_us` was captured, the constant delay included. Needs one `observe`.

        Final for media times up to a second beyond the last one observed, a forecast beyond.
        """
        media = media_us - self._shift_us
        out = self._out
        if out is None:
            out = self._out = SlewedLine(media, self._on_line(media), self.skew)
            self._asked = media
        elif media > self._asked:
            self._asked = media
        return round(media + out.late_us(media))

    def observe(self, media_us: float, arrival_us: float) -> None:
        """Units in the order of their arrival."""
        media = media_us - self._shift_us
        late = arrival_us - media
        line = self._line_late
        if line is None:
            self._line_media, self._line_late = media, late
        else:
            above = late - line - self.skew * (media - self._line_media)
            settled = bool(self._bins) or self._out is not None
            early = self._limits.early_us if self._bins or not self.jumps else _JUMP_EARLY_US
            if media < self._last_media - _BACK_US or (settled and above < -early):
                self.restart()
                self._line_media, self._line_late = media, late
            elif not self._bins and above < 0:
                self._line_media, self._line_late = media, late
            elif settled and self._limits.lost_us is not None:
                self._watch_loss(media, late, above, arrival_us)
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
        return self._on_line(media) if self._out is None else self._out.late_us(media)

    def _close_bin(self, late: float) -> None:
        media = self._bin_media
        late = self._without_level(media, late)
        self._watch_lateness(media, late)
        if not self._bins or media > self._bins[-1][0]:
            self._bins.append((media, late))
        if self._limits.holds_rises:
            self._watch_rise()
        while media - self._bins[0][0] > self._limits.window_us:
            self._bins.popleft()
        self._fit()
        if self._out is not None:
            self._steer(self._out)

    def _steer(self, out: SlewedLine) -> None:
        # Pictures come out of order: the last one may be older than others were.
        at = max(self._last_media, min(self._asked, self._last_media + _AHEAD_US + _BACK_US))
        slew = self._limits.slew_ppm * 1e-6
        correction = (self._on_line(at) - out.late_us(at)) / _SLEW_TIME_US
        out.turn(at, self.skew + min(max(correction, -slew), slew))

    def _watch_loss(self, media: float, late: float, above: float, arrival: float) -> None:
        if above <= (self._limits.lost_us or 0):
            self._doubt_since = None
            return
        least_media, least_late = self._doubtful
        if self._doubt_since is None:
            self._doubt_since, self._doubtful = arrival, (media, late)
        elif late - least_late < self.skew * (media - least_media):
            self._doubtful = media, late
        if arrival - self._doubt_since >= self._limits.lost_for_us:
            least = self._doubtful
            self.restart()
            self._line_media, self._line_late = least

    def _without_level(self, media: float, late: float) -> float:
        """A bin's lateness less the delay that is held; where the floor fell, that or the line gives way."""
        bins = self._bins
        if not bins:
            return late
        above = late - self._level - self._on_line(media)
        if self._level:
            if above < 0:
                self._level += above
                if self._level < _LEVEL_LEAST_US:
                    self._level = 0.0
        elif above < -_STEP_US and media - bins[0][0] > _LEARNED_US:
            self._bins = deque((at, each + above) for at, each in bins)
            self._line_late = (self._line_late or 0.0) + above
        return late - self._level

    def _watch_rise(self) -> None:
        bins = self._bins
        if len(bins) < 2 * _STEP_BINS or bins[-1][0] - bins[0][0] < _LEARNED_US:
            return
        latest = itertools.islice(reversed(bins), 2 * _STEP_BINS)
        above = [late - self._on_line(media) for media, late in latest]
        rise = min(above[:_STEP_BINS])
        usual = statistics.median(above[_STEP_BINS:])
        if not usual + _STEP_US <= rise <= self._limits.late_us:
            return
        self._level += rise
        risen = [bins.pop() for _ in range(_STEP_BINS)]
        bins.extend((media, late - rise) for media, late in reversed(risen))

    def _watch_lateness(self, media: float, late: float) -> None:
        if not self._bins or late <= self._on_line(media) + self._limits.late_us:
            self._late_since = None
            return
        if self._late_since is None:
            self._late_since, self._late_bins = self._bin_start, []
        self._late_bins.append((media, late))
        if media - self._late_since >= self._limits.late_for_us:
            kept, level = self._late_bins, self._level
            self.restart()
            self._bins.extend((at, each + level) for at, each in kept)
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


class PictureArrivals:
    """When pictures arrived, as far as FFmpeg lets one know: its parser gives a picture when the first bytes
    of the next one have come, so that is when the next one arrived.
    """

    def __init__(self, clock: MediaClock) -> None:
        self._clock = clock
        self._next_came_us = 0

    def observe(self, media_us: float, given_us: int) -> None:
        """In the order in which FFmpeg gives them."""
        came_us, self._next_came_us = self._next_came_us, given_us
        if came_us:
            self._clock.observe(media_us, came_us)

    def packets_dropped(self) -> None:
        """What is given next does not follow what was given last."""
        self._next_came_us = 0
