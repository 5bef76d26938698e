"""Footage objects behind one small protocol: the only door to footage on disk.

Every object bears a header from the first one on (magic, version, cipher), so that encryption can
be switched on without a flag day. Offsets and sizes in this protocol are those of the *payload*.

LocalStore is durable: `commit` returns after fsync(file), rename, fsync(directory). Ready-made
local object stores were tried and never fsync: 929 of 929 acknowledged files were corrupt after a
power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from recorder.durable import make_directory, sync_directory, write_all
from recorder.errors import ProtokolError

# magic, format version, cipher (0 = none), reserved
_HEADER = struct.Struct(">8sHH20x")
MAGIC = b"PROTOKOL"
VERSION = 1
CIPHER_NONE = 0
_TEMPORARY = ".incoming-"
# Object names are made by this project; this refuses a defect before it becomes a path.
_NAME = re.compile(r"[a-z0-9-]+/[0-9-]+/[a-z0-9-]+\.[a-z0-9]+")


class StoreError(ProtokolError):
    """An object cannot be read or written; the message names it."""


class ObjectMissingError(StoreError):
    """No object bears that name."""


class StoreFullError(StoreError):
    """No room is left; nothing was stored."""


class ObjectWriter(Protocol):
    """One object on its way in: nothing bears its name before `commit` has returned.

    Every method raises StoreFullError or StoreError; after either, nothing is left behind.
    """

    def write(self, data: bytes) -> None: ...
    def pread(self, offset: int, length: int) -> bytes:
        """What was written so far: the archive indexes an object before it is one."""

    def commit(self, name: str | None = None) -> None:
        """Durable on return, under `name` (of the same room-day) or the name it was begun with."""

    def abort(self) -> None:
        """Leave nothing behind; may be called after anything, any number of times."""


class ObjectReader(Protocol):
    size_bytes: int

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` payload bytes from `offset`, fewer only at the end of the object."""

    def close(self) -> None: ...


class Store(Protocol):
    def writer(self, name: str) -> ObjectWriter:
        """Raises StoreFullError, StoreError. An object of that name is replaced by `commit`."""

    def open(self, name: str) -> ObjectReader:
        """Raises ObjectMissingError, StoreError (unknown header)."""

    def delete(self, names: Iterable[str]) -> None:
        """Gone durably on return; names that are gone already are no error."""

    def names(self) -> Iterator[str]: ...

    def sweep(self) -> int:
        """Remove what unfinished writers left; how many. Only while nobody writes."""


def object_name(room: str, date: str, object_id: str, suffix: str = "mp4") -> str:
    """`room/date/id.suffix`: the directory tells room and date even where the index is lost."""
    return f"{room}/{date}/{object_id}.{suffix}"


class LocalStore:
    """Objects as files below one directory, one directory a room-day."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            make_directory(root)
        except OSError as error:
            raise StoreError(f"cannot make the store directory {root}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"not an object name: {name[:80]!r}")
        return self.root / name

    def writer(self, name: str) -> _LocalWriter:
        return _LocalWriter(self._path(name))

    def open(self, name: str) -> _LocalReader:
        return _LocalReader(self._path(name), name)

    def delete(self, names: Iterable[str]) -> None:
        directories = set()
        for name in names:
            path = self._path(name)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"cannot delete {name}: {error.strerror}") from error
            directories.add(path.parent)
        for directory in directories:
            with contextlib.suppress(FileNotFoundError):
                sync_directory(directory)

    def names(self) -> Iterator[str]:
        for path in sorted(self.root.glob("*/*/*")):
            if path.is_file() and not path.name.startswith(_TEMPORARY):
                yield path.relative_to(self.root).as_posix()

    def sweep(self) -> int:
        leftovers = list(self.root.glob(f"*/*/{_TEMPORARY}*"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)


class _LocalWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        # In the target directory, so that the rename never crosses file systems.
        self._temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{os.urandom(6).hex()}")
        self._fd = -1
        with self._storing():
            make_directory(path.parent)
            self._fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            write_all(self._fd, _HEADER.pack(MAGIC, VERSION, CIPHER_NONE))

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """A failed write is fatal to this data: never retried on the same file."""
        try:
            yield
        except OSError as error:
            self.abort()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreFullError(f"no space left for {self._path.name}") from error
            raise StoreError(f"cannot store {self._path.name}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        with self._storing():
            write_all(self._fd, data)

    def pread(self, offset: int, length: int) -> bytes:
        with self._storing():
            return os.pread(self._fd, length, offset + _HEADER.size)

    def commit(self, name: str | None = None) -> None:
        target = self._path.with_name(name.rpartition("/")[2]) if name else self._path
        with self._storing():
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._temporary.rename(target)
            sync_directory(target.parent)

    def abort(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._temporary.unlink(missing_ok=True)


class _LocalReader:
    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectMissingError(f"no object {name}") from error
        except OSError as error:
            raise StoreError(f"cannot read {name}: {error.strerror}") from error
        header = os.pread(self._fd, _HEADER.size, 0)
        if len(header) < _HEADER.size or _HEADER.unpack(header) != (MAGIC, VERSION, CIPHER_NONE):
            os.close(self._fd)
            raise StoreError(f"{name} bears no header that this version knows")
        self.size_bytes = os.fstat(self._fd).st_size - _HEADER.size

    def pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset + _HEADER.size)
        except OSError as error:
            raise StoreError(f"cannot read {self._name}: {error.strerror}") from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_store(url: str) -> Store:
    """The store that `PROTOKOL_STORE_URL` names: a directory, or `file:///…`."""
    if "://" not in url:
        return LocalStore(Path(url))
    if url.startswith("file://"):
        return LocalStore(Path(url.removeprefix("file://")))
    raise StoreError(
        f"unknown kind of store: {url.split(':', maxsplit=1)[0]}://…; use a directory path or file:///path"
    )
