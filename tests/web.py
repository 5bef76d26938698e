"""The web application as a real server on a loopback port, and a client that fills in its forms."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import structlog
import uvicorn

from archive.system import Archive
from recorder.instants import now_us
from recorder.logging import configure_logging
from retrieval_api import accounts
from retrieval_api.app import create_app
from retrieval_api.request_head import BoundedHeadProtocol

PASSWORD = "correct horse battery"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Clock:
    """The application's clock in a test's hands; it runs on by itself until it is set."""

    def __init__(self) -> None:
        self.set_us: int | None = None

    def __call__(self) -> int:
        return now_us() if self.set_us is None else self.set_us

    def forward(self, microseconds: int) -> None:
        self.set_us = self() + microseconds


class Client(httpx.Client):
    """A browser without JavaScript: keeps cookies and sends the forms of pages it has seen."""

    def form(self, page: str, action: str | None = None, **fields: str) -> httpx.Response:
        """Load `page` and post its form, the token along, to `action` (default: the page itself)."""
        found = _CSRF.search(self.get(page).text)
        assert found, f"{page} has no form"
        return self.post(action or page.partition("?")[0], data={"csrf": found[1], **fields})

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.form("/staff/login", name=name, password=password)


@contextmanager
def serving(archive: Archive, clock: Any = now_us) -> Iterator[str]:
    """The application in a thread of this process; yields its base URL."""
    if not structlog.is_configured():
        # Its default draws every traceback in colour with all locals: seconds for each.
        configure_logging()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        # Who connects before the server's thread runs waits instead of being refused.
        sock.listen()
        port = sock.getsockname()[1]
        config = uvicorn.Config(
            create_app(archive, clock),
            log_config=None,
            http=BoundedHeadProtocol,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)


@contextmanager
def logged_in(url: str, role: str, **options: Any) -> Iterator[Client]:
    """A browser of the person of this role (see `add_staff`); `options` as httpx wants them."""
    with Client(base_url=url, **{"timeout": 30, **options}) as client:
        answer = client.log_in(role)
        assert not answer.is_error, answer.text
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document of an error, as programs get it; it must be this one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]
    return document


def add_staff(archive: Archive) -> None:
    """One person of each role, named after it."""
    for role in ("clerk", "operator", "reviewer", "auditor", "admin"):
        accounts.add(archive, role, role, PASSWORD, "cli:0", now_us())
