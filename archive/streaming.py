"""Bytes of a virtual clip, from its slices and the store: shared by export and the web."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from archive.mp4.sliced import Literal, SlicedFile, Stored
from archive.store import NotAtHandError, ObjectReader, Store, StoreError

# A multiple of the cipher's chunks. Larger ones only fill memory.
PIECE_BYTES = 512 * 1024
# Whoever begins to watch waits for the first bytes: one chunk.
FIRST_BYTES = 64 * 1024


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
        self._batch: list[bytes | memoryview] = []
        self._batch_bytes = 0
        self.has_read_stored = False

    def read(self, *, wait: bool = True) -> bytes | memoryview:
        """The next piece; none at the end. A view holds until the next reading of this thread.

        Raises StoreError when an object is gone or short: what was promised by Content-Length is then cut
        off, never padded. Unless it may `wait`, raises NotAtHandError for what must be opened, or comes from
        a disk or a network; nothing is lost by it.
        """
        most = self.piece_bytes
        while self._slice is not None:
            length = self._next_length(self._slice, most)
            if self._batch and self._batch_bytes + length > most:
                break
            if self._batch:
                # Another reading follows.
                self._batch[-1] = bytes(self._batch[-1])
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

    def _read_slice(self, each: Literal | Stored, length: int, *, wait: bool) -> bytes | memoryview:
        if isinstance(each, Literal):
            return each.data
        if self._object is None or self._object_name != each.name:
            if not wait:
                raise NotAtHandError(each.name)
            self.close()
            self._object, self._object_name = self._store.open(each.name), each.name
        pread = self._object.pread if wait else self._object.pread_at_hand
        data = pread(each.offset + self._done, length)
        if len(data) != length:
            raise StoreError(f"{each.name} is shorter than its index says")
        self.has_read_stored = True
        return data


def write_whole(store: Store, file: SlicedFile, fd: int) -> None:
    """All of the file's bytes into an open file that is empty. Not durable yet.

    Raises StoreError and OSError, before anything is written where the disk has no room for all of it; what
    was written is of no use then.
    """
    os.posix_fallocate(fd, 0, file.size)
    middle, stopped = file.size // 2, threading.Event()
    # The cipher keeps the interpreter to itself, reading and writing do not: while one half is opened, the
    # other is read or written. More than two would wait for one another.
    with ThreadPoolExecutor(2) as threads:
        halves = [
            threads.submit(_write_part, store, file, part, fd, stopped)
            for part in ((0, middle), (middle, file.size))
        ]
        try:
            wait(halves, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
    for half in halves:
        half.result()


def _write_part(
    store: Store, file: SlicedFile, part: tuple[int, int], fd: int, stopped: threading.Event
) -> None:
    """The bytes `[start, end)` of the file, or fewer when it is `stopped`."""
    at, end = part
    reader = SliceReader(store, file.slices(at, end))
    try:
        while at < end and not stopped.is_set():
            piece = memoryview(_read_cheaply(reader))
            while piece:
                written = os.pwrite(fd, piece, at)
                piece, at = piece[written:], at + written
    finally:
        reader.close()


def _read_cheaply(reader: SliceReader) -> bytes | memoryview:
    """The next piece, as a view where it is at hand: what is written at once need not be copied before."""
    try:
        return reader.read(wait=False)
    except NotAtHandError:
        return reader.read()
