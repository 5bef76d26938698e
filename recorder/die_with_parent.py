"""Child processes that never outlive their parent, however it ends."""

from __future__ import annotations

import ctypes
import signal

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
# Loaded here, not in the child: between fork and exec nothing may allocate or import.
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """A `preexec_fn`: the kernel ends the child when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
