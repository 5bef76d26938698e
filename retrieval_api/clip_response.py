"""A clip as an HTTP answer: resolved at the door, built, its opening recorded, its bytes streamed.

Staff and residents get their footage here and nowhere else. The viewing, with its ground, is durable
before the first byte; what was in fact sent is added to it while it goes and when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from archive import viewing
from archive.mp4.virtual import VirtualMp4
from archive.streaming import read_slices
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, to_datetime
from retrieval_api import ranges
from retrieval_api.clip_plan import Clip, Opening, find
from retrieval_api.pages import now_of
from retrieval_api.problems import Problem

__all__ = ["Clip", "Opening", "answer", "file_name", "find"]

MEDIA_TYPE = "video/mp4"
# What was sent is written down this often while it goes; a viewing is idle after five minutes.
_RECORD_EVERY_US = 20 * US_PER_SECOND
_REOPEN_AFTER_US = US_PER_MINUTE
# Of each answer; more only fills memory, since a reader is slower than a disk, or as fast for long.
_PIECES_AHEAD = 1
_READERS = 8


def answer(
    request: Request,
    archive: Archive,
    opening: Opening,
    *,
    source: str | None = None,
    download: bool = False,
    zone: str,
) -> Response:
    """200, 206, 304, 412 or 416 for a GET or HEAD of the clip. Raises what `find` raises."""
    now_us = now_of(request)
    clip = find(archive, opening, now_us, source)
    chosen = ranges.select(request.headers, clip.file.etag, clip.file.size)
    headers = _headers(clip.file, opening, zone, download=download)
    if chosen.status == 416:
        headers["Content-Range"] = f"bytes */{clip.file.size}"
        detail = f"the clip has {clip.file.size} bytes"
        raise Problem(416, "range_not_satisfiable", detail, headers=headers)
    if chosen.status == 412:
        raise Problem(412, "precondition_failed", "the clip has changed; load it anew", headers=headers)
    if chosen.status == 304:
        return Response(status_code=304, headers=headers)
    if chosen.status == 206:
        headers["Content-Range"] = f"bytes {chosen.start}-{chosen.end - 1}/{clip.file.size}"
    headers["Content-Length"] = str(chosen.end - chosen.start)
    if request.method == "HEAD":
        return Response(status_code=chosen.status, headers=headers, media_type=MEDIA_TYPE)
    journal = _Journal(request, archive, opening, clip)
    journal.open()
    return _ClipResponse(archive, clip, chosen, headers, journal)


def file_name(room_id: str, start_us: int, zone: str) -> str:
    """`108_2026-11-20_10-00-00.mp4`, local time."""
    moment: datetime = to_datetime(start_us, zone)
    return f"{room_id}_{moment:%Y-%m-%d_%H-%M-%S}.mp4"


def _headers(file: VirtualMp4, opening: Opening, zone: str, *, download: bool) -> dict[str, str]:
    name = file_name(opening.room_id, opening.interval.start_us, zone)
    return {
        "Accept-Ranges": "bytes",
        "ETag": file.etag,
        "Content-Disposition": f'{"attachment" if download else "inline"}; filename="{name}"',
        "Protokol-Start": format_instant(file.start_us, zone),
        "Protokol-End": format_instant(file.end_us, zone),
        "Protokol-Coding": file.coding,
        "Protokol-Gaps": str(len(file.gaps)),
        # The browser may keep it while it plays and must ask again each time: retention may have passed.
        "Cache-Control": "private, no-cache",
    }


class _Journal:
    """The viewing of one answer: opened before the first byte, told of what was sent."""

    def __init__(self, request: Request, archive: Archive, opening: Opening, clip: Clip) -> None:
        self._request, self._archive, self._opening, self._clip = request, archive, opening, clip
        self._viewing_id = 0
        self._told_us = 0

    def open(self) -> None:
        """Durable, with its custody event, on return."""
        self._told_us = now_of(self._request)
        what = self._opening
        self._viewing_id = viewing.open_viewing(
            self._archive, what.actor, what.room_id, what.interval, what.ground, self._told_us
        )

    def is_due(self) -> bool:
        return now_of(self._request) - self._told_us >= _RECORD_EVERY_US

    def tell(self, start: int, end: int) -> None:
        """Bytes `[start, end)` were handed to the reader."""
        at_us = now_of(self._request)
        if at_us - self._told_us > _REOPEN_AFTER_US:
            # A reader that paused in the middle: the viewing may have been closed as idle.
            self.open()
        self._told_us = at_us
        if end > start:
            viewing.served(self._archive, self._viewing_id, self._clip.shown(start, end), end - start, at_us)


class _ClipResponse(Response):
    """Streams `[start, end)` of a clip: while one piece is sent, the next is read and opened by another
    thread. What was sent is recorded also when the reader goes away.
    """

    def __init__(
        self,
        archive: Archive,
        clip: Clip,
        chosen: ranges.Selection,
        headers: dict[str, str],
        journal: _Journal,
    ) -> None:
        super().__init__(status_code=chosen.status, headers=headers, media_type=MEDIA_TYPE)
        self._pieces = read_slices(archive.store, clip.file.slices(chosen.start, chosen.end))
        self._journal = journal
        self._told = self._sent = chosen.start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        try:
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

    async def _read(self, ahead: MemoryObjectSendStream[bytes]) -> None:
        async with ahead:
            while (
                data := await anyio.to_thread.run_sync(_next, self._pieces, limiter=_readers())
            ) is not None:
                await ahead.send(data)

    async def _send(self, pieces: MemoryObjectReceiveStream[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with pieces:
            async for data in pieces:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._sent += len(data)
                if self._journal.is_due():
                    await run_in_threadpool(self._tell)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell(self) -> None:
        self._journal.tell(self._told, self._sent)
        self._told = self._sent

    def _finish(self) -> None:
        self._tell()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


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
