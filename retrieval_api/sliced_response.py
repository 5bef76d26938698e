"""A file that exists in slices as an HTTP answer: conditions, one byte range, and what was in fact sent."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar
from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from archive.mp4.sliced import SlicedFile
from archive.store import NotAtHandError, Store
from archive.streaming import FIRST_BYTES, PIECE_BYTES, SliceReader
from retrieval_api import ranges
from retrieval_api.problems import Problem

MEDIA_TYPE = "video/mp4"
_READERS = 8
# The longest piece takes 40 ms at 100 Mbit/s; and others have their turns meanwhile.
_AT_ONCE_S = 0.05


class Journal(Protocol):
    """Is told what of the file the reader got; `open` before the first byte, and durably on return."""

    def open(self) -> None: ...
    def is_due(self) -> bool: ...
    def tell(self, start: int, end: int) -> None: ...


def answer(
    request: Request, store: Store, file: SlicedFile, headers: dict[str, str], journal: Journal
) -> Response:
    """200, 206, 304 or a HEAD's. Raises Problem 412, 416. `headers` are completed.

    The journal is opened only where bytes follow, before the first of them.
    """
    headers |= {"Accept-Ranges": "bytes", "ETag": file.etag}
    chosen = ranges.select(request.headers, file.etag, file.size)
    if chosen.status == 416:
        headers["Content-Range"] = f"bytes */{file.size}"
        detail = f"the clip has {file.size} bytes"
        raise Problem(416, "range_not_satisfiable", detail, headers=headers)
    if chosen.status == 412:
        raise Problem(412, "precondition_failed", "the clip has changed; load it anew", headers=headers)
    if chosen.status == 304:
        return Response(status_code=304, headers=headers)
    if chosen.status == 206:
        headers["Content-Range"] = f"bytes {chosen.start}-{chosen.end - 1}/{file.size}"
    headers["Content-Length"] = str(chosen.end - chosen.start)
    if request.method == "HEAD":
        return Response(status_code=chosen.status, headers=headers, media_type=MEDIA_TYPE)
    reader = SliceReader(store, file.slices(chosen.start, chosen.end), FIRST_BYTES)
    return _SlicedResponse(reader, chosen, headers, journal)


class _SlicedResponse(Response):
    """Streams `[start, end)` of a file. What the page cache holds is read by the event loop, because to hand
    it from thread to thread costs more than to read and open it; what is not at hand is read by another
    thread while the piece before it is sent. What was sent is recorded also when the reader goes away.
    """

    def __init__(
        self,
        reader: SliceReader,
        chosen: ranges.Selection,
        headers: dict[str, str],
        journal: Journal,
    ) -> None:
        super().__init__(status_code=chosen.status, headers=headers, media_type=MEDIA_TYPE)
        self._reader = reader
        self._ready: deque[bytes] = deque()
        self._journal, self._is_open = journal, False
        self._told = self._sent = chosen.start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        try:
            await self._begin()
            async with anyio.create_task_group() as group:

                async def leave_with_the_reader() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(leave_with_the_reader)
                await self._send(send, group)
                group.cancel_scope.cancel()
        finally:
            # The reading thread has ended by now.
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._finish)

    async def _begin(self) -> None:
        """Once the answer has begun, a store that is away could only cut it off: the head and the first bytes
        that are stored are here before, and the journal open. Raises StoreError, answered as ever.
        """
        await anyio.to_thread.run_sync(self._prepare, limiter=_readers())

    def _prepare(self) -> None:
        self._ready.append(bytes(self._reader.read()))
        if not self._reader.has_read_stored:
            self._ready.append(bytes(self._reader.read()))
        self._journal.open()
        self._is_open = True

    async def _send(self, send: Send, group: TaskGroup) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while piece := self._ready.popleft():
            fetched = None if self._ready else self._look_ahead(group)
            keeps_up = await self._send_piece(piece, send)
            if fetched is not None:
                await fetched.wait()
            else:
                # Large pieces cost less; of those that wait for a slow reader, small ones fill less memory.
                self._reader.piece_bytes = self._fitting_bytes(keeps_up=keeps_up)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _look_ahead(self, group: TaskGroup) -> anyio.Event | None:
        """Makes the next piece ready, or has it fetched; then returns what tells when it is there."""
        try:
            # It is sent after the next one was read.
            self._ready.append(bytes(self._reader.read(wait=False)))
        except NotAtHandError:
            # Each is a request to a store; large ones are few.
            self._reader.piece_bytes = PIECE_BYTES
            fetched = anyio.Event()
            group.start_soon(self._fetch, fetched)
            return fetched
        return None

    async def _fetch(self, fetched: anyio.Event) -> None:
        piece = await anyio.to_thread.run_sync(self._reader.read, limiter=_readers())
        self._ready.append(bytes(piece))
        fetched.set()

    async def _send_piece(self, piece: bytes, send: Send) -> bool:
        """Whether the reader took it at once, or nearly."""
        # Before it is sent: of a piece that a reader got half of, too much is told and not nothing.
        self._sent += len(piece)
        began_s = anyio.current_time()
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        keeps_up = anyio.current_time() - began_s < _AT_ONCE_S
        if self._journal.is_due():
            await run_in_threadpool(self._tell)
        # To a reader that takes all at once nothing is waited for: others are to have their turn.
        await anyio.lowlevel.checkpoint()
        return keeps_up

    def _fitting_bytes(self, *, keeps_up: bool) -> int:
        size_bytes = self._reader.piece_bytes
        return min(size_bytes * 2, PIECE_BYTES) if keeps_up else max(size_bytes // 2, FIRST_BYTES)

    def _tell(self) -> None:
        self._journal.tell(self._told, self._sent)
        self._told = self._sent

    def _finish(self) -> None:
        try:
            if self._is_open:
                self._tell()
        finally:
            self._reader.close()


def _readers() -> anyio.CapacityLimiter:
    """Threads of their own for footage: viewers on a slow disk must not take those of pages and of ingest."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_READERS)
        _limiter.set(limiter)
        return limiter


# One for each event loop.
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("_limiter")
