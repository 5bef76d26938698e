"""Answers WS-Discovery's call for cameras, as an ONVIF device in the same network does."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from typing import Self
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_GROUP, _PORT = "239.255.255.250", 3702
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_CAMERA = "NetworkVideoTransmitter"
_MAX_BYTES = 65_535
_POLL_S = 0.2


def probe_match(probe: bytes, address: str, urn: str) -> bytes | None:
    """The answer of a camera whose service is at `address`; None to what is no call for cameras."""
    try:
        envelope = ET.fromstring(probe)  # noqa: S314 a test network
    except ET.ParseError:
        return None
    if (envelope.findtext(f".//{{{_ADDRESSING}}}Action") or "").strip() != f"{_DISCOVERY}/Probe":
        return None
    if _CAMERA not in (envelope.findtext(f".//{{{_DISCOVERY}}}Types") or _CAMERA):
        return None
    asked = escape((envelope.findtext(f".//{{{_ADDRESSING}}}MessageID") or "").strip())
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:a="{_ADDRESSING}" xmlns:d="{_DISCOVERY}" '
        'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header>'
        f"<a:Action>{_DISCOVERY}/ProbeMatches</a:Action><a:MessageID>{uuid.uuid4().urn}</a:MessageID>"
        f"<a:RelatesTo>{asked}</a:RelatesTo>"
        "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To></s:Header><s:Body>"
        f"<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>{urn}</a:Address>"
        f"</a:EndpointReference><d:Types>dn:{_CAMERA}</d:Types><d:Scopes>"
        "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Room%20camera "
        "onvif://www.onvif.org/hardware/sim</d:Scopes>"
        f"<d:XAddrs>{escape(address)}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>"
        "</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    ).encode()


class DiscoveryResponder:
    """A context manager; `interface` is the IPv4 address of the interface at which it listens."""

    def __init__(self, address: str, interface: str) -> None:
        self._address = address
        self._interface = interface
        self._urn = uuid.uuid4().urn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        """Returns when it hears. Raises OSError."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Who asks listens at the same port, on the same machine when this is a test.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", _PORT))
        member = socket.inet_aton(_GROUP) + socket.inet_aton(self._interface)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._socket.settimeout(_POLL_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._socket:
            self._socket.close()

    def _serve(self) -> None:
        while self._socket and not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                probe, asker = self._socket.recvfrom(_MAX_BYTES)
                answer = probe_match(probe, self._address, self._urn)
                if answer:
                    self._socket.sendto(answer, asker)
