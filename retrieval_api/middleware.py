"""Around every answer: bounds for what is sent to us, and headers that keep browsers honest."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval_api.problems import Problem, respond

# A million Cyrillic letters, percent-encoded, are 6 MB: a form that holds them is still read whole, so
# that the route can show it again with a word about the field.
MAX_BODY_BYTES = 8 * 2**20
# What is longer is read and dropped up to here, or a browser would see a broken connection in place of
# the answer.
_MAX_DRAINED_BYTES = 64 * 2**20
# A form at 0.5 Mbit/s; what dribbles longer holds a connection that others need.
MAX_BODY_S = 120.0

# `blob:` is how a page's script hands to its own player what it has fetched from here: a day is played so.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}
_TRANSPORT_SECURITY = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """Every answer bears them; transport security only where the reader came by https."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _TRANSPORT_SECURITY)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """Bodies over MAX_BODY_BYTES get a 413 that a browser can read; routes never see them.

    A body is collected before the route begins: a slow sender holds no database transaction.
    The ingest of segments has bounds of its own and streams.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _has_own_limits(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(MAX_BODY_S):
                body = await _collect(receive)
        except TimeoutError:
            detail = f"the body took longer than {MAX_BODY_S:.0f} s"
            slow = Problem(408, "too_slow", detail, headers={"Connection": "close"})
            await (await run_in_threadpool(respond, Request(scope), slow))(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > MAX_BODY_BYTES:
            detail = f"the body is longer than {MAX_BODY_BYTES} bytes; shorten it"
            # Rendering a page reads the database: not in the event loop.
            answer = await run_in_threadpool(respond, Request(scope), Problem(413, "too_large", detail))
            await answer(scope, receive, send)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def _has_own_limits(scope: Scope) -> bool:
    """Segments alone: everything else below /ingest/ is read whole, before anybody's token is checked."""
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/ingest/"))


async def _collect(receive: Receive) -> bytes | None:
    """The body; one byte more than the limit stands for any longer one; None when the sender went away.

    Half a form must never reach a route: it could look like a whole one.
    """
    body = bytearray()
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        total += len(chunk)
        body += chunk[: max(0, MAX_BODY_BYTES + 1 - len(body))]
        if not message.get("more_body", False) or total > _MAX_DRAINED_BYTES:
            return bytes(body)
