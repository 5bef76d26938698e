"""How far the host's clock can be trusted: what its time service reports to the kernel."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

# An unsynchronised clock that was set by a person or a battery-backed clock.
UNSYNCHRONISED_UNCERTAINTY_US = 1_000_000
_FLOOR_US = 1_000  # scheduling of this process alone
_TIME_ERROR = 5
_STA_UNSYNC = 0x0040


@dataclass(frozen=True, slots=True)
class ClockTrust:
    """`estimated`: no time service vouches for the clock."""

    uncertainty_us: int
    estimated: bool


class _Timex(ctypes.Structure):
    # struct timex of adjtimex(2); what follows `esterror` and `status` is padding to us.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_trust() -> ClockTrust:
    """Asks the kernel; a kernel that does not answer vouches for nothing."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0 or state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return ClockTrust(UNSYNCHRONISED_UNCERTAINTY_US, estimated=True)
    return ClockTrust(max(int(timex.esterror), _FLOOR_US), estimated=False)


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


def wall_minus_monotonic_us() -> int:
    """UTC = CLOCK_MONOTONIC + this. Read between two looks, the nearer pair of three tries."""
    best: tuple[int, int] | None = None
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall - (before + after) // 2)
    assert best is not None  # noqa: S101 three tries were made
    return best[1] // 1000
