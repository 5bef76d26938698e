"""Runs a command under the system-call rules of a systemd unit, without systemd as init.

    python unit_sandbox.py UNIT_FILE COMMAND [ARGUMENT...]

Builds the same seccomp filters as systemd 252 does for SystemCallFilter=, MemoryDenyWriteExecute=,
RestrictAddressFamilies= and ProtectClock=, from the unit itself, so that a test can tell whether the
program lives under them. Mounts, users and cgroups are not imitated.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

_ALLOW = 0x7FFF0000
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_PR_SET_NO_NEW_PRIVS = 38
_EQUAL, _GREATER, _MASKED_EQUAL = 4, 6, 7


class _Compare(ctypes.Structure):
    # struct scmp_arg_cmp of libseccomp.
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _deny(number: int) -> int:
    return 0x00050000 | number


@cache
def _members(group: str) -> frozenset[str]:
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:]
    names = [line.strip() for line in listed if line.strip() and not line.strip().startswith("#")]
    return frozenset().union(*(_members(n) if n.startswith("@") else {n} for n in names))


def values(unit: Path, key: str) -> list[str]:
    """What the unit assigns to the key, in order."""
    lines = [line.partition("=") for line in unit.read_text().splitlines()]
    return [value.strip() for name, _, value in lines if name.strip() == key]


def allowed_calls(unit: Path) -> frozenset[str]:
    """The allow list that the unit's SystemCallFilter= lines come to, each applied to the one before."""
    allowed: frozenset[str] = frozenset()
    for value in values(unit, "SystemCallFilter"):
        names = value.removeprefix("~").split()
        calls = frozenset().union(*(_members(n) if n.startswith("@") else {n} for n in names))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed - _members("@clock") if values(unit, "ProtectClock") == ["yes"] else allowed


class _Filter:
    """One seccomp filter; filters stack, and the strictest answer counts."""

    def __init__(self, library: ctypes.CDLL, default: int) -> None:
        self._library = library
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *compared: _Compare) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:  # a call of another architecture
            return
        comparisons = (_Compare * max(len(compared), 1))(*compared)
        failed = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(compared), comparisons
        )
        if failed:
            raise OSError(-failed, f"seccomp rule for {call}")

    def load(self) -> None:
        failed = self._library.seccomp_load(self._context)
        if failed:
            raise OSError(-failed, "seccomp_load")


def enter(unit: Path) -> None:
    """From here on this process, and all it starts, lives under the unit's rules."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    refused = _Filter(library, _ALLOW)
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = _PROT_WRITE | _PROT_EXEC
        refused.rule(_deny(errno.EPERM), "mmap", _Compare(2, _MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            refused.rule(_deny(errno.EPERM), call, _Compare(2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC))
        refused.rule(_deny(errno.EPERM), "shmat", _Compare(2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC))
    families = {
        getattr(socket, name) for line in values(unit, "RestrictAddressFamilies") for name in line.split()
    }
    for family in range(max(families) + 1):
        if family not in families:
            refused.rule(_deny(errno.EAFNOSUPPORT), "socket", _Compare(0, _EQUAL, family))
    refused.rule(_deny(errno.EAFNOSUPPORT), "socket", _Compare(0, _GREATER, max(families)))
    listed = _Filter(library, _deny(errno.EPERM))
    for call in allowed_calls(unit):
        listed.rule(_ALLOW, call)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    # Loading a filter is itself a call that the allow list does not name: the lists go in this order.
    refused.load()
    listed.load()


if __name__ == "__main__":
    enter(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 the argument list is the test's own
