"""What is known of each device's clock, kept over restarts: a crystal of yesterday is that of today.

One small file; losing it costs a few minutes of a less certain clock, so it is written rarely.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from recorder.durable import replace_file
from recorder.instants import US_PER_MINUTE
from recorder.logging import get_logger

_WRITE_EVERY_US = 10 * US_PER_MINUTE
# A clock that was watched for less has not told its skew yet.
LEARNT_AFTER_US = 2 * US_PER_MINUTE
_MAX_DEVICES = 100
# No clock is that far off; NaN is not less than it either.
_ABSURD = 0.05


class Skews:
    """Thread-safe. A skew is d(host)/d(media) - 1, see MediaClock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._skews: dict[str, float] = {}
        self._written_us = 0
        self._log = get_logger()
        try:
            document = json.loads(path.read_bytes())
            self._skews = {
                str(name): float(skew) for name, skew in document.items() if abs(float(skew)) < _ABSURD
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._log.warning("clock rates of the devices are unreadable", path=str(path), reason=str(error))

    def of(self, device: str) -> float:
        """0 for one that is not known."""
        return self._skews.get(device, 0.0)

    def learn(self, device: str, skew: float, now_us: int) -> None:
        """Written within ten minutes; a disk that refuses is no reason to stop recording."""
        with self._lock:
            self._skews.pop(device, None)
            self._skews[device] = skew
            while len(self._skews) > _MAX_DEVICES:
                self._skews.pop(next(iter(self._skews)))
            if 0 <= now_us - self._written_us < _WRITE_EVERY_US:
                return
            self._written_us = now_us
            try:
                replace_file(self._path, json.dumps(self._skews).encode())
            except OSError as error:
                self._log.warning("clock rates of the devices cannot be kept", reason=error.strerror)
