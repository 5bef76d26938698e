"""A file that exists in slices as an HTTP answer: conditions, one byte range, and what was in fact sent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from archive.mp4.sliced import SlicedFile
from archive.store import Store
from archive.streaming import read_slices
from retrieval_api import ranges
from retrieval_api.problems import Problem

MEDIA_TYPE = "video/mp4"
# Of each answer; more only fills memory, since a reader is slower than a disk, or as fast for long.
_PIECES_AHEAD = 1
_READERS = 8


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
    pieces = read_slices(store, file.slices(chosen.start, chosen.end))
    return _SlicedResponse(pieces, chosen, headers, journal)


class _SlicedResponse(Response):
    """Streams `[start, end)` of a file: while one piece is sent, the next is read and opened by another
    thread. What was sent is recorded also when the reader goes away.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        chosen: ranges.Selection,
        headers: dict[str, str],
        journal: Journal,
    ) -> None:
        super().__init__(status_code=chosen.status, headers=headers, media_type=MEDIA_TYPE)
        self._pieces = pieces
        self._begun: list[bytes] = []
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

                ahead, pieces = anyio.create_memory_object_stream[bytes](_PIECES_AHEAD)
                group.start_soon(leave_with_the_reader)
                group.start_soon(self._read, ahead)
                await self._send(pieces, send)
                group.cancel_scope.cancel()
        finally:
            # The reading thread has ended by now.
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._finish)

    async def _begin(self) -> None:
        """Once the answer has begun, a store that is away could only cut it off: the head and the first bytes
        that are stored are here before, and the journal open. Raises StoreError, answered as ever.
        """
        self._begun = await anyio.to_thread.run_sync(_first, self._pieces, limiter=_readers())
        await run_in_threadpool(self._journal.open)
        self._is_open = True

    async def _read(self, ahead: MemoryObjectSendStream[bytes]) -> None:
        async with ahead:
            for data in self._begun:
                await ahead.send(data)
            self._begun.clear()
            while (
                more := await anyio.to_thread.run_sync(_next, self._pieces, limiter=_readers())
            ) is not None:
                await ahead.send(more)

    async def _send(self, pieces: MemoryObjectReceiveStream[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with pieces:
            async for data in pieces:
                # Before it is sent: of a piece that a reader got half of, too much is told and not nothing.
                self._sent += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
                if self._journal.is_due():
                    await run_in_threadpool(self._tell)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell(self) -> None:
        self._journal.tell(self._told, self._sent)
        self._told = self._sent

    def _finish(self) -> None:
        if self._is_open:
            self._tell()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


def _first(pieces: Iterator[bytes]) -> list[bytes]:
    return list(itertools.islice(pieces, 2))


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


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
