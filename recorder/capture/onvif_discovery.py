"""Which ONVIF cameras answer a call to everybody in this network; the only user of wsdiscovery."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wsdiscovery import QName
from wsdiscovery.discovery import ThreadedWSDiscovery

from recorder.capture.onvif_device import ONVIF_PORT
from recorder.errors import ProtokolError

_CAMERA = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
_SCOPE = "onvif://www.onvif.org/"


class DiscoveryError(ProtokolError):
    """The network cannot be asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """`host` as rooms.yaml takes it; `name` and `hardware` as the camera tells them to everybody."""

    host: str
    name: str | None = None
    hardware: str | None = None


def discover(timeout_s: float) -> list[Found]:
    """Those that answered within that time, by address. Raises DiscoveryError.

    The call reaches this network only, not what is behind a router, and never loopback.
    """
    asking = ThreadedWSDiscovery()
    try:
        asking.start()
    except OSError as error:
        raise DiscoveryError(
            f"cannot ask the network for cameras: {error.strerror}; name them by --host"
        ) from error
    services = asking.searchServices(types=[_CAMERA], timeout=timeout_s)
    answers = [
        (service.getXAddrs(), [scope.getValue() for scope in service.getScopes()]) for service in services
    ]
    asking.stop()
    found = {each.host: each for each in (_found(*answer) for answer in answers) if each}
    return sorted(found.values(), key=lambda each: [part.zfill(5) for part in re.split(r"[.:]", each.host)])


def _found(addresses: Iterable[str], scopes: Sequence[str]) -> Found | None:
    """None for an answer without an address that can be asked."""
    hosts = list(filter(None, map(_host, addresses)))
    if not hosts:
        return None
    # A camera with several addresses is named by IPv4 where it can be.
    host = min(hosts, key=lambda each: each.startswith("["))
    return Found(host, _scope(scopes, "name"), _scope(scopes, "hardware"))


def _host(address: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(address)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    # A link-local IPv6 address leads nowhere without the interface.
    if parts.scheme != "http" or not name or name.startswith("fe80:"):
        return None
    name = f"[{name}]" if ":" in name else name
    return name if port in {None, ONVIF_PORT} else f"{name}:{port}"


def _scope(scopes: Sequence[str], kind: str) -> str | None:
    """What follows `onvif://www.onvif.org/name/`; it is for people, and comes from whoever answered."""
    prefix = f"{_SCOPE}{kind}/"
    for scope in scopes:
        if scope.startswith(prefix):
            text = urllib.parse.unquote(scope[len(prefix) :])
            return "".join(letter for letter in text if letter.isprintable())[:60] or None
    return None
