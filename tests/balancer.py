"""One address in front of several servers: each connection goes to one that is alive, in turn."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence

# How long a server that refused is left alone.
_AWAY_S = 0.5
_PIECE_BYTES = 1 << 16


class Balancer:
    """Passes bytes on and knows nothing of HTTP. What its server cuts is cut for the client too."""

    def __init__(self, ports: Sequence[int]) -> None:
        """`ports`: of the servers, on loopback."""
        self._ports = list(ports)
        self._away_until: dict[int, float] = {}
        self._lock = threading.Lock()
        self.passed: dict[int, int] = dict.fromkeys(ports, 0)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="balancer", daemon=True).start()

    def close(self) -> None:
        """No connection is taken any more."""
        # close() alone would leave a thread in accept().
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=[client], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        server = self._connected()
        if server is None:
            client.close()
            return
        back = threading.Thread(target=_pump, args=[server, client], daemon=True)
        back.start()
        _pump(client, server)
        back.join()
        client.close()
        server.close()

    def _connected(self) -> socket.socket | None:
        """A connection to the next server that takes one, or None."""
        with self._lock:
            turn = list(self._ports)
            self._ports.append(self._ports.pop(0))
        for port in sorted(turn, key=lambda port: self._away_until.get(port, 0) > time.monotonic()):
            try:
                server = socket.create_connection(("127.0.0.1", port), 5)
            except OSError:
                self._away_until[port] = time.monotonic() + _AWAY_S
                continue
            server.settimeout(None)
            with self._lock:
                self.passed[port] += 1
            return server
        return None


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Until either end has closed; then neither is of use."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
