"""Footage objects behind one small protocol: the only door to footage at rest.

Two layers speak it. A *raw* store (archive.local_store) keeps bytes under names and knows nothing of what
they are; archive.sealed lays the header and the cipher over it, and is what the archive works with: its
offsets and sizes are those of the payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from recorder.errors import ProtokolError
from recorder.settings import Settings

# Object names are made by this project; this refuses a defect before it becomes a path.
# No room's id has an underscore: archive.records keeps its small objects beside the rooms.
RECORDS = "_records"
_NAME = re.compile(rf"([a-z0-9-]+/[0-9-]+|{RECORDS}/[a-z]+)/[a-z0-9-]+\.[a-z0-9]+")


class StoreError(ProtokolError):
    """An object cannot be read or written; the message names it."""


class ObjectMissingError(StoreError):
    """No object bears that name."""


class StoreAwayError(StoreError):
    """The store itself fails, or is not there; the same may do well in a while. Nothing was stored."""


class StoreFullError(StoreError):
    """No room is left; nothing was stored."""


class NotAtHandError(Exception):
    """To read it now would mean to wait, for a disk or a network."""


class ObjectWriter(Protocol):
    """One object on its way in: nothing bears its name before `commit` has returned.

    Every method raises StoreFullError or StoreError; after either, nothing is left behind.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Nothing of `data` is kept: its buffer may hold other bytes on return."""

    def pread(self, offset: int, length: int) -> bytes:
        """What was written so far: the archive indexes an object before it is one."""

    def commit(self, name: str | None = None) -> None:
        """Durable on return, under `name` (of the same room-day) or the name it was begun with."""

    def abort(self) -> None:
        """Leave nothing behind; may be called after anything, any number of times."""


class ObjectReader(Protocol):
    size_bytes: int

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end of the object. Raises StoreError."""

    def pread_at_hand(self, offset: int, length: int) -> bytes | memoryview:
        """As `pread` without waiting: an event loop may ask so. A view holds what was read until the same
        thread asks any reader so again, or this one is asked for anything. Raises NotAtHandError, StoreError.
        """

    def close(self) -> None: ...


class Store(Protocol):
    def writer(self, name: str) -> ObjectWriter:
        """Raises StoreFullError, StoreError. An object of that name is replaced by `commit`."""

    def open(self, name: str) -> ObjectReader:
        """Raises ObjectMissingError, StoreError."""

    def delete(self, names: Iterable[str]) -> None:
        """Gone durably on return; names that are gone already are no error."""

    def names(self, within: str = "") -> Iterator[str]:
        """Of every committed object, or of those of one directory (`108/2026-11-20`), sorted by code points.

        Raises StoreError.
        """

    def sweep(self, *, alone: bool) -> int:
        """Remove what unfinished writers left; how many.

        While others may be writing, `alone` is false: only what is too old to be theirs is removed then.
        """


def object_name(room: str, date: str, object_id: str, suffix: str = "mp4") -> str:
    """`room/date/id.suffix`: the directory tells room and date even where the index is lost."""
    return f"{room}/{date}/{object_id}.{suffix}"


def is_object_name(name: str) -> bool:
    """Whether this archive could have given it: anybody may put a file into a directory."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """The name itself. Raises StoreError for anything that `object_name` does not make."""
    if not is_object_name(name):
        raise StoreError(f"not an object name: {name[:80]!r}")
    return name


def room_day_of(name: str) -> tuple[str, str]:
    """Room id and ISO date of an object name."""
    room, date, _ = name.split("/", 2)
    return room, date


def open_raw_store(settings: Settings) -> Store:
    """The raw store that STORE_URL names: a directory, `file:///…` or `s3://…`. Raises StoreError."""
    # Each kind is loaded where it is used: an object store's client is no room's business.
    from archive.local_store import LocalStore  # noqa: PLC0415

    url = settings.store
    if "://" not in url:
        return LocalStore(Path(url))
    if url.startswith("file://"):
        return LocalStore(Path(url.removeprefix("file://")))
    if url.startswith("s3://"):
        from archive.s3_location import find_credentials, parse_location  # noqa: PLC0415
        from archive.s3_store import S3ObjectStore  # noqa: PLC0415

        credentials = find_credentials(settings.s3_credentials_file)
        location = parse_location(url, credentials, settings.s3_ca_file)
        return S3ObjectStore(location, settings.s3_spool_dir or settings.data_dir / "uploads")
    raise StoreError(
        f"unknown kind of store: {url.split(':', maxsplit=1)[0]}://…; "
        "use a directory path, file:///path or s3://bucket/prefix"
    )
