"""A clip as an HTTP answer: resolved at the door, built, its opening recorded, its bytes streamed.

Staff and residents get their footage here and nowhere else. The viewing, with its ground, is durable
before the first byte; what was in fact sent is added to it while it goes and when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import anyio
from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from archive import door, viewing
from archive.door import Ground
from archive.mp4.virtual import Piece, Stored, VirtualMp4, build
from archive.streaming import read_slices, require_readable
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, to_datetime
from recorder.intervals import Interval
from retrieval_api import ranges
from retrieval_api.pages import now_of
from retrieval_api.problems import Problem

MEDIA_TYPE = "video/mp4"
# What was sent is written down this often while it goes; a viewing is idle after five minutes.
_RECORD_EVERY_US = 20 * US_PER_SECOND
_REOPEN_AFTER_US = US_PER_MINUTE


@dataclass(frozen=True)
class Opening:
    """Who opens which interval of which room (an id), on what ground.

    `exact` is for what leaves the house: not a byte of media from outside the interval.
    """

    actor: str
    room_id: str
    interval: Interval
    ground: Ground
    exact: bool = False


@dataclass(frozen=True)
class Clip:
    """What an opening gets: the virtual file and the segments it is made of."""

    file: VirtualMp4
    pieces: tuple[Piece, ...]

    def shown(self, start: int, end: int) -> Interval | None:
        """The wall time that bytes `[start, end)` can hold, by whole segments; None for the head alone."""
        names = {part.name for part in self.file.slices(start, end) if isinstance(part, Stored)}
        touched = [piece for piece in self.pieces if piece.name in names]
        if not touched:
            return None
        first = max(min(piece.start_us for piece in touched), self.file.start_us)
        last = min(max(piece.end_us for piece in touched), self.file.end_us)
        return Interval(first, last) if first < last else None


def find(archive: Archive, opening: Opening, now_us: int, source: str | None = None) -> Clip:
    """Nothing is opened by it yet. Raises NoFootageError, GroundError, NothingRecordedError,
    ClipTooLongError, CodecChangeError, each of which has its problem.
    """
    with archive.database.reading() as session:
        pieces = door.resolve(
            session,
            archive.configurations,
            archive.store,
            opening.room_id,
            opening.interval,
            opening.ground,
            now_us,
            source,
        )
    return _built(_Plan(tuple(pieces), opening.interval, opening.exact))


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
    # Once the answer has begun, a store that is away could only cut it off.
    require_readable(archive.store, clip.file.slices(chosen.start, chosen.end))
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
        # The browser may keep it while it plays and must ask again each time: retention may have passed.
        "Cache-Control": "private, no-cache",
    }


class _Plan:
    """What decides the bytes of a clip: equal plans, equal files. Object names bear a digest."""

    def __init__(self, pieces: tuple[Piece, ...], interval: Interval, exact: bool) -> None:
        self.pieces, self.interval, self.exact = pieces, interval, exact
        self._key = (tuple(piece.name for piece in pieces), interval, exact)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8)
def _built(plan: _Plan) -> Clip:
    """A player asks for one clip many times; an hour takes some 20 ms to lay out. The door is asked anew
    each time, so nothing stays open through the cache.
    """
    return Clip(build(plan.pieces, plan.interval, exact=plan.exact), plan.pieces)


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
    """Streams `[start, end)` of a clip. What was sent is recorded also when the reader goes away."""

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
        async with anyio.create_task_group() as group:

            async def leave_with_the_reader() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(leave_with_the_reader)
            try:
                await self._stream(send)
            finally:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(self._finish)
            group.cancel_scope.cancel()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (data := await run_in_threadpool(_next, self._pieces)) is not None:
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
