"""The cage of the decoding program: once inside, it computes, reads its input and writes its output.

A process of the same user could otherwise open the master key's file, or the server's memory, by itself: that
it was handed no key keeps nothing from it once hostile media have taken it over. A system call filter
(seccomp) needs no rights, unlike namespaces and another user, and is there on every Linux that runs this.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct

# A 4K picture takes 12 MB, H.265 keeps up to 17 of them; the libraries alone map 200 MB.
MEMORY_BYTES = 1 << 30
# A minute's sound takes 0.1 s, a 4K keyframe as much.
CPU_S = 20
_NICENESS = 10

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
# linux/filter.h: load a word, jump if equal, return.
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
# Of struct seccomp_data.
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT = 0, 4, 16

# Memory, time, locks within the process, returns from signals, its end; `read` and `write` are looked at
# closer. Nothing that opens, connects, starts, traces, or looks at another process.
_X86_64 = {
    "read": 0, "write": 1, "allowed": (
        9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 35, 39, 60, 96, 186, 202, 204, 219, 228, 230, 231, 318, 334,
    ),
}  # fmt: skip
_AARCH64 = {
    "read": 63, "write": 64, "allowed": (
        222, 226, 215, 214, 134, 135, 139, 124, 216, 233, 101, 172, 93, 169, 178, 98, 123, 128, 113, 115, 94,
        278, 293,
    ),
}  # fmt: skip
# Machine → its AUDIT_ARCH, and its calls.
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}


class ConfinementError(RuntimeError):
    """The cage could not be closed: nothing is decoded outside it."""


def limit() -> None:
    """Bounds of work and memory, and the last place in the queue for the processor."""
    with contextlib.suppress(OSError):
        # A service that may not change priorities has its own.
        os.nice(_NICENESS)
    for which, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(which, (value, value))


def close() -> None:
    """From here on every other system call than the few above fails with EPERM, and there is no way back.

    What is still to be imported must have been. Raises ConfinementError.
    """
    known = _MACHINES.get(platform.machine())
    if known is None:
        raise ConfinementError(
            f"no list of system calls for {platform.machine()}: media are not decoded here"
        )
    program = _program(*known)
    code = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    loaded = Filter(len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise ConfinementError(f"the kernel does not confine: {os.strerror(ctypes.get_errno())}")


def _program(architecture: int, calls: dict[str, object]) -> bytes:
    """The filter as the kernel takes it: 8 bytes an instruction."""
    numbers = calls["allowed"]
    assert isinstance(numbers, tuple)  # noqa: S101 (for the type checker)
    out = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    for number in numbers:
        out += [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]
    for name, descriptor in (("read", 0), ("write", 1)):
        out += [
            _instruction(_JUMP_EQUAL, int(str(calls[name])), 0, 4),
            _instruction(_LOAD, _ARGUMENT_AT),
            _instruction(_JUMP_EQUAL, descriptor, 0, 1),
            _instruction(_RETURN, _ALLOW),
            _instruction(_RETURN, _REFUSE),
        ]
    return b"".join([*out, _instruction(_RETURN, _REFUSE)])


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
