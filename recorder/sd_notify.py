"""Messages to systemd (`Type=notify`, `WatchdogSec=`); nothing happens where systemd does not listen."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1` or `STATUS=…`; False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    # An address that begins with @ is in Linux's abstract namespace.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            # A supervisor that does not read must not stop the service: a full queue loses the message.
            sock.setblocking(False)
            sock.sendto(state.encode(), name)
    except OSError:
        return False
    return True


def watchdog_interval_s() -> float | None:
    """How often `WATCHDOG=1` is due (half of the limit that systemd set), or None without a watchdog."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not limit_us.isdecimal() or int(limit_us) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(limit_us) / 2_000_000
