"""The host's clock as the recorders of a room share it: trust, and steps of the wall clock."""

from __future__ import annotations

from collections.abc import Callable

from recorder.host_clock import ClockTrust, clock_trust, monotonic_us, wall_minus_monotonic_us
from recorder.instants import US_PER_SECOND

# A time service slews less than this; more is a step, and footage on both sides needs its own mapping.
STEP_US = 50_000
# A clock that is slewed gets there in its own time; the run is renewed before, at a keyframe, without a gap.
_SLEWED_US = 20_000
# Beyond this nothing is recorded: nobody could say which meeting it was.
MAX_UNCERTAINTY_US = 60 * US_PER_SECOND
_ASK_EVERY_US = 10 * US_PER_SECOND


class HostWatch:
    """`trust_of` asks the kernel; given by tests only."""

    def __init__(self, trust_of: Callable[[], ClockTrust] = clock_trust) -> None:
        self._trust_of = trust_of
        self._trust = trust_of()
        self._asked_us = monotonic_us()

    @property
    def trust(self) -> ClockTrust:
        """At most ten seconds old."""
        now_us = monotonic_us()
        if now_us - self._asked_us > _ASK_EVERY_US:
            self._trust, self._asked_us = self._trust_of(), now_us
        return self._trust

    def wall_offset_us(self) -> int:
        return wall_minus_monotonic_us()

    def stepped_since(self, wall_offset_us: int) -> bool:
        """Whether the wall clock was set since it stood at this offset to monotonic time."""
        return abs(self.wall_offset_us() - wall_offset_us) > STEP_US

    def slewed_since(self, wall_offset_us: int) -> bool:
        """Whether the wall clock is no longer where it stood, though it was not set."""
        return abs(self.wall_offset_us() - wall_offset_us) > _SLEWED_US
