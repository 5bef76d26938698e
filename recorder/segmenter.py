"""What becomes of each packet: which segment it belongs to, when one begins and when one ends.

Segments begin on keyframes, on the first at or after each whole minute, and never outlast the
limit. Sound belongs to the segment in whose picture interval it begins. It arrives late, so a
segment whose picture has ended stays open for its sound a little longer, as the *previous* one.

Pure: packets in, actions out. Times are UTC microseconds for windows and minutes, microseconds of
the host's monotonic clock for the order of packets.
"""

from __future__ import annotations

from typing import Final

from recorder.instants import US_PER_MINUTE
from recorder.intervals import Interval
from recorder.manifest import MAX_SEGMENT_US

# How far the picture may run ahead of a cut before sound that still belongs before it is given up: longer
# than it takes to notice that a microphone is silent and to turn to what the camera heard meanwhile.
SOUND_GRACE_US = 2_000_000
# A segment must not pass the limit even by the frame that shows it the end.
_LIMIT_MARGIN_US = 1_000_000


class Action:
    """Bits, carried out in this order; none of them: the packet is dropped.

    Plain integers: an enum's operators would cost more than all of the deciding.
    """

    DROP: Final = 0
    CLOSE: Final = 1  # the current segment ends before this packet and becomes the previous one
    OPEN: Final = 2  # likewise if there is a current one; then a segment begins with this packet
    FINISH: Final = 4  # the previous segment gets nothing more
    KEEP: Final = 8  # the packet goes into the current segment
    KEEP_PREVIOUS: Final = 16  # the packet goes into the previous segment


class Segmenter:
    """Decides for one run. `window` bounds what may be kept, by recorded timestamps."""

    def __init__(
        self,
        window: Interval,
        *,
        has_sound: bool,
        segment_us: int = US_PER_MINUTE,
        limit_us: int = MAX_SEGMENT_US,
    ) -> None:
        self.window = window
        self._has_sound = has_sound
        self._segment_us = segment_us
        self._limit_us = limit_us - min(_LIMIT_MARGIN_US, limit_us // 4)
        self._open = False
        self._start_utc_us = 0
        self._start_us = 0.0
        self._cut_utc_us = 0
        self._previous_start_us = 0.0
        self._previous_end_us: float | None = None  # media time at which the previous picture ends

    @property
    def is_open(self) -> bool:
        return self._open

    def video(self, utc_us: int, media_us: float, *, keyframe: bool) -> int:
        """Bits of Action. `utc_us` and `media_us` are the packet's presentation time."""
        window = self.window
        if not window.start_us <= utc_us < window.end_us:
            return self._close(media_us)
        if not self._open:
            # Nothing before a keyframe can be decoded.
            return self._begin(utc_us, media_us) if keyframe else self._settle(media_us)
        if keyframe and utc_us >= self._cut_utc_us:
            return self._begin(utc_us, media_us)
        if utc_us - self._start_utc_us >= self._limit_us:
            return self._close(media_us)
        if self._previous_end_us is not None:
            return Action.KEEP | self._settle(media_us)
        return Action.KEEP

    def audio(self, utc_us: int, media_us: float, duration_us: float) -> int:
        """A packet of sound lies in the window as a whole or is dropped."""
        finish: int = Action.DROP
        if self._previous_end_us is not None:
            if media_us < self._previous_end_us:
                inside = media_us >= self._previous_start_us and self._inside(utc_us, duration_us)
                return Action.KEEP_PREVIOUS if inside else Action.DROP
            self._previous_end_us = None
            finish = Action.FINISH
        if not self._open or media_us < self._start_us or not self._inside(utc_us, duration_us):
            return finish
        return finish | Action.KEEP

    def end(self, media_us: float) -> int:
        """Bits of Action. No more pictures come, what follows begins there; sound from before may still."""
        return self._close(media_us)

    def _inside(self, utc_us: int, duration_us: float) -> bool:
        return self.window.start_us <= utc_us and utc_us + duration_us <= self.window.end_us

    def _begin(self, utc_us: int, media_us: float) -> int:
        was_open = self._open
        if was_open and self._has_sound:
            self._previous_start_us, self._previous_end_us = self._start_us, media_us
        self._open = True
        self._start_utc_us, self._start_us = utc_us, media_us
        self._cut_utc_us = (utc_us // self._segment_us + 1) * self._segment_us
        if was_open:
            return Action.OPEN | Action.KEEP | (0 if self._has_sound else Action.FINISH)
        return Action.OPEN | Action.KEEP | self._settle(media_us)

    def _close(self, media_us: float) -> int:
        if not self._open:
            return self._settle(media_us)
        self._open = False
        if not self._has_sound:
            return Action.CLOSE | Action.FINISH
        self._previous_start_us, self._previous_end_us = self._start_us, media_us
        return Action.CLOSE

    def _settle(self, media_us: float) -> int:
        """Gives up waiting for sound of the previous segment."""
        end = self._previous_end_us
        if end is None or media_us < end + SOUND_GRACE_US:
            return Action.DROP
        self._previous_end_us = None
        return Action.FINISH


class SoundSegmenter:
    """Decides for a run of sound alone: segments begin on the first packet at or after the whole minute."""

    def __init__(self, window: Interval, *, segment_us: int = US_PER_MINUTE) -> None:
        self.window = window
        self._segment_us = segment_us
        self._cut_utc_us: int | None = None

    def audio(self, utc_us: int, _media_us: float, duration_us: float) -> int:
        """Bits of Action. A packet lies in the window as a whole or is dropped."""
        window = self.window
        if utc_us < window.start_us or utc_us + duration_us > window.end_us:
            return Action.DROP
        if self._cut_utc_us is not None and utc_us < self._cut_utc_us:
            return Action.KEEP
        self._cut_utc_us = (utc_us // self._segment_us + 1) * self._segment_us
        return Action.OPEN | Action.FINISH | Action.KEEP
