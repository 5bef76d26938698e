"""The live board: looked at each two seconds while anybody reads it, and told to all readers at once.

Belongs to the event loop. A reader has no queue: who is slow gets the newest board next, not those between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from recorder.logging import get_logger
from retrieval_api.board_view import Kind

_log = get_logger()
# A look at seven rooms costs 30 ms, however many read; their heartbeats come each 5 s.
ROUND_S = 2.0
# So that a reader knows that nothing has changed; and a closed connection is noticed.
ALIVE_S = 5.0
# A database that hangs raises nothing for a while: what was drawn longer ago is not called alive.
FRESH_S = 8.0
# Each is a connection that is kept open; who comes later asks now and then, as without scripts.
MAX_READERS = 200

# Draws the board for these kinds of reader. May block: it runs in the thread pool.
Draw = Callable[[Iterable[Kind]], Mapping[Kind, str]]
# Those of these sessions that are over; the same.
Ended = Callable[[frozenset["Session"]], frozenset["Session"]]


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in, and the role in which it was let in: whose role changes begins anew."""

    token_sha256: str
    role: str


@dataclass(slots=True, eq=False)
class _Reader:
    kind: Kind
    session: Session
    board: str = ""
    is_over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class LiveBoard:
    def __init__(self, draw: Draw, ended: Ended, *, round_s: float = ROUND_S) -> None:
        self._draw, self._ended, self._round_s = draw, ended, round_s
        self._readers: set[_Reader] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._is_well = True
        self._drawn_s = -math.inf

    @property
    def is_full(self) -> bool:
        return len(self._readers) >= MAX_READERS

    def close(self) -> None:
        """Every stream ends: the server stops. Browsers come again by themselves, to the next server."""
        self._closed = True
        for reader in self._readers:
            reader.news.set()

    async def follow(self, kind: Kind, session: Session) -> AsyncGenerator[str]:
        """Events of a stream (text/event-stream): `board` with the board's HTML at once and after each
        change, `alive` where there was none for a while, `end` when the session is over, which ends it.
        While the board cannot be drawn, or that takes long, there is none of them.
        """
        reader = _Reader(kind, session)
        self._readers.add(reader)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        sent = ""
        try:
            # Browsers come again after this long.
            yield "retry: 2000\n\n"
            while not self._closed:
                try:
                    async with asyncio.timeout(ALIVE_S):
                        await reader.news.wait()
                except TimeoutError:
                    if self._is_well and time.monotonic() - self._drawn_s < FRESH_S:
                        yield event("alive")
                    continue
                reader.news.clear()
                if reader.is_over:
                    yield event("end")
                    return
                if reader.board != sent:
                    sent = reader.board
                    yield event("board", sent)
        finally:
            self._readers.discard(reader)

    async def _run(self) -> None:
        while self._readers and not self._closed:
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001 a database that is away, or a defect: the next round may do
                if self._is_well:
                    _log.error("board_not_drawn", error=error)
                self._is_well = False
            else:
                self._is_well, self._drawn_s = True, time.monotonic()
            await asyncio.sleep(self._round_s)

    async def _round(self) -> None:
        readers = list(self._readers)
        over = await run_in_threadpool(self._ended, frozenset(reader.session for reader in readers))
        left = [reader for reader in readers if reader.session not in over]
        drawn = await run_in_threadpool(self._draw, {reader.kind for reader in left})
        for reader in readers:
            reader.is_over = reader.session in over
            board = drawn.get(reader.kind, "")
            if reader.is_over or board != reader.board:
                reader.board = board
                reader.news.set()


def event(name: str, data: str = "") -> str:
    """In the format of text/event-stream."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
