"""An answer that does not end by itself: events, until the reader leaves, reads no more, or they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# A reader whose connection takes nothing for this long is gone, or as good as gone.
_STUCK_S = 30.0


class EventStream(Response):
    """Memory is bounded: the next event is asked for when the connection has taken the one before."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str], *, stuck_s: float = _STUCK_S) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._stuck_s = stuck_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            pump.cancel()
            gone.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            await self._events.aclose()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for each in self._events:
                async with asyncio.timeout(self._stuck_s):
                    body = each.encode()
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
