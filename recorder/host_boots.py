"""When the host was started and shut down, by its own records, and what that says about an agent's absence.

`/var/log/wtmp` holds a record for each boot and each orderly shutdown (systemd writes both), and
`/proc/stat` the present boot in the present clock. Records are hints: a host without them has only
its boot id, and an absence over a boot is then a loss of power.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recorder.instants import US_PER_SECOND
from recorder.manifest import GapCause

WTMP = Path("/var/log/wtmp")
PROC_STAT = Path("/proc/stat")

# struct utmp of glibc: type, pid, line, id, user, host, exit, session, time, address. On 64-bit ARM
# session and time are 64 bits wide, elsewhere 32 (bits/wordsize.h, __WORDSIZE_TIME64_COMPAT32).
_NARROW = struct.Struct("<h2xi32s4s32s256s2hiii16x20x")
_WIDE = struct.Struct("<h2xi32s4s32s256s2hqqq16x20x4x")
_RUN_LEVEL, _BOOT_TIME = 1, 2
# The boots and shutdowns of the last months, between the log-ins of a host that nobody uses.
_TAIL_RECORDS = 500
# The kernel's idea of its boot moves with the clock, and wtmp is written some seconds into it.
_SAME_BOOT_US = 120 * US_PER_SECOND
# systemd gives services 90 s to stop; an agent that went this soon before a shutdown went with it.
_STOPPING_US = 120 * US_PER_SECOND

_SHUT_DOWN = "the host was shut down"
_STARTING = "the host was starting"


@dataclass(frozen=True, order=True, slots=True)
class BootEvent:
    at_us: int
    kind: Literal["boot", "shutdown"]


def explain(
    since_us: int, now_us: int, events: Iterable[BootEvent], *, same_boot: bool
) -> list[tuple[int, GapCause, str]]:
    """Why an agent that did not stop cleanly was away over `[since_us, now_us)`: from when on which cause.

    Until when the host ran before its power was lost is not known better than the agent's last write,
    so all of the time from there to the boot is `power_lost`. An orderly shutdown is `maintenance` until
    the host is up again; from a boot until the agent runs it is `agent_down`.
    """
    if same_boot:
        return [(since_us, GapCause.AGENT_DOWN, "")]
    told: list[tuple[int, GapCause, str]] = []
    up_us = since_us
    shut = booted = False
    for event in sorted(each for each in events if since_us < each.at_us <= now_us):
        if event.kind == "shutdown":
            if not shut and event.at_us - up_us > _STOPPING_US:
                told.append((up_us, GapCause.AGENT_DOWN, _STARTING if booted else ""))
                up_us = event.at_us
            told.append((up_us, GapCause.MAINTENANCE, _SHUT_DOWN))
            shut = True
        else:
            if not shut:
                told.append((up_us, GapCause.POWER_LOST, ""))
            up_us, shut, booted = event.at_us, False, True
    if booted and not shut:
        told.append((up_us, GapCause.AGENT_DOWN, _STARTING))
    return told or [(since_us, GapCause.POWER_LOST, "")]


def read_boots(wtmp: Path = WTMP, proc_stat: Path = PROC_STAT) -> list[BootEvent]:
    """By time; what cannot be read is not there."""
    events = list(_wtmp_events(wtmp))
    present_us = _present_boot_us(proc_stat)
    if present_us is not None:
        # In the present clock; wtmp's own was written before the time service had set it.
        events = [each for each in events if each.kind != "boot" or not _same(each.at_us, present_us)]
        events.append(BootEvent(present_us, "boot"))
    return sorted(events)


def _same(one_us: int, other_us: int) -> bool:
    return abs(one_us - other_us) <= _SAME_BOOT_US


def _wtmp_events(path: Path) -> Iterator[BootEvent]:
    record = _WIDE if platform.machine() == "aarch64" else _NARROW
    try:
        with path.open("rb") as file:
            whole = file.seek(0, 2) // record.size
            file.seek(max(0, whole - _TAIL_RECORDS) * record.size)
            data = file.read(min(whole, _TAIL_RECORDS) * record.size)
    except OSError:
        return
    for fields in record.iter_unpack(data[: len(data) // record.size * record.size]):
        kind, user, seconds, micros = fields[0], fields[4].rstrip(b"\0"), fields[9], fields[10]
        if kind == _BOOT_TIME:
            yield BootEvent(seconds * US_PER_SECOND + micros, "boot")
        elif kind == _RUN_LEVEL and user == b"shutdown":
            yield BootEvent(seconds * US_PER_SECOND + micros, "shutdown")


def _present_boot_us(path: Path) -> int | None:
    try:
        for line in path.read_text("ascii", "replace").splitlines():
            name, _, value = line.partition(" ")
            if name == "btime":
                return int(value) * US_PER_SECOND
    except (OSError, ValueError):
        pass
    return None
