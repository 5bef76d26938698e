"""Thumbnails and loudness at rest: one sealed object a segment, named after it, and found by the same rules.

The object's name follows from its segment's, so that whoever destroys, keeps or looks for a segment finds it
without asking, also where no row tells of it. Everything here is in memory, or in the caller's session.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.media.work import (
    LOUDEST,
    LOUDNESS_STEP_US,
    MAX_STEPS,
    MAX_THUMBNAIL_BYTES,
    MAX_THUMBNAILS,
    Answer,
    Thumbnail,
)
from archive.models import Derived, Segment
from archive.sealed import AlteredError, SealedStore

SUFFIX = ".derived"
# Then the segment's id: the key of the job that makes what is missing of it.
JOB_KEY = "derive:"
_SEGMENT_SUFFIX = ".mp4"

FORMAT = b"PDRV\x01"
# Start of the first step, number of steps; then a byte each.
_LOUDNESS = struct.Struct(">QH")
_SILENT_STEP = 255
_COUNT = struct.Struct(">B")
_ENTRY = struct.Struct(">QI")  # instant, bytes of the JPEG
MAX_BYTES = 64 * 1024 + MAX_THUMBNAILS * MAX_THUMBNAIL_BYTES


@dataclass(frozen=True, slots=True)
class Loudness:
    """`values[n]` is of the step that begins at `start_us + n * LOUDNESS_STEP_US`: 0 to LOUDEST, None without
    sound.
    """

    start_us: int
    values: tuple[int | None, ...]

    def to_bytes(self) -> bytes:
        head = _LOUDNESS.pack(self.start_us, len(self.values))
        return head + bytes(_SILENT_STEP if value is None else value for value in self.values)

    @classmethod
    def from_bytes(cls, data: bytes) -> Loudness:
        """Raises ValueError for what `to_bytes` did not make."""
        try:
            start_us, count = _LOUDNESS.unpack_from(data)
        except struct.error as error:
            raise ValueError("loudness that is cut off") from error
        raw = data[_LOUDNESS.size :]
        if count > MAX_STEPS or len(raw) != count or any(LOUDEST < value < _SILENT_STEP for value in raw):
            raise ValueError("loudness that is none")
        return cls(start_us, tuple(None if value == _SILENT_STEP else value for value in raw))


@dataclass(frozen=True, slots=True)
class Contents:
    """What an object of thumbnails and loudness holds; thumbnails by time."""

    loudness: Loudness
    thumbnails: tuple[Thumbnail, ...]

    @classmethod
    def of(cls, answer: Answer) -> Contents:
        ordered = sorted(answer.thumbnails, key=lambda each: each.at_us)
        return cls(Loudness(answer.loudness_start_us, answer.loudness), tuple(ordered))

    def to_bytes(self) -> bytes:
        entries = b"".join(_ENTRY.pack(each.at_us, len(each.jpeg)) for each in self.thumbnails)
        pictures = b"".join(each.jpeg for each in self.thumbnails)
        return b"".join(
            (FORMAT, self.loudness.to_bytes(), _COUNT.pack(len(self.thumbnails)), entries, pictures)
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Contents:
        """Raises ValueError for what `to_bytes` did not make."""
        if not data.startswith(FORMAT):
            raise ValueError("not thumbnails of a known version")
        try:
            at = len(FORMAT)
            end = at + _LOUDNESS.size + _LOUDNESS.unpack_from(data, at)[1]
            loudness = Loudness.from_bytes(data[at:end])
            (count,) = _COUNT.unpack_from(data, end)
            table = [
                _ENTRY.unpack_from(data, end + _COUNT.size + number * _ENTRY.size) for number in range(count)
            ]
        except struct.error as error:
            raise ValueError("thumbnails that are cut off") from error
        at = end + _COUNT.size + count * _ENTRY.size
        thumbnails = []
        for at_us, size in table:
            thumbnails.append(Thumbnail(at_us, data[at : at + size]))
            at += size
        if at != len(data):
            raise ValueError("thumbnails that are cut off, or too many bytes")
        return cls(loudness, tuple(thumbnails))


def name_of(segment_object: str) -> str:
    """Of the object that goes with a segment's."""
    return segment_object.removesuffix(_SEGMENT_SUFFIX) + SUFFIX


def owner_of(name: str) -> str:
    """The object that decides on this one: of a derived one the segment's it was made of, else itself."""
    return name.removesuffix(SUFFIX) + _SEGMENT_SUFFIX if name.endswith(SUFFIX) else name


def job_key(segment_id: str) -> str:
    return f"{JOB_KEY}{segment_id}"


def with_theirs(names: Iterable[str]) -> Iterator[str]:
    """The objects, and after each segment's the one that goes with it, whether or not there is one."""
    for name in names:
        yield name
        if name.endswith(_SEGMENT_SUFFIX):
            yield name_of(name)


def read(store: SealedStore, segment_object: str) -> Contents:
    """Of one segment. Raises ObjectMissingError where none were made, AlteredError, KeyGoneError."""
    name = name_of(segment_object)
    reader = store.open(name)
    try:
        return contents(name, reader.pread(0, min(reader.size_bytes, MAX_BYTES)))
    finally:
        reader.close()


def contents(name: str, data: bytes) -> Contents:
    """Raises AlteredError: what is sealed and yet no thumbnails was not written by this archive."""
    try:
        return Contents.from_bytes(data)
    except ValueError as error:
        raise AlteredError(f"{name}: {error}") from error


def loudness_of_day(
    session: Session, store: SealedStore, room: str, date: str, source: str | None = None
) -> Loudness:
    """Of a room-day, of one source or of all: the steps from its first sound to its last, the louder where
    segments overlap. Empty where nothing was made yet. The caller has asked the door. Raises StoreError.
    """
    statement = (
        select(Segment.object_name, Derived.loudness)
        .join(Derived, Derived.segment_id == Segment.id)
        .where(Segment.room == room, Segment.date == date)
    )
    if source is not None:
        statement = statement.where(Segment.source == source)
    heard: dict[int, int] = {}
    for segment_object, sealed in session.execute(statement):
        name = name_of(segment_object)
        part = Loudness.from_bytes(store.index(name, sealed))
        first = part.start_us // LOUDNESS_STEP_US
        for number, value in enumerate(part.values, first):
            if value is not None:
                heard[number] = max(value, heard.get(number, 0))
    if not heard:
        return Loudness(0, ())
    first, last = min(heard), max(heard)
    return Loudness(first * LOUDNESS_STEP_US, tuple(heard.get(number) for number in range(first, last + 1)))
