"""Bytes of a virtual clip, from its slices and the store: shared by export and the web."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from archive.mp4.virtual import Literal, Stored
from archive.store import NotAtHandError, ObjectReader, Store, StoreError

# A multiple of the cipher's chunks. Larger ones only fill memory.
PIECE_BYTES = 512 * 1024
# Whoever begins to watch waits for the first bytes: one chunk.
FIRST_BYTES = 64 * 1024
# Where nobody waits: fewer pieces to hand from thread to thread.
_WHOLE_BYTES = 1024 * 1024


class SliceReader:
    """The slices' bytes in order, in pieces of `piece_bytes` at most, but for a head, which is one piece. One
    object is open at a time, and one thread reads at a time.

    `piece_bytes` is a power of two, best a multiple of the cipher's chunk, and may change between reads.
    """

    def __init__(
        self, store: Store, slices: Iterable[Literal | Stored], piece_bytes: int = PIECE_BYTES
    ) -> None:
        self._store, self._slices = store, iter(slices)
        self.piece_bytes = piece_bytes
        self._slice: Literal | Stored | None = next(self._slices, None)
        # Of the present slice, what was read.
        self._done = 0
        self._object: ObjectReader | None = None
        self._object_name = ""
        # What is read and not given yet.
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self.has_read_stored = False

    def read(self, *, wait: bool = True) -> bytes:
        """The next piece; none at the end.

        Raises StoreError when an object is gone or short: what was promised by Content-Length is then cut
        off, never padded. Unless it may `wait`, raises NotAtHandError for what must be opened, or comes from
        a disk or a network; nothing is lost by it.
        """
        most = self.piece_bytes
        while self._slice is not None:
            length = self._next_length(self._slice, most)
            if self._batch and self._batch_bytes + length > most:
                break
            self._batch.append(self._read_slice(self._slice, length, wait=wait))
            self._batch_bytes += length
            self._done += length
            if self._done == self._slice.length:
                self._slice, self._done = next(self._slices, None), 0
        piece = self._batch[0] if len(self._batch) == 1 else b"".join(self._batch)
        self._batch, self._batch_bytes = [], 0
        return piece

    def close(self) -> None:
        if self._object is not None:
            self._object.close()
            self._object = None

    def _next_length(self, each: Literal | Stored, most: int) -> int:
        if isinstance(each, Literal):
            return each.length
        # Up to a multiple of it: what ends with a chunk of the cipher is opened once.
        at = each.offset + self._done
        return min(most - at % most, each.length - self._done)

    def _read_slice(self, each: Literal | Stored, length: int, *, wait: bool) -> bytes:
        if isinstance(each, Literal):
            return each.data
        if self._object is None or self._object_name != each.name:
            if not wait:
                raise NotAtHandError(each.name)
            self.close()
            self._object, self._object_name = self._store.open(each.name), each.name
        pread = self._object.pread if wait else self._object.pread_at_hand
        data = bytes(pread(each.offset + self._done, length))
        if len(data) != length:
            raise StoreError(f"{each.name} is shorter than its index says")
        self.has_read_stored = True
        return data


def read_slices(store: Store, slices: Iterable[Literal | Stored]) -> Iterator[bytes]:
    """All pieces of a SliceReader, of _WHOLE_BYTES; raises what it does. While the caller has one, another
    thread reads the next.
    """
    reader = SliceReader(store, slices, _WHOLE_BYTES)
    try:
        with ThreadPoolExecutor(1) as other:
            piece = reader.read()
            while piece:
                following = other.submit(reader.read)
                yield piece
                piece = following.result()
    finally:
        reader.close()
