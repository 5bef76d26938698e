"""Whether a room is heard to be in use, from how loud it was lately.

Pure: fed with the loudest moment of each few seconds.
"""

from __future__ import annotations

from collections import deque

from recorder.instants import US_PER_MINUTE

# Talk at a table peaks between -30 and -10 dBFS on a boundary microphone; an empty office with its
# ventilation stays below -45. Between them lies the line.
LOUD_DBFS = -35.0
_OVER_US = 5 * US_PER_MINUTE
# People pause to read and to think; a door that slams does not come every half minute.
_SHARE = 0.2
_LEAST_LOUD = 3


class InUse:
    """Of one source."""

    def __init__(self) -> None:
        self._heard: deque[tuple[int, bool]] = deque()

    def hear(self, peak_dbfs: float | None, at_us: int) -> None:
        """None: nothing could be heard, which says nothing."""
        if peak_dbfs is not None:
            self._heard.append((at_us, peak_dbfs > LOUD_DBFS))

    def is_in_use(self, at_us: int) -> bool:
        """In a fifth of the reports of the last five minutes, and in three of them, somebody was heard."""
        while self._heard and not 0 <= at_us - self._heard[0][0] < _OVER_US:
            self._heard.popleft()
        loud = sum(was_loud for _, was_loud in self._heard)
        return loud >= _LEAST_LOUD and loud >= _SHARE * len(self._heard)
