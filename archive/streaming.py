"""Bytes of a virtual clip, from its slices and the store: shared by export and the web."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archive.mp4.virtual import Literal, Stored
from archive.store import ObjectReader, Store, StoreError

# Measured: 256 KiB inline reads serve as fast as a kernel sendfile does.
PIECE_BYTES = 256 * 1024


def read_slices(
    store: Store, slices: Iterable[Literal | Stored], piece_bytes: int = PIECE_BYTES
) -> Iterator[bytes]:
    """The slices' bytes in order, in pieces of about `piece_bytes`; one object is open at a time.

    Raises StoreError when an object is gone or short: what was promised by Content-Length is then
    cut off, never padded.
    """
    reader: ObjectReader | None = None
    open_name = ""
    batch: list[bytes] = []
    size = 0
    try:
        for each in slices:
            if isinstance(each, Stored) and each.name != open_name:
                if reader is not None:
                    reader.close()
                reader, open_name = store.open(each.name), each.name
            for data in _pieces(each, reader, piece_bytes):
                batch.append(data)
                size += len(data)
                if size >= piece_bytes:
                    yield b"".join(batch)
                    batch, size = [], 0
        if batch:
            yield b"".join(batch)
    finally:
        if reader is not None:
            reader.close()


def require_readable(store: Store, slices: Iterable[Literal | Stored]) -> None:
    """Opens the first object of the slices: what fails there can be told before an answer begins.

    Raises StoreError.
    """
    for each in slices:
        if isinstance(each, Stored):
            store.open(each.name).close()
            return


def _pieces(each: Literal | Stored, reader: ObjectReader | None, piece_bytes: int) -> Iterator[bytes]:
    if isinstance(each, Literal):
        yield each.data
        return
    if reader is None:
        raise StoreError(f"{each.name} is not open")
    end = each.offset + each.length
    for offset in range(each.offset, end, piece_bytes):
        length = min(piece_bytes, end - offset)
        data = reader.pread(offset, length)
        if len(data) != length:
            raise StoreError(f"{each.name} is shorter than its index says")
        yield data
