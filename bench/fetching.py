"""A reader of HTTP that costs little: bytes from a socket of its own, thrown away or kept in a file."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

_BUFFER_BYTES = 1 << 20
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Fetched:
    """`first_byte_s` from the request's last byte to the body's first, `took_s` to its last."""

    status: int
    length: int  # promised
    size_bytes: int  # read
    first_byte_s: float
    took_s: float


def fetch(
    port: int,
    path: str,
    *,
    cookie: str = "",
    first: int = 0,
    last: int | None = None,
    pace_bytes_s: float | None = None,
    most_s: float = _TIMEOUT_S,
    keep: Path | None = None,
) -> Fetched:
    """GET over a new connection. `first`..`last` inclusive is asked for as a range if not the whole;
    `pace_bytes_s` reads no faster; after `most_s` the reader goes away.
    """
    asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nConnection: close\r\n"
    if first or last is not None:
        asked += f"Range: bytes={first}-{'' if last is None else last}\r\n"
    buffer = bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        connection.sendall(asked.encode() + b"\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65_536)
            if not received:
                raise RuntimeError(f"no answer to {path}")
            head += received
        head, _, rest = head.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = int(_header(head, b"content-length"))
        size = len(rest)
        file = keep.open("wb", buffering=0) if keep else None
        try:
            if file:
                file.write(rest)
            first_byte_s = time.perf_counter() - began if size else 0.0
            while size < length and (not size or time.perf_counter() - began < most_s):
                count = connection.recv_into(buffer)
                if not count:
                    break
                first_byte_s = first_byte_s or time.perf_counter() - began
                size += count
                if file:
                    file.write(view[:count])
                if pace_bytes_s is not None:
                    time.sleep(max(0.0, began + size / pace_bytes_s - time.perf_counter()))
        finally:
            if file:
                file.close()
        took_s = time.perf_counter() - began
    return Fetched(status, length, size, first_byte_s, took_s)


def _header(head: bytes, name: bytes) -> str:
    found = re.search(rb"\r\n" + name + rb":\s*([^\r]*)", head, re.IGNORECASE)
    return found[1].decode() if found else ""
