"""A failure ends a run, never its recorder; only a defect that comes again and again ends the recorder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from recorder.errors import ProtokolError
from recorder.host_clock import monotonic_us
from recorder.instants import US_PER_MINUTE

# The fifth defect within a minute is too many: what is wrong will not go by itself, a new process may help.
_TOO_MANY = 5
_WITHIN_US = US_PER_MINUTE


class DefectError(ProtokolError):
    """The recorder itself was at fault; the log has the traceback."""


class Guard:
    """Call it with a step. One thread."""

    def __init__(
        self,
        failed: Callable[[ProtokolError], None],
        log: FilteringBoundLogger,
        clock_us: Callable[[], int] = monotonic_us,
    ) -> None:
        """`failed` is told of each failure, and of a defect as DefectError."""
        self._failed = failed
        self._log = log
        self._clock_us = clock_us
        self._defects: deque[int] = deque(maxlen=_TOO_MANY)

    def __call__(self, step: Callable[[], object]) -> bool:
        """Whether the step was done. Raises a defect that is one too many."""
        try:
            step()
        except ProtokolError as error:
            self._failed(error)
        except Exception as error:
            defects, now_us = self._defects, self._clock_us()
            defects.append(now_us)
            if len(defects) == _TOO_MANY and now_us - defects[0] < _WITHIN_US:
                raise
            self._log.exception("a defect of the recorder")
            self._failed(DefectError(f"a defect of the recorder: {type(error).__name__}"))
        else:
            return True
        return False
