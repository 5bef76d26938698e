"""What a measured agent talks to: a council server that takes everything in, checks it and keeps it.

What it costs is not the agent's. It speaks the ingest protocol for any number of rooms and can be away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.instants import now_us
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

_TOKEN = "bench-token-0123456789"  # noqa: S105 nobody asks for it
# Neighbouring records meet within a frame of sound.
_JOINT_US = {Track.VIDEO: 0, Track.AUDIO: 100_000}


def room_configuration(room: str, cameras: list[dict[str, Any]], **fields: Any) -> RoomConfiguration:
    """Recorded around the clock. `cameras`: as in rooms.yaml; `fields`: more of the room's."""
    return RoomConfiguration.model_validate(
        {
            "version": 1,
            "council_name_uk": "Рада",
            "council_name_en": "Council",
            "timezone": "Europe/Kyiv",
            "retention_months": 1,
            "room": {"id": room, "label": room, "floor": 1, "cameras": cameras, **fields},
            "hours": {"mon-sun": ["00:00-24:00"]},
            "calendar": {},
        }
    )


def camera_room(room: str, camera_url: str) -> RoomConfiguration:
    return room_configuration(room, [{"name": "main", "url": camera_url}])


@dataclass
class Room:
    """What came from one room, in the order of arrival; `files` hold the segments' bytes, if kept."""

    configuration: RoomConfiguration
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    manifests: list[SignedManifest] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)
    arrived_us: dict[str, int] = field(default_factory=dict)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def segments(self) -> list[SegmentManifest]:
        return [each.manifest for each in self.manifests if isinstance(each.manifest, SegmentManifest)]

    @property
    def gaps(self) -> list[GapManifest]:
        return [each.manifest for each in self.manifests if isinstance(each.manifest, GapManifest)]

    def flaws(self) -> list[str]:
        """What breaks the account: a chain that is not one, instants that nothing explains."""
        return [*self.wrong, *self._flaws_of_chains(), *(f for track in Track for f in self._holes(track))]

    def _flaws_of_chains(self) -> list[str]:
        flaws = []
        for source in {each.manifest.source for each in self.manifests}:
            chain = [each for each in self.manifests if each.manifest.source == source]
            previous: str | None = None
            for place, each in enumerate(sorted(chain, key=lambda signed: signed.manifest.sequence)):
                if each.manifest.sequence != place or each.manifest.previous != previous:
                    flaws.append(f"{source}: link {each.manifest.sequence} at place {place}")
                previous = each.sha256
        return flaws

    def _holes(self, track: Track) -> list[str]:
        spans = sorted(
            (each.manifest.start_us, each.manifest.end_us)
            for each in self.manifests
            if track.value in _tracks_of(each.manifest)
        )
        holes, until_us = [], spans[0][0] if spans else 0
        for start_us, end_us in spans:
            if start_us > until_us + _JOINT_US[track]:
                holes.append(f"{track}: nothing explains {until_us} to {start_us}")
            until_us = max(until_us, end_us)
        return holes


def _tracks_of(manifest: SegmentManifest | GapManifest) -> list[str]:
    if isinstance(manifest, GapManifest):
        return list(manifest.tracks)
    return [statement.track for statement in manifest.tracks]


class Council:
    """A context manager. `keep`: where segments' bytes are kept; None: they are not."""

    def __init__(self, rooms: list[RoomConfiguration], keep: Path | None = None) -> None:
        self.rooms = {each.room.id: Room(each) for each in rooms}
        self.away = False
        self._keep = keep
        self._server_key = Ed25519PrivateKey.generate()
        council = self

        class Handler(_Handler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(council.take(self.path, self.headers["Protokol-Manifest"], body))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(council.hear(self.path, body))

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def key_file(self, room: str, path: Path) -> Path:
        """The enrolment of a room's agent, written to `path`."""
        key, configuration = self.rooms[room].key, self._signed(room)
        AgentKey(
            room=room,
            enrolment=enrolment_of(key.public_key()),
            private_key=base64.b64encode(key.private_bytes_raw()).decode(),
            token=_TOKEN,
            server_url=self.url,
            server_public_key=base64.b64encode(self._server_key.public_key().public_bytes_raw()).decode(),
            configuration=configuration,
        ).write(path)
        return path

    def _signed(self, room: str) -> SignedConfiguration:
        text = canonical(self.rooms[room].configuration.model_dump(mode="json")).decode()
        signature = base64.b64encode(self._server_key.sign(text.encode())).decode()
        return SignedConfiguration(configuration=text, signature=signature)

    def take(self, path: str, header: str, body: bytes) -> dict[str, Any] | None:
        """A segment or a gap record; None while away."""
        if self.away:
            return None
        signed = decode_header(header)
        manifest = signed.manifest
        room = self.rooms[path.split("/")[4]]
        if isinstance(manifest, SegmentManifest):
            digest = hashlib.sha256(body[: manifest.media_bytes]).hexdigest()
            if digest != manifest.media_sha256 or body[manifest.media_bytes :] != signed.box:
                room.wrong.append(f"segment {manifest.sequence} is not what its manifest says")
            if self._keep:
                room.files[manifest.segment_id] = self._keep / f"{manifest.segment_id}.mp4"
                room.files[manifest.segment_id].write_bytes(body)
        if signed.sha256 not in room.digests:
            # An agent that was killed before it heard the answer sends once more.
            room.digests.add(signed.sha256)
            room.arrived_us[manifest.segment_id] = now_us()
            room.manifests.append(signed)
        return {"outcome": "accepted", "reason": ""}

    def hear(self, path: str, body: bytes) -> dict[str, Any] | None:
        if self.away:
            return None
        name = path.split("/")[4]
        self.rooms[name].heartbeats.append(json.loads(body))
        return {
            **self._signed(name).model_dump(),
            "held": [],
            "pictures": {"clear_s": 0},
            "server_us": now_us(),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """An agent that was killed in mid-request is what is being measured."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self, document: dict[str, Any] | None) -> None:
        content = json.dumps(document or {"title": "away"}).encode()
        self.send_response(503 if document is None else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""
