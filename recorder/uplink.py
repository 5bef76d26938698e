"""The agent's requests to the council server, over one connection that is kept.

The standard library's client: a room host sends one file a minute, and a second HTTP stack would
weigh more than the rest of the agent.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from recorder.errors import ConfigurationError, ProtokolError

_TIMEOUT_S = 15.0
_MAX_ANSWER_BYTES = 4 << 20


class UplinkError(ProtokolError):
    """The server could not be reached or did not answer as a server does; try again later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`document` is the JSON object in the body, empty where there was none; `retry_after_s` what the server
    asks for, None where it states no number of seconds.
    """

    status: int
    document: dict[str, Any]
    retry_after_s: int | None = None

    @property
    def problem(self) -> str:
        """What a problem document says (RFC 9457), for logs."""
        document = self.document
        return str(document.get("detail") or document.get("title") or f"HTTP {self.status}")[:300]


class Uplink:
    """Not for two threads at once: each has its own."""

    def __init__(self, server_url: str, token: str) -> None:
        """Raises ConfigurationError for an address that is none."""
        parts = urllib.parse.urlsplit(server_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"not a server's address: {server_url}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, document: dict[str, Any]) -> Answer:
        """Raises UplinkError."""
        body = json.dumps(document, ensure_ascii=False).encode()
        return self._request("POST", path, {"Content-Type": "application/json"}, body, len(body))

    def put_file(self, path: str, headers: dict[str, str], file: Path | None) -> Answer:
        """Streams the file, or an empty body for None. Raises UplinkError, OSError for the file."""
        if file is None:
            return self._request("PUT", path, headers, b"", 0)
        with file.open("rb") as body:
            size = file.stat().st_size
            headers = {"Content-Type": "video/mp4", **headers}
            return self._request("PUT", path, headers, body, size)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | BinaryIO, size: int
    ) -> Answer:
        all_headers = {**self._headers, **headers, "Content-Length": str(size)}
        kept = self._connection is not None
        try:
            return self._attempt(method, path, all_headers, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # The server may have closed a connection that was kept; that says nothing about it.
            closed = isinstance(error, (http.client.RemoteDisconnected, ConnectionError))
            if not (kept and closed):
                raise UplinkError(f"the server cannot be reached: {_reason(error)}") from error
        try:
            if not isinstance(body, bytes):
                body.seek(0)
            return self._attempt(method, path, all_headers, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UplinkError(f"the server cannot be reached: {_reason(error)}") from error

    def _attempt(self, method: str, path: str, headers: dict[str, str], body: bytes | BinaryIO) -> Answer:
        connection = self._connection or self._connect()
        self._connection = connection
        if isinstance(body, bytes):
            connection.request(method, self._base + path, body=body, headers=headers)
        else:
            connection.putrequest(method, self._base + path)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            # By the kernel, past this process, where nothing encrypts it: half the cost.
            connection.sock.sendfile(body)
        response = connection.getresponse()
        content = response.read(_MAX_ANSWER_BYTES)
        if response.will_close or response.read(1):
            self.close()
        return Answer(response.status, _document(content), _seconds(response.getheader("Retry-After", "")))

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content) if content else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
