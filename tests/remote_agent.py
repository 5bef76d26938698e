"""An enrolled agent that speaks HTTP to a real server over the same data directory."""

from __future__ import annotations

import socket
import time

import httpx

from recorder.manifest import SignedManifest
from tests.footage import FakeAgent, make_archive


class RemoteAgent:
    def __init__(self, data_dir, env):
        self.archive = make_archive(data_dir)
        self.agent = FakeAgent(self.archive)
        self.url = env["PROTOKOL_SERVER_URL"]

    def headers(self, signed: SignedManifest) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.agent.key.token}", "Protokol-Manifest": signed.header}

    def put(self, signed: SignedManifest, body: bytes) -> httpx.Response:
        path = f"/ingest/v1/rooms/108/segments/{signed.manifest.segment_id}"
        return httpx.put(self.url + path, content=body, headers=self.headers(signed), timeout=20)

    def outcome(self, signed: SignedManifest, body: bytes) -> str:
        """What the server answers; `no answer` where it does not, `HTTP N` where it is not terminal."""
        try:
            answer = self.put(signed, body)
        except httpx.TransportError:
            return "no answer"
        if answer.status_code in {200, 201}:
            return str(answer.json()["outcome"])
        return f"HTTP {answer.status_code}"

    def half(self, signed: SignedManifest, body: bytes) -> socket.socket:
        """Begin a PUT and send half of its body; the open connection."""
        host, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        head = [f"PUT /ingest/v1/rooms/108/segments/{signed.manifest.segment_id} HTTP/1.1", f"Host: {host}"]
        head += [f"{name}: {value}" for name, value in self.headers(signed).items()]
        head += [f"Content-Length: {len(body)}", "", ""]
        connection.sendall("\r\n".join(head).encode() + body[: len(body) // 2])
        time.sleep(0.3)
        return connection
