"""What a call costs: peak memory and steps, both independent of the machine and its load."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

MAX_PEAK_BYTES = 50 * 10**6


@dataclass(frozen=True)
class Cost:
    """`steps`: calls of functions, Python's and C's; `peak_bytes`: allocated at once during the call."""

    steps: int
    peak_bytes: int


def steps_of(call: Callable[[], object]) -> int:
    """Exceptions pass through."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count


def peak_of(call: Callable[[], object]) -> int:
    """Exceptions pass through."""
    gc.collect()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()
