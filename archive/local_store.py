"""Objects in a local directory. Durable: `commit` returns after fsync(file), rename, fsync(directory).

Ready-made local object stores were tried and never fsync: 929 of 929 acknowledged files were corrupt after
a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from archive.store import (
    NotAtHandError,
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreFullError,
    checked_name,
)
from recorder.durable import make_directory, sync_directory, write_all

_TEMPORARY = ".incoming-"
# Linux alone has it (preadv2).
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)
# No body may take so long: an agent that dribbles is cut off (retrieval_api.admission), and each write moves
# the time on.
_ABANDONED_AFTER_S = 24 * 3600
# New memory is filled with zeros first, which costs a third of what reading into it does.
_KEPT_ROOM_BYTES = 2**20
_rooms = threading.local()


class LocalStore:
    """Objects as files below one directory, one directory a room-day."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            make_directory(root)
        except OSError as error:
            raise StoreError(f"cannot make the store directory {root}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)

    def writer(self, name: str) -> _LocalWriter:
        path = self._path(name)
        # Else the directories would be made anew below the place where its disk is mounted.
        self._require_there()
        return _LocalWriter(path)

    def open(self, name: str) -> _LocalReader:
        try:
            return _LocalReader(self._path(name), name)
        except ObjectMissingError:
            self._require_there()
            raise

    def _require_there(self) -> None:
        if not self.root.is_dir():
            raise StoreAwayError(f"the store directory {self.root} is not there: is its disk mounted?")

    def delete(self, names: Iterable[str]) -> None:
        # Else what lies on a disk that is not mounted would be certified as destroyed.
        self._require_there()
        directories = set()
        for name in names:
            path = self._path(name)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreAwayError(f"cannot delete {name}: {error.strerror}") from error
            directories.add(path.parent)
        for directory in directories:
            try:
                with contextlib.suppress(FileNotFoundError):
                    sync_directory(directory)
            except OSError as error:
                raise StoreAwayError(
                    f"cannot make deletions in {directory} durable: {error.strerror}"
                ) from error
        # Gone meanwhile, it looks like a directory whose objects are gone.
        self._require_there()

    def names(self, within: str = "") -> Iterator[str]:
        self._require_there()
        # By name, as every store sorts: by path, room 108 would come before room 108-a.
        for path in sorted(self.root.glob(f"{within or '*/*'}/*"), key=str):
            if path.is_file() and not path.name.startswith(_TEMPORARY):
                yield path.relative_to(self.root).as_posix()

    def sweep(self, *, alone: bool) -> int:
        # By the store's own clock: the directory may be another machine's.
        newest_s = None if alone else self._now_s() - _ABANDONED_AFTER_S
        leftovers = [
            path
            for path in self.root.glob(f"*/*/{_TEMPORARY}*")
            if newest_s is None or _changed_s(path) < newest_s
        ]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def _now_s(self) -> float:
        probe = self.root / f"{_TEMPORARY}clock-{os.urandom(6).hex()}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError as error:
            raise StoreAwayError(f"cannot write into {self.root}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # Committed or given up meanwhile.
        return math.inf


class _LocalWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        # In the target directory, so that the rename never crosses file systems.
        self._temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{os.urandom(6).hex()}")
        self._fd = -1
        with self._storing():
            make_directory(path.parent)
            self._fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """A failed write is fatal to this data: never retried on the same file."""
        try:
            yield
        except OSError as error:
            self.abort()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreFullError(f"no space left for {self._path.name}") from error
            raise StoreAwayError(f"cannot store {self._path.name}: {error.strerror}") from error

    def write(self, data: bytes | memoryview) -> None:
        with self._storing():
            write_all(self._fd, data)

    def pread(self, offset: int, length: int) -> bytes:
        with self._storing():
            return os.pread(self._fd, length, offset)

    def commit(self, name: str | None = None) -> None:
        target = self._path.with_name(name.rpartition("/")[2]) if name else self._path
        with self._storing():
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._temporary.rename(target)
            sync_directory(target.parent)

    def abort(self) -> None:
        descriptor, self._fd = self._fd, -1
        # A disk that has failed may fail in this too: the first error tells, and what is left is swept.
        with contextlib.suppress(OSError):
            if descriptor >= 0:
                os.close(descriptor)
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


class _LocalReader:
    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectMissingError(f"no object {name}") from error
        except OSError as error:
            raise StoreAwayError(f"cannot read {name}: {error.strerror}") from error
        self.size_bytes = os.fstat(self._fd).st_size

    def pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            raise StoreAwayError(f"cannot read {self._name}: {error.strerror}") from error

    def pread_at_hand(self, offset: int, length: int) -> memoryview:
        """What the page cache holds."""
        data = _room(max(0, min(length, self.size_bytes - offset)))
        try:
            known = os.preadv(self._fd, [data], offset, _NO_WAIT) if _NO_WAIT is not None else -1
        except OSError:
            # Not there, or a file system that cannot tell. Whatever else fails will fail again.
            known = -1
        if known < len(data):
            raise NotAtHandError(self._name)
        return data

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _room(length: int) -> memoryview:
    """Of the calling thread, for one read: the next one gets the same memory."""
    if length > _KEPT_ROOM_BYTES:
        return memoryview(bytearray(length))
    kept: bytearray = getattr(_rooms, "kept", bytearray())
    if length > len(kept):
        # Taken anew instead of grown, for a view of it may be left.
        _rooms.kept = kept = bytearray(length)
    return memoryview(kept)[:length]
