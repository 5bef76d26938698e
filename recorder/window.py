"""The recording window that a source works in: what is recordable, and when the camera is wanted.

Pure: fed with the configuration, the instant and the clock's uncertainty.
"""

from __future__ import annotations

from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from recorder.intervals import Interval
from recorder.manifest import GapCause
from recorder.rooms import RoomConfiguration
from recorder.working_hours import next_window

# Opening takes a camera about two seconds; nothing is kept before the window begins.
_CONNECT_BEFORE_US = 5 * US_PER_SECOND
# Sound of the last picture may still be on its way.
_DISCONNECT_AFTER_US = 1_500_000


class SourceWindow:
    """`recordable` is the window less the clock's uncertainty at both ends; abutting days are one."""

    def __init__(self) -> None:
        self.is_wanted = False
        self.recordable: Interval | None = None
        self.last_end_us = 0
        self._whole: Interval | None = None
        self._configuration: RoomConfiguration | None = None
        self._computed_us = 0

    def contains(self, instant_us: int) -> bool:
        return self._whole is not None and self._whole.contains(instant_us)

    def update(self, configuration: RoomConfiguration, now_us: int, uncertainty_us: int) -> None:
        closing = self.is_wanted and self._whole is not None and now_us >= self._whole.end_us
        changed = configuration is not self._configuration
        stale = not 0 <= now_us - self._computed_us < US_PER_MINUTE
        if closing and not changed:
            if self._whole and now_us >= self._whole.end_us + _DISCONNECT_AFTER_US:
                self._close()
            return
        if changed or stale or self._whole is None:
            self._compute(configuration, now_us, uncertainty_us)
        whole, recordable = self._whole, self.recordable
        opens = whole is not None and recordable is not None and now_us >= whole.start_us - _CONNECT_BEFORE_US
        if self.is_wanted and not opens:
            self._close()
        self.is_wanted = opens

    def reasons_at_opening(self, now_us: int) -> list[tuple[int, GapCause]]:
        """From when on which cause accounts for what is missing, for a window that opens now."""
        whole, recordable = self._whole, self.recordable
        if whole is None or recordable is None:
            return []
        if now_us > whole.start_us:
            return [(now_us, GapCause.OPENING)]
        return [(whole.start_us, GapCause.CLOCK_UNKNOWN), (recordable.start_us, GapCause.OPENING)]

    def _compute(self, configuration: RoomConfiguration, now_us: int, uncertainty_us: int) -> None:
        self._configuration, self._computed_us = configuration, now_us
        whole = next_window(configuration, now_us)
        self._whole, self.recordable = whole, None
        if whole is None:
            return
        start_us, end_us = whole.start_us + uncertainty_us, whole.end_us - uncertainty_us
        if start_us < end_us:
            self.recordable = Interval(start_us, end_us)
            self.last_end_us = end_us

    def _close(self) -> None:
        self.is_wanted = False
        self._whole = None
