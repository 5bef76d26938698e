"""A council server for the agent's tests: a real HTTP server that speaks the ingest protocol.

It checks what it is sent as the archive would (header, signature, digest, chain) and keeps it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.keyfile import AgentKey, SignedConfiguration
from recorder.manifest import (
    GapManifest,
    SegmentManifest,
    SignedManifest,
    Track,
    canonical,
    decode_header,
    enrolment_of,
)
from recorder.rooms import RoomConfiguration

TOKEN = "test-token-0123456789"


def configuration(
    url: str, *, version: int = 1, hours: str = "00:00-24:00", **room: Any
) -> RoomConfiguration:
    """One room with one camera, recorded around the clock unless told otherwise."""
    return RoomConfiguration.model_validate(
        {
            "version": version,
            "council_name_uk": "Рада",
            "council_name_en": "Council",
            "timezone": "Europe/Kyiv",
            "retention_months": 1,
            "room": {
                "id": "108",
                "label": "108",
                "floor": 1,
                "cameras": [{"name": "main", "url": url}],
                **room,
            },
            "hours": {"mon-sun": [hours]},
            "calendar": {},
        }
    )


@dataclass
class Received:
    signed: SignedManifest
    body: bytes
    damaged: bool
    at: float

    @property
    def manifest(self) -> SegmentManifest | GapManifest:
        return self.signed.manifest


@dataclass
class IngestDouble:
    """`answers` are given instead of the usual one, first come first served: (status, document)."""

    directory: Path
    configuration: RoomConfiguration
    server_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    room_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    held: list[list[int]] = field(default_factory=list)
    pictures: dict[str, Any] | None = None
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    away: bool = False
    turned_away: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._server: ThreadingHTTPServer | None = None

    # --- life

    def start(self) -> Self:
        double = self

        class Handler(_Handler):
            ingest = double

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the agent's side

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signed_configuration(self) -> SignedConfiguration:
        text = canonical(self.configuration.model_dump(mode="json")).decode()
        signature = base64.b64encode(self.server_key.sign(text.encode())).decode()
        return SignedConfiguration(configuration=text, signature=signature)

    def agent_key(self) -> AgentKey:
        return AgentKey(
            room="108",
            enrolment=enrolment_of(self.room_key.public_key()),
            private_key=base64.b64encode(self.room_key.private_bytes_raw()).decode(),
            token=TOKEN,
            server_url=self.url,
            server_public_key=base64.b64encode(self.server_key.public_key().public_bytes_raw()).decode(),
            configuration=self.signed_configuration(),
        )

    # --- what came

    @property
    def segments(self) -> list[Received]:
        return [r for r in self.received if isinstance(r.manifest, SegmentManifest)]

    def gaps(self, cause: str | None = None, track: Track | None = None) -> list[GapManifest]:
        gaps = [r.manifest for r in self.received if isinstance(r.manifest, GapManifest)]
        return [
            gap
            for gap in gaps
            if (cause is None or gap.cause == cause) and (track is None or track.value in gap.tracks)
        ]

    def wait_for(self, condition: Any, timeout_s: float = 20.0, what: str = "") -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                seen = [
                    (r.manifest.sequence, r.manifest.kind, getattr(r.manifest, "cause", ""))
                    for r in self.received
                ]
                raise AssertionError(
                    f"not within {timeout_s} s: {what}; received {seen}, refused {self.refused}"
                )
            time.sleep(0.05)

    def files(self) -> Iterator[Path]:
        """The segments as files, in the order of their start."""
        for received in sorted(self.segments, key=lambda r: r.manifest.start_us):
            path = self.directory / f"{received.manifest.sequence:09d}.mp4"
            if not path.exists():
                path.write_bytes(received.body)
            yield path

    def check_chain(self) -> None:
        """No hole, no fork, no wrong link, nothing out of order: what invariant 4 demands."""
        previous: str | None = None
        for expected, received in enumerate(self.received):
            assert received.manifest.sequence == expected, [r.manifest.sequence for r in self.received]
            assert received.manifest.previous == previous
            previous = received.signed.sha256

    def check_covered(self, track: Track = Track.VIDEO) -> None:
        """Segments and gaps abut from the first to the last: what invariant 5 demands."""
        spans = []
        for each in (r.manifest for r in self.received):
            if isinstance(each, GapManifest):
                if track.value in each.tracks:
                    spans.append((each.start_us, each.end_us, each.cause))
            elif track.value in {statement.track for statement in each.tracks}:
                spans.append((each.start_us, each.end_us, "segment"))
        spans.sort()
        joint_us = 0 if track is Track.VIDEO else 100_000
        until_us = spans[0][0]
        for start_us, end_us, _ in spans:
            assert start_us <= until_us + joint_us, [
                ((a - spans[0][0]) / 1e6, (b - spans[0][0]) / 1e6, c) for a, b, c in spans
            ]
            until_us = max(until_us, end_us)

    # --- the server's side

    def accept(self, header: str, body: bytes, *, damaged: bool) -> tuple[int, dict[str, Any]]:
        signed = decode_header(header)
        signed.verify(self.room_key.public_key())
        manifest = signed.manifest
        if isinstance(manifest, SegmentManifest):
            media = body[: manifest.media_bytes]
            right = hashlib.sha256(media).hexdigest() == manifest.media_sha256
            right = right and body[manifest.media_bytes :] == signed.box
            if not right and not damaged:
                self.refused.append(f"digest of {manifest.sequence}")
                return 422, {"type": "https://protokol.example/problems/digest_mismatch", "title": "digest"}
        else:
            assert body == b""
        if self.answers:
            return self.answers.pop(0)
        if any(signed.sha256 == each.signed.sha256 for each in self.received):
            # An agent that was killed before it heard the answer sends once more, and is told the same.
            return 200, {"outcome": "accepted", "reason": ""}
        self.received.append(Received(signed, body, damaged, time.time()))
        return 201, {"outcome": "quarantined" if damaged else "accepted", "reason": ""}


class _Handler(BaseHTTPRequestHandler):
    ingest: IngestDouble
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(30)

    def log_message(self, *_: Any) -> None:  # the tests look at what came, not at a log
        pass

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._turned_away():
            return
        damaged = self.headers.get("Protokol-Damaged") == "true"
        self._answer(*self.ingest.accept(self.headers["Protokol-Manifest"], body, damaged=damaged))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._turned_away():
            return
        self.ingest.heartbeats.append(json.loads(body))
        signed = self.ingest.signed_configuration()
        server_us = time.time_ns() // 1000
        asked = {} if self.ingest.pictures is None else {"pictures": self.ingest.pictures}
        answer = {**signed.model_dump(), "held": self.ingest.held, "server_us": server_us, **asked}
        self._answer(200, answer)

    def _turned_away(self) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.ingest.turned_away += 1
            self._answer(401, {"title": "unknown token"})
            return True
        if self.ingest.away:
            self._answer(503, {"title": "away"})
            return True
        return False

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(content)
