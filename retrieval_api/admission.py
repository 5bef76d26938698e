"""How much one room may send at once and in a minute, and how slowly: bounds for an agent gone wild.

Sized so that an honest agent never meets them, at the end of an outage either. They are kept in memory
for each server process: with two of them a room may send twice as much.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from recorder.instants import US_PER_MINUTE, US_PER_SECOND

# One shipper a room; another while the host is replaced; and the broken connections of both that the
# server has not noticed yet.
MAX_UPLOADS = 4
# A month of spool: 22 days of 8.5 h at one segment a minute are 11 220; gap records come on top.
BURST_ENTRIES = 15_000
# Twenty a second: a segment that is fsynced and indexed takes longer than that on most disks.
ENTRIES_PER_MINUTE = 1_200
# A hundred times real time at 4 Mbit/s; back-filling was seen at twenty times.
BYTES_PER_MINUTE = 100 * 60 * 4_000_000 // 8
# A whole working day of one room (8 h at 4 Mbit/s are 14.4 GB) at whatever speed the wire has.
BURST_BYTES = 16 * 10**9
# Slower than this no camera's stream could ever be delivered: footage alone is made thirty times faster.
MIN_BYTES_PER_SECOND = 16 * 1024
# Until then anything goes: connections begin slowly.
PACE_GRACE_S = 60
# The agent itself gives up after 15 s without progress.
MAX_SILENCE_S = 30


@dataclass
class TokenBucket:
    """`capacity` tokens, refilled at `per_minute`. Pure: it knows no clock but the `now_us` it is given.

    What was spent is charged afterwards and may exceed what is there; until it is made up for, the
    bucket is closed.
    """

    capacity: float
    per_minute: float
    level: float = field(init=False)
    _at_us: int = 0

    def __post_init__(self) -> None:
        self.level = self.capacity

    def wait_us(self, now_us: int) -> int:
        """0 while anything may be spent; else the time until it may. A clock set back refills nothing."""
        passed = max(0, now_us - self._at_us)
        self._at_us = now_us
        self.level = min(self.capacity, self.level + passed * self.per_minute / US_PER_MINUTE)
        if self.level > 0:
            return 0
        return math.ceil((1 - self.level) * US_PER_MINUTE / self.per_minute)

    def charge(self, amount: float) -> None:
        self.level -= amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not now. `wait_s`: when it is worth another attempt."""

    reason: str
    wait_s: int


class _Room:
    def __init__(self) -> None:
        self.uploads = 0
        self.entries = TokenBucket(BURST_ENTRIES, ENTRIES_PER_MINUTE)
        self.bytes = TokenBucket(BURST_BYTES, BYTES_PER_MINUTE)


class Admission:
    """Who may send now. Ask only for rooms whose agent has proved itself: it remembers each. Safe to share
    between threads. After `enter` has returned None, `leave` must follow.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._lock = threading.Lock()

    def enter(self, room: str, now_us: int) -> Refusal | None:
        with self._lock:
            state = self._rooms.setdefault(room, _Room())
            if state.uploads >= MAX_UPLOADS:
                return Refusal(f"room {room} sends {state.uploads} entries at once already", 2)
            wait_us = max(state.entries.wait_us(now_us), state.bytes.wait_us(now_us))
            if wait_us:
                wait_s = -(-wait_us // US_PER_SECOND)
                return Refusal(f"room {room} sends faster than is believed; wait {wait_s} s", wait_s)
            state.uploads += 1
            state.entries.charge(1)
            return None

    def leave(self, room: str, received_bytes: int) -> None:
        with self._lock:
            state = self._rooms[room]
            state.uploads -= 1
            state.bytes.charge(received_bytes)


def too_slow(received_bytes: int, elapsed_s: float) -> bool:
    """Whether a body that has been coming for so long dribbles. Pure."""
    return elapsed_s > PACE_GRACE_S and received_bytes < (elapsed_s - PACE_GRACE_S) * MIN_BYTES_PER_SECOND
