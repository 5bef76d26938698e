"""A bound on failures per network address, in memory: guessing gets slow without a row written for it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

_MAX_KEYS = 10_000


class Throttle:
    """At most `limit` failures of a key within `window_us`. Safe to share between threads.

    It forgets at a restart and knows one process only; the lock on the account itself is in the
    database and does not.
    """

    def __init__(self, limit: int, window_us: int) -> None:
        self._limit, self._window_us = limit, window_us
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()
        self._lock = threading.Lock()

    def is_closed(self, key: str, now_us: int) -> bool:
        with self._lock:
            return len(self._recent(key, now_us)) >= self._limit

    def failed(self, key: str, now_us: int) -> None:
        with self._lock:
            recent = self._recent(key, now_us)
            recent.append(now_us)
            self._failures[key] = recent
            self._failures.move_to_end(key)
            # Many addresses must not fill the memory: the longest quiet ones go first.
            while len(self._failures) > _MAX_KEYS:
                self._failures.popitem(last=False)

    def _recent(self, key: str, now_us: int) -> deque[int]:
        recent = self._failures.get(key, deque())
        while recent and recent[0] <= now_us - self._window_us:
            recent.popleft()
        return recent
