"""What a room host holds back until the archive has answered: all chains of a room, and their room.

`SPOOL/SOURCE/ENROLMENT/` holds a chain each; `SPOOL/ballast` is space kept free for gap records, so
that even a full disk can tell that it was full.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from pathlib import Path

from recorder.chain import DAMAGED_SUFFIX, Chain, Entry
from recorder.durable import make_directory, remove_file
from recorder.keyfile import AgentKey
from recorder.partfile import PART_SUFFIX

_BALLAST_BYTES = 1 << 20
_BALLAST_NAME = "ballast"
# Recording goes on when this much is free again, so that it does not stop with the next fragment.
_FREE_TO_RESUME_BYTES = 2 << 20
_FREE_TO_RESUME = 0.01
_RESUME_BELOW = 0.95


class Spool:
    """Shared by the recorders of a room's sources, which add, and the shipper, which removes."""

    def __init__(self, root: Path, key: AgentKey, *, limit_bytes: int) -> None:
        """Makes the directory; raises OSError when it cannot be used."""
        self.root = root
        self._key = key
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._entries: dict[str, deque[Entry]] = {}
        self._chains: dict[str, Chain] = {}
        self._bytes = 0
        self._segments = 0
        self._full = False
        self.arrived = threading.Event()
        make_directory(root)
        self._keep_ballast()

    def chain(self, source: str) -> Chain:
        """The source's chain under the present enrolment, the same one for the life of the process.

        Older enrolments are published with it. Raises ConfigurationError when a chain is damaged.
        """
        known = self._chains.get(source)
        if known:
            return known
        base = self.root / source
        make_directory(base)
        before: list[Chain] = []
        for old in sorted(base.iterdir()):
            if old.is_dir() and old.name != self._key.enrolment:
                # Its key is gone, so what it did not finish cannot be signed any more.
                for part in old.glob(f"*{PART_SUFFIX}"):
                    part.rename(part.with_suffix(DAMAGED_SUFFIX))
                before.append(self._open(source, old.name))
        chain = self._chains[source] = self._open(source, self._key.enrolment)
        chain.continue_account(before)
        return chain

    def _open(self, source: str, enrolment: str) -> Chain:
        return Chain(
            self.root / source / enrolment,
            room=self._key.room,
            source=source,
            enrolment=enrolment,
            key=self._key.signing_key(),
            published=self._publish,
        )

    def _publish(self, entry: Entry) -> None:
        with self._lock:
            self._entries.setdefault(entry.source, deque()).append(entry)
            self._bytes += entry.size
            self._segments += entry.is_segment
        self.arrived.set()

    def sources(self) -> list[str]:
        with self._lock:
            return [source for source, entries in self._entries.items() if entries]

    def oldest(self, source: str) -> Entry | None:
        with self._lock:
            entries = self._entries.get(source)
            return entries[0] if entries else None

    def oldest_live(self, source: str, since_us: int) -> Entry | None:
        """The first of the newest entries that all end at or after `since_us` (UTC); None: none does."""
        live: Entry | None = None
        with self._lock:
            for entry in reversed(self._entries.get(source, ())):
                if entry.end_us < since_us:
                    break
                live = entry
        return live

    def entries(self) -> list[Entry]:
        with self._lock:
            return [entry for entries in self._entries.values() for entry in entries]

    def remove(self, entry: Entry) -> None:
        """The entry is gone, durably. Raises OSError when the disk refuses."""
        remove_file(entry.path)
        self._forget(entry)

    def set_aside(self, entry: Entry) -> None:
        """An entry whose manifest the disk lost: kept until it is due, in nobody's way."""
        with contextlib.suppress(FileNotFoundError):
            entry.path.rename(entry.path.with_suffix(DAMAGED_SUFFIX))
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        with self._lock:
            self._entries[entry.source].remove(entry)
            self._bytes -= entry.size
            self._segments -= entry.is_segment

    def damaged(self) -> list[tuple[Path, int]]:
        """What was set aside as damaged, and when it was last written (UTC)."""
        paths = self.root.rglob(f"*{DAMAGED_SUFFIX}")
        return [(path, path.stat().st_mtime_ns // 1000) for path in paths]

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def segments(self) -> int:
        return self._segments

    @property
    def oldest_us(self) -> int | None:
        return min((entry.start_us for entry in self.entries()), default=None)

    def disk_is_full(self) -> None:
        """The disk said so. Gives up the ballast, so that gap records can still be written."""
        self._full = True
        with contextlib.suppress(OSError):
            (self.root / _BALLAST_NAME).unlink(missing_ok=True)

    def accepts_footage(self) -> bool:
        """False while the spool is at its limit or the disk is full, until there is room again."""
        if not self._full and self._bytes < self._limit_bytes:
            return True
        self._full = True
        if self._bytes < self._limit_bytes * _RESUME_BELOW and self._disk_has_room():
            self._full = not self._keep_ballast()
        return not self._full

    def free_bytes(self) -> int:
        """What may still be kept: by the spool's limit, and by the disk."""
        status = os.statvfs(self.root)
        return max(0, min(self._limit_bytes - self._bytes, status.f_bavail * status.f_frsize))

    def _disk_has_room(self) -> bool:
        status = os.statvfs(self.root)
        enough = max(_FREE_TO_RESUME_BYTES, int(status.f_blocks * status.f_frsize * _FREE_TO_RESUME))
        return status.f_bavail * status.f_frsize >= enough

    def _keep_ballast(self) -> bool:
        path = self.root / _BALLAST_NAME
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _BALLAST_BYTES)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True
