"""A bound on wrong PINs from one network address, beside the bound on each number.

It lives in memory: what it protects (that one address cannot lock many strangers' numbers, or try one
PIN on all of them) needs minutes, not durability.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from recorder.instants import US_PER_MINUTE


class Throttle:
    """At most `limit` events of one key within `window_us`. Safe to share between threads."""

    def __init__(
        self, limit: int = 20, window_us: int = 15 * US_PER_MINUTE, keys_at_most: int = 10_000
    ) -> None:
        self._limit = limit
        self._window_us = window_us
        self._keys_at_most = keys_at_most
        self._events: OrderedDict[str, deque[int]] = OrderedDict()
        self._lock = threading.Lock()

    def is_spent(self, key: str, now_us: int) -> bool:
        with self._lock:
            events = self._events.get(key)
            if events is None:
                return False
            while events and events[0] <= now_us - self._window_us:
                events.popleft()
            if not events:
                del self._events[key]
                return False
            return len(events) >= self._limit

    def record(self, key: str, now_us: int) -> None:
        with self._lock:
            # Only as many as the limit matter; the oldest address goes when too many are known.
            self._events.setdefault(key, deque(maxlen=self._limit)).append(now_us)
            self._events.move_to_end(key)
            if len(self._events) > self._keys_at_most:
                self._events.popitem(last=False)
