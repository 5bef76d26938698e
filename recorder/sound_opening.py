"""Until when missing sound is that of a microphone which still opens, and from when on it is lost.

A picture may be taken before the microphone gives its first sample: then nothing was lost, it was not open
yet. As with a camera that holds until it comes, or until it is known not to come.

Pure; CLOCK_MONOTONIC µs.
"""

from __future__ import annotations

from recorder.instants import US_PER_SECOND
from recorder.manifest import GapCause

# The microphone's thread tells after five seconds that it does not answer (capture.microphone). What it told
# before this source's window opened it does not tell again.
_OPENS_WITHIN_US = 6 * US_PER_SECOND
_FOR_EVER_US = 2**62


class SoundOpening:
    """Of one source. Before the first `begin` no microphone opens: what is missing is lost."""

    def __init__(self) -> None:
        self._until_us = 0
        self._began_us = 0

    def begin(self, now_us: int) -> None:
        """A window opens, and the microphone with it."""
        self._began_us, self._until_us = now_us, _FOR_EVER_US

    @property
    def is_awaited(self) -> bool:
        """Whether it opens still: nothing was heard yet."""
        return self._until_us == _FOR_EVER_US

    @property
    def heard_from_us(self) -> int:
        """When the first sound since `begin` was taken; 0 where none is known."""
        return 0 if self.is_awaited else self._until_us

    def is_overdue(self, now_us: int) -> bool:
        return self.is_awaited and now_us - self._began_us > _OPENS_WITHIN_US

    def heard(self, host_us: int) -> None:
        """The first sound was taken then. Whose it is does not matter: the camera's may stand in."""
        self._until_us = host_us

    def give_up(self) -> None:
        """It cannot be opened: all that is missing is lost."""
        self._until_us = 0

    def causes(self, since_us: int) -> list[tuple[int, GapCause]]:
        """Why sound is missing from `since_us` on, as (from when on, cause)."""
        out = [(since_us, GapCause.OPENING)] if since_us < self._until_us else []
        if not self.is_awaited:
            out.append((max(since_us, self._until_us), GapCause.MICROPHONE_LOST))
        return out
