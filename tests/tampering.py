"""A TCP proxy of the tests' own, on the way to a real server: flips a byte, hangs, or lets through."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class TamperingProxy:
    """`flips`: in how many more connections the byte pattern `find` is altered on its way to the server.
    `hangs`: what comes is taken and never answered. Both may be changed at any time.
    """

    def __init__(self, endpoint: str, find: bytes = b"") -> None:
        target = urlsplit(endpoint)
        assert target.hostname
        self._target = (target.hostname, target.port)
        self._find = find
        self.flips, self.hangs, self.connections = 0, False, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self.connections += 1
            self._open += [client, server]
            for source, sink, alters in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, alters), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, alters: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.hangs:
                    continue
                if alters and self.flips and (at := data.find(self._find)) >= 0:
                    self.flips -= 1
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._open):
            each.close()
