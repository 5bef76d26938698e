"""What the microphone's process says to the recorder's: frames on stdout, last words on stderr. Pure.

A frame is a header and a payload. Header, little-endian, 24 bytes: magic `Pm`, kind (u8), flags (u8), length
of the payload (u32), arrival (i64, CLOCK_MONOTONIC in microseconds), end count (i64, samples).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_HEADER = struct.Struct("<2sBBIqq")
_MAGIC = b"Pm"
_OVERFLOW = 1
# A second of sound; no sound system calls back so seldom.
_MAX_PAYLOAD_BYTES = 96_000


class Kind(IntEnum):
    """OPENED: the payload is the device's name. BLOCK: it is s16le mono."""

    OPENED = 1
    BLOCK = 2


class Ending(IntEnum):
    """Exit status of the microphone's process."""

    LOST = 3  # the device was there and is gone
    MISSING = 4  # there is no such device
    REFUSED = 5  # it is there and cannot be opened


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    payload: bytes
    arrival_us: int = 0
    end_count: int = 0
    overflow: bool = False

    def pack(self) -> bytes:
        flags = _OVERFLOW if self.overflow else 0
        head = _HEADER.pack(_MAGIC, self.kind, flags, len(self.payload), self.arrival_us, self.end_count)
        return head + self.payload


class WireError(Exception):
    """Not what the microphone's process writes."""


class FrameReader:
    """Puts frames together from whatever pieces a pipe hands out."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises WireError; nothing can be read after that."""
        self._waiting += data
        while len(self._waiting) >= _HEADER.size:
            magic, kind, flags, length, arrival_us, end_count = _HEADER.unpack_from(self._waiting)
            if magic != _MAGIC or kind not in list(Kind) or length > _MAX_PAYLOAD_BYTES:
                raise WireError(f"not a frame: {bytes(self._waiting[: _HEADER.size])!r}")
            end = _HEADER.size + length
            if len(self._waiting) < end:
                return
            payload = bytes(self._waiting[_HEADER.size : end])
            del self._waiting[:end]
            yield Frame(Kind(kind), payload, arrival_us, end_count, bool(flags & _OVERFLOW))


def last_words(error: str) -> str:
    """One line for stderr."""
    return json.dumps({"error": error}, ensure_ascii=False)


def error_of(stderr: str) -> str:
    """What was wrong: the last words, or else the last line that a library has written there."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            said: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("error"), str):
            return str(said["error"])
    return lines[-1].strip() if lines else ""
