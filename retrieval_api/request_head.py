"""A bound for how long the head of a request may take: uvicorn has one for idle connections alone.

Without it, whoever sends a header a minute keeps a connection for ever, and a few thousand of those are all
that the server has. Bodies have bounds of their own (`routes.ingest`, `middleware.BodyLimit`).
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedHeadProtocol(H11Protocol):
    """From the connection on, and from the first byte of each later request, a head has `head_s` seconds."""

    # Far more than a browser on a bad mobile network needs for its 2 KB.
    head_s: ClassVar[float] = 30.0
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._due = self.loop.call_later(self.head_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._clear()
        elif self._due is None:
            self._due = self.loop.call_later(self.head_s, self._give_up)

    def _clear(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up(self) -> None:
        self._due = None
        if not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()
