"""What an object of the archive is, whatever store keeps it: a header, then the payload.

Every object bears a header from the first one on (magic, version, cipher), so that encryption can be
switched on without a flag day. Offsets and sizes here are those of the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from archive.store import ObjectReader, ObjectWriter, Store, StoreError

# magic, format version, cipher (0 = none), reserved
_HEADER = struct.Struct(">8sHH20x")
MAGIC = b"PROTOKOL"
VERSION = 1
CIPHER_NONE = 0


class SealedStore:
    """The store that the archive works with, over a raw one."""

    def __init__(self, raw: Store) -> None:
        self.raw = raw

    def writer(self, name: str) -> _SealedWriter:
        return _SealedWriter(self.raw.writer(name))

    def open(self, name: str) -> _SealedReader:
        return _SealedReader(self.raw.open(name), name)

    def delete(self, names: Iterable[str]) -> None:
        self.raw.delete(names)

    def names(self) -> Iterator[str]:
        return self.raw.names()

    def sweep(self) -> int:
        return self.raw.sweep()


class _SealedWriter:
    def __init__(self, raw: ObjectWriter) -> None:
        self._raw = raw
        raw.write(_HEADER.pack(MAGIC, VERSION, CIPHER_NONE))

    def write(self, data: bytes) -> None:
        self._raw.write(data)

    def pread(self, offset: int, length: int) -> bytes:
        return self._raw.pread(offset + _HEADER.size, length)

    def commit(self, name: str | None = None) -> None:
        self._raw.commit(name)

    def abort(self) -> None:
        self._raw.abort()


class _SealedReader:
    def __init__(self, raw: ObjectReader, name: str) -> None:
        self._raw = raw
        header = raw.pread(0, _HEADER.size)
        if len(header) < _HEADER.size or _HEADER.unpack(header) != (MAGIC, VERSION, CIPHER_NONE):
            raw.close()
            raise StoreError(f"{name} bears no header that this version knows")
        self.size_bytes = raw.size_bytes - _HEADER.size

    def pread(self, offset: int, length: int) -> bytes:
        return self._raw.pread(offset + _HEADER.size, length)

    def close(self) -> None:
        self._raw.close()
