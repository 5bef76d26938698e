"""A straight line through time that is steered, never moved: what media times are on the host's clock.

Its value at a media time, once final, stays: who asks again, or for a moment ago, gets the same answer.
Pure, all in microseconds.
"""

from __future__ import annotations

from collections import deque

# Sound and pictures that are shown out of order ask for the past, by less than this.
_MEMORY_US = 10_000_000


class SlewedLine:
    """Lateness (host minus media time) over media time: pieces of straight line without steps.

    Beyond `final_us`, the last turn, answers are forecasts; before it they never change, for ten seconds.
    """

    def __init__(self, media_us: float, late_us: float, slope: float) -> None:
        self._pieces: deque[tuple[float, float, float]] = deque([(media_us, late_us, slope)])

    @property
    def final_us(self) -> float:
        return self._pieces[-1][0]

    @property
    def slope(self) -> float:
        """Of the last piece: d(host)/d(media) - 1."""
        return self._pieces[-1][2]

    def late_us(self, media_us: float) -> float:
        pieces = self._pieces
        piece = pieces[-1]
        if media_us < piece[0]:
            piece = next((each for each in reversed(pieces) if each[0] <= media_us), pieces[0])
        at_us, late_us, slope = piece
        return late_us + slope * (media_us - at_us)

    def turn(self, media_us: float, slope: float) -> None:
        """From `media_us` on the line goes by `slope`. An earlier one than `final_us` counts as that."""
        media_us = max(media_us, self.final_us)
        late_us = self.late_us(media_us)
        if media_us == self.final_us and len(self._pieces) > 1:
            self._pieces.pop()
        self._pieces.append((media_us, late_us, slope))
        while len(self._pieces) > 1 and self._pieces[1][0] < media_us - _MEMORY_US:
            self._pieces.popleft()
