"""What an object of the archive is, whatever store keeps it: sealed under its room-day's key.

Offsets and sizes here are those of the payload. The room-day of an object's name decides on its key, so that
the name may still change at `commit`, within the room-day; header, chunks and keys: archive.cipher.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from archive.cipher import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SALT_BYTES,
    SEALED_CHUNK_BYTES,
    ChunkReader,
    ChunkSealer,
    CipherError,
    ObjectCipher,
    Pread,
    make_header,
    object_secret,
    payload_bytes,
    salt_of,
    salt_of_index,
    seal_index,
    unseal_index,
)
from archive.keys import Keys
from archive.store import RECORDS, ObjectReader, ObjectWriter, Store, StoreError, checked_name, room_day_of


class AlteredError(StoreError):
    """What the store gave back is not what was sealed."""


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except CipherError as error:
        raise AlteredError(f"{name} {error}") from error


class SealedStore:
    """The store that the archive works with, over a raw one."""

    def __init__(self, raw: Store, keys: Keys) -> None:
        self.raw, self.keys = raw, keys

    def writer(self, name: str) -> SealedWriter:
        """Raises KeyGoneError for a room-day that was destroyed, and what the raw store does."""
        room, date = room_day_of(checked_name(name))
        salt = os.urandom(SALT_BYTES)
        secret = object_secret(self.keys.writing_key(room, date), salt, room, date)
        return SealedWriter(self.raw.writer(name), name, secret, salt)

    def open(self, name: str) -> SealedReader:
        """Raises KeyGoneError, AlteredError for an object that was cut, extended or has another header."""
        raw = self.raw.open(name)
        try:
            salt, secret = self._unlock(raw, name)
            return SealedReader(raw, name, secret, salt)
        except BaseException:
            raw.close()
            raise

    def secret(self, name: str) -> tuple[bytes, bytes]:
        """Salt and object secret of a stored object, its header verified; raises as `open` does."""
        raw = self.raw.open(name)
        try:
            salt, secret = self._unlock(raw, name)
            with _naming(name):
                ObjectCipher(secret, raw.pread(0, HEADER_BYTES))
            return salt, secret
        finally:
            raw.close()

    def _unlock(self, raw: ObjectReader, name: str) -> tuple[bytes, bytes]:
        with _naming(name):
            salt = salt_of(raw.pread(0, HEADER_BYTES))
        return salt, self.keys.secret(name, salt)

    def index(self, name: str, sealed: bytes) -> bytes:
        """The sample index of an object, as `seal_index` was given it. Raises KeyGoneError, AlteredError."""
        with _naming(name):
            return unseal_index(self.index_secret(name, sealed)[1], sealed)

    def index_secret(self, name: str, sealed: bytes) -> tuple[bytes, bytes]:
        """Salt and object secret of a sealed sample index. Raises KeyGoneError, AlteredError."""
        with _naming(name):
            salt = salt_of_index(sealed)
        return salt, self.keys.secret(name, salt)

    def delete(self, names: Iterable[str]) -> None:
        self.raw.delete(names)

    def names(self, within: str = "") -> Iterator[str]:
        """Of footage, sorted: records are not sealed, and are archive.records' own."""
        return (name for name in self.raw.names(within) if not name.startswith(f"{RECORDS}/"))

    def sweep(self, *, alone: bool) -> int:
        return self.raw.sweep(alone=alone)


class SealedWriter:
    """One object on its way in, as `archive.store.ObjectWriter` has it."""

    def __init__(self, raw: ObjectWriter, name: str, secret: bytes, salt: bytes) -> None:
        self._raw, self._name, self._secret, self._salt = raw, name, secret, salt
        header = make_header(secret, salt)
        cipher = ObjectCipher(secret, header)
        self._sealer = ChunkSealer(cipher)
        self._reader = ChunkReader(cipher, raw.pread, None)
        raw.write(header)

    def write(self, data: bytes | memoryview) -> None:
        for sealed in self._sealer.write(data):
            self._raw.write(sealed)

    def pread(self, offset: int, length: int) -> bytes:
        stored = self._sealer.sealed_chunks * CHUNK_BYTES
        end = min(offset + length, stored + self._sealer.pending_bytes)
        with _naming(self._name):
            head = self._reader.read(offset, min(end, stored) - offset)
        if end <= stored:
            return head
        return head + self._sealer.pending[max(0, offset - stored) : end - stored]

    @property
    def secret(self) -> tuple[bytes, bytes]:
        """Salt and object secret, as `SealedStore.secret` tells them once the object stands."""
        return self._salt, self._secret

    def seal_index(self, index: bytes) -> bytes:
        """The object's sample index, as the database keeps it."""
        return seal_index(self._secret, self._salt, index)

    def commit(self, name: str | None = None) -> None:
        if name is not None and room_day_of(name) != room_day_of(self._name):
            self.abort()
            raise StoreError(f"{name} is not of the room-day under whose key {self._name} was sealed")
        self._raw.write(self._sealer.finish())
        self._raw.commit(name)

    def abort(self) -> None:
        self._raw.abort()


class SealedReader:
    """One stored object, as `archive.store.ObjectReader` has it. One thread at a time."""

    def __init__(self, raw: ObjectReader, name: str, secret: bytes, salt: bytes) -> None:
        """The last chunk is opened at once: the object's length is believed because that one is the last.

        Raises AlteredError.
        """
        self._raw, self._name, self._secret, self._salt = raw, name, secret, salt
        with _naming(name):
            self.size_bytes = payload_bytes(raw.size_bytes)
            cipher = ObjectCipher(secret, raw.pread(0, HEADER_BYTES))
            chunks = -(-(raw.size_bytes - HEADER_BYTES) // SEALED_CHUNK_BYTES)
            self._reader = ChunkReader(cipher, raw.pread, chunks)
            self._reader.chunk(chunks - 1)

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(self._view(offset, length, self._raw.pread))

    def pread_at_hand(self, offset: int, length: int) -> bytes | memoryview:
        return self._view(offset, length, self._raw.pread_at_hand)

    def _view(self, offset: int, length: int, pread: Pread) -> bytes | memoryview:
        with _naming(self._name):
            return self._reader.view(offset, min(length, self.size_bytes - offset), pread)

    def seal_index(self, index: bytes) -> bytes:
        """As SealedWriter.seal_index, for an index that is built anew: the same index is the same bytes."""
        return seal_index(self._secret, self._salt, index)

    def close(self) -> None:
        self._raw.close()
