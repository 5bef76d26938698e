"""Space kept for the purge: deleting rows takes some before it gives any back, and a full disk has none.

A file beside the SQLite database, laid where there is room for it. A purge that finds the disk full gives
it up, and lays it again when it is done. PostgreSQL keeps its own house.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from archive.database import Database
from recorder.logging import get_logger

_NAME = "ballast"
# The log of a purge of one room-day of 600 segments is about 10 MB; several days may fall due at once.
_MOST_BYTES = 64 << 20
# Of the whole disk, where it is a small one.
_SHARE = 16
_log = get_logger()


class _Opened(Protocol):
    """An archive."""

    @property
    def database(self) -> Database: ...


_A = TypeVar("_A", bound=_Opened)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def lay(database: Database) -> bool:
    """Whether the ballast is there, now or since before; it is not on a disk that has no room for it."""
    path = _path(database)
    if path is None:
        return False
    size_bytes = _size_bytes(path)
    if path.exists() and path.stat().st_size >= size_bytes:
        return True
    if shutil.disk_usage(path.parent).free < 2 * size_bytes:
        return False
    try:
        # Neither truncated nor made anew: another process may be laying it at this moment.
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        _log.warning("no_ballast", reason=error.strerror)
        return False
    return True


def make_way(database: Database) -> None:
    """Give it up where less than its size is free: even opening a database takes some."""
    path = _path(database)
    if path is not None and path.exists() and shutil.disk_usage(path.parent).free < _size_bytes(path):
        path.unlink(missing_ok=True)
        _log.warning("ballast_given_up", alarm=True)


def lent(run: Callable[Concatenate[_A, _P], _R]) -> Callable[Concatenate[_A, _P], _R]:
    """A decorator of what takes an archive first: where the disk is full, it has the ballast's room."""

    @functools.wraps(run)
    def with_room(archive: _A, /, *args: _P.args, **named: _P.kwargs) -> _R:
        make_way(archive.database)
        try:
            return run(archive, *args, **named)
        finally:
            lay(archive.database)

    return with_room


def _path(database: Database) -> Path | None:
    return None if database.file is None else database.file.with_name(_NAME)


def _size_bytes(path: Path) -> int:
    return min(_MOST_BYTES, shutil.disk_usage(path.parent).total // _SHARE)
