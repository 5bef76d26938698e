"""Bytes of a virtual clip, from its slices and the store: shared by export and the web."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archive.mp4.virtual import Literal, Stored
from archive.store import ObjectReader, Store, StoreError

# A multiple of the cipher's chunks. Handing a piece from thread to thread costs as much as opening 256 KiB;
# larger ones than this only fill memory.
PIECE_BYTES = 512 * 1024


def read_slices(
    store: Store, slices: Iterable[Literal | Stored], piece_bytes: int = PIECE_BYTES
) -> Iterator[bytes]:
    """The slices' bytes in order, in pieces of `piece_bytes` at most, but for the head; one object is open
    at a time.

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
                if batch and size + len(data) > piece_bytes:
                    yield b"".join(batch)
                    batch, size = [], 0
                batch.append(data)
                size += len(data)
        if batch:
            yield b"".join(batch)
    finally:
        if reader is not None:
            reader.close()


def _pieces(each: Literal | Stored, reader: ObjectReader | None, piece_bytes: int) -> Iterator[bytes]:
    if isinstance(each, Literal):
        yield each.data
        return
    if reader is None:
        raise StoreError(f"{each.name} is not open")
    offset, end = each.offset, each.offset + each.length
    while offset < end:
        # Up to a multiple of it: what begins with a chunk of the cipher needs no copy to be cut from it.
        length = min(piece_bytes - offset % piece_bytes, end - offset)
        data = reader.pread(offset, length)
        offset += length
        if len(data) != length:
            raise StoreError(f"{each.name} is shorter than its index says")
        yield data
