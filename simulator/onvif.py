"""A simulated ONVIF device: SOAP over HTTP, which checks passwords as cameras do and points to a camera.

It says what its camera sends; it does not change what that camera sends: a GOP that was set is only
remembered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from xml.etree import ElementTree as ET

from simulator import onvif_messages as messages
from simulator.onvif_messages import Stream

# A digest that was made longer ago is taken for a replay.
_FRESH_S = 30.0
_MAX_REQUEST_BYTES = 1 << 20
_WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
_WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
_BODY = "{http://www.w3.org/2003/05/soap-envelope}Body"
_SCHEMA = "{http://www.onvif.org/ver10/schema}"
_MEDIA = "{http://www.onvif.org/ver10/media/wsdl}"
# What a device tells to strangers, by the standard.
_OPEN = frozenset({"GetSystemDateAndTime"})


@dataclass(frozen=True)
class OnvifFaults:
    """`clock_offset_s`: the device's clock minus the true one. `unset_clock`: it is 1 January 1970.

    `hangs`: takes requests and never answers. `status`: answers everything with that HTTP status and no
    SOAP. `web_page`: is another device, which answers with a page. `gop_is_fixed`: refuses a new GOP.
    `own_host`: the host in all addresses that it tells.
    """

    clock_offset_s: float = 0.0
    unset_clock: bool = False
    hangs: bool = False
    status: int | None = None
    web_page: bool = False
    gop_is_fixed: bool = False
    own_host: str | None = None


class OnvifDevice:
    """A context manager. `faults` may be replaced at any time; `asked` are the operations called so far.

    `streams` is what it offers, all at `stream_uri`; a SetVideoEncoderConfiguration changes them.
    """

    def __init__(
        self,
        stream_uri: str,
        *,
        user: str = "viewer",
        password: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        streams: tuple[Stream, ...] = (Stream("main", 1280, 720), Stream("sub", 640, 360)),
        faults: OnvifFaults | None = None,
    ) -> None:
        """`port` 0: a free one, known after `start` and kept for the next."""
        self.host, self.port = host, port
        self.streams = streams
        self.faults = faults or OnvifFaults()
        self.asked: list[str] = []
        self._uri = stream_uri
        self._user, self._password = user, password
        self._over = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        """As `onvif:` in rooms.yaml."""
        return f"{self.host}:{self.port}"

    @property
    def service_address(self) -> str:
        return f"{self._base}/device_service"

    @property
    def _base(self) -> str:
        return f"http://{self.faults.own_host or self.host}:{self.port}/onvif"

    def start(self) -> Self:
        device: OnvifDevice = self

        class Handler(_Handler):
            onvif = device

        self._over.clear()
        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self) -> None:
        """Connections are refused from now on, hanging requests end; idempotent."""
        self._over.set()
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self if self._server else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def now(self) -> datetime:
        """By its own clock."""
        if self.faults.unset_clock:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time.monotonic() % 86_400)
        return datetime.now(UTC) + timedelta(seconds=self.faults.clock_offset_s)

    def hang(self) -> None:
        self._over.wait()

    def answer(self, request: bytes) -> tuple[int, bytes]:
        """HTTP status and SOAP envelope."""
        try:
            envelope = ET.fromstring(request)  # noqa: S314 loopback, and who asks is being tested
            call = envelope.find(_BODY)[0]  # type: ignore[index]
        except (ET.ParseError, TypeError, IndexError):
            return 400, messages.envelope(messages.fault("Sender", "WellFormed", "Not SOAP"))
        operation = call.tag.rpartition("}")[2]
        self.asked.append(operation)
        if operation not in _OPEN and not self._knows(envelope):
            return 400, messages.envelope(messages.fault("Sender", "NotAuthorized", "Sender not Authorized"))
        body = self._do(operation, call)
        return (500 if body.startswith("<s:Fault") else 200), messages.envelope(body)

    def _do(self, operation: str, call: ET.Element) -> str:
        answers: dict[str, Callable[[], str]] = {
            "GetSystemDateAndTime": lambda: messages.date_and_time(self.now()),
            "GetDeviceInformation": lambda: messages.device_information("Room camera"),
            "GetCapabilities": lambda: messages.capabilities(self._base),
            "GetServices": lambda: messages.services(self._base),
            "GetProfiles": lambda: messages.profiles(self.streams),
            "GetStreamUri": lambda: messages.stream_uri(self._stream_uri()),
            "GetVideoEncoderConfigurations": lambda: messages.encoder_configurations(self.streams),
            "GetVideoEncoderConfiguration": lambda: self._get_encoder(call),
            "SetVideoEncoderConfiguration": lambda: self._set_encoder(call),
        }
        if operation not in answers:
            return messages.fault("Receiver", "ActionNotSupported", f"No {operation} here")
        return answers[operation]()

    def _stream_uri(self) -> str:
        parts = urllib.parse.urlsplit(self._uri)
        netloc = parts.netloc.rpartition("@")[2]
        if self.faults.own_host:
            netloc = f"{self.faults.own_host}:{parts.port}" if parts.port else self.faults.own_host
        return urllib.parse.urlunsplit(parts._replace(netloc=netloc))

    def _stream_of(self, encoder: str | None) -> Stream | None:
        return next((each for each in self.streams if messages.encoder_token(each) == encoder), None)

    def _get_encoder(self, call: ET.Element) -> str:
        stream = self._stream_of(call.findtext(f"{_MEDIA}ConfigurationToken"))
        if stream is None:
            return messages.fault("Sender", "NoConfig", "No such configuration")
        return messages.encoder_configuration(stream)

    def _set_encoder(self, call: ET.Element) -> str:
        configuration = call.find(f"{_MEDIA}Configuration")
        stream = self._stream_of(None if configuration is None else configuration.get("token"))
        gop = None if configuration is None else configuration.findtext(f"{_SCHEMA}H264/{_SCHEMA}GovLength")
        if stream is None or gop is None or not gop.isdecimal():
            return messages.fault("Sender", "NoConfig", "No such configuration")
        if self.faults.gop_is_fixed:
            return messages.fault("Sender", "ConfigModify", "Parameters cannot be set")
        changed = replace(stream, gop_frames=int(gop))
        self.streams = tuple(changed if each is stream else each for each in self.streams)
        return messages.encoder_set()

    def _knows(self, envelope: ET.Element) -> bool:
        """The user, the password and a `Created` that is fresh by the device's own clock."""
        token = envelope.find(f".//{_WSSE}UsernameToken")
        if token is None:
            return False
        said = {tag: token.findtext(f"{_WSSE}{tag}") or "" for tag in ("Username", "Password", "Nonce")}
        created = token.findtext(f"{_WSU}Created") or ""
        try:
            at = datetime.fromisoformat(created)
            nonce = base64.b64decode(said["Nonce"], validate=True)
        except (ValueError, binascii.Error):
            return False
        if at.tzinfo is None or abs((at - self.now()).total_seconds()) > _FRESH_S:
            return False
        # SHA-1 is what WS-Security prescribes.
        digest = hashlib.sha1(nonce + created.encode() + self._password.encode())  # noqa: S324
        right = base64.b64encode(digest.digest()).decode()
        return said["Username"] == self._user and hmac.compare_digest(right, said["Password"])


class _Handler(BaseHTTPRequestHandler):
    onvif: OnvifDevice
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, "text/html", b"<html><body>Camera</body></html>")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = self.rfile.read(min(length, _MAX_REQUEST_BYTES))
        faults = self.onvif.faults
        if faults.hangs:
            self.onvif.hang()
            self.close_connection = True
        elif faults.status is not None:
            self._send(faults.status, "text/plain", b"")
        elif faults.web_page:
            self._send(200, "text/html", b"<!DOCTYPE html><html><body>A printer<br></body></html>")
        else:
            status, answer = self.onvif.answer(request)
            self._send(status, "application/soap+xml; charset=utf-8", answer)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
