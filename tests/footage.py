"""Small real footage for tests: fragmented MP4 made by PyAV the way the agent makes it, signed
manifests on a true chain, and an archive to put them into.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from uuid6 import uuid7

from archive.database import Database
from archive.enrolment import enroll
from archive.ingest import Ingest
from archive.master_key import make_master_key
from archive.system import Archive
from archive.upload import Answer
from recorder.keyfile import AgentKey
from recorder.manifest import (
    ClockStatement,
    GapManifest,
    SegmentManifest,
    SignedManifest,
    TrackStatement,
    sign,
)
from recorder.settings import Settings

SECOND = 1_000_000
# Rooms of the tests record around the clock, so that a test may run at any hour.
ROOMS = """\
council: {name: {uk: Тестова рада, en: Test council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-sun: ["00:00-24:00"]
rooms:
  - {id: "108", label: "108", floor: 1, cameras: [{name: main, url: "rtsp://127.0.0.1:9/108"}]}
  - {id: 228-a, label: 228-А, floor: 2, cameras: [{name: main, url: "rtsp://127.0.0.1:9/228-a"}]}
"""


@functools.cache
def media(seconds: int = 2) -> bytes:
    """A fragmented MP4: 320x240 H.264 at 25 fps with a keyframe a second, and AAC mono 48 kHz."""
    sink = io.BytesIO()
    options = {
        "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
        "avoid_negative_ts": "disabled",
        "frag_duration": "200000",
        "max_interleave_delta": "500000",
    }
    with av.open(sink, "w", format="mp4", options=options) as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.gop_size, video.max_b_frames = 25, 0
        video.time_base = Fraction(1, 90_000)
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=25:scenecut=0"}
        audio: Any = container.add_stream("aac", rate=48_000)
        audio.layout = "mono"
        rng = np.random.default_rng(1)
        origin = 90_000
        for number in range(25 * seconds):
            plane = np.full((360, 320), 128, np.uint8)
            plane[:240] = rng.integers(60, 90, (240, 320), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts, frame.time_base = origin + number * 3600, Fraction(1, 90_000)
            container.mux(video.encode(frame))
        for number in range(48_000 * seconds // 1024):
            time = (np.arange(1024) + number * 1024) / 48_000
            tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, 48_000 + number * 1024
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return sink.getvalue()


@functools.cache
def tiny_media(seconds: int = 2) -> bytes:
    """A fragmented MP4 of two pictures of 32x32, the second one shown in the last second: the least that the
    archive takes for footage (3 KB).
    """
    sink = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(sink, "w", format="mp4", options=options) as container:
        video: Any = container.add_stream("libx264", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        video.options = {"preset": "ultrafast", "x264-params": "keyint=1"}
        for number in (0, max(1, seconds - 1)):
            frame = av.VideoFrame(32, 32, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return sink.getvalue()


@functools.cache
def _migrated() -> bytes:
    """An SQLite index that has been migrated and is empty: two thirds of a test archive's price."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "migrated.sqlite"
        database = Database(f"sqlite:///{file}")
        database.migrate()
        database.dispose()
        return file.read_bytes()


def make_archive(directory: Path, **settings: Any) -> Archive:
    """A fresh demo archive in a directory, with the rooms of ROOMS in force.

    With `demo=False`, a council's, with a master key in `master.key`.
    """
    (directory / "rooms.yaml").write_text(ROOMS, "utf-8")
    defaults: dict[str, Any] = {"data_dir": directory, "demo": True, "secure_cookies": False}
    if not settings.get("demo", True):
        defaults["master_key_file"] = directory / "master.key"
        make_master_key(defaults["master_key_file"])
    made = Settings(**{**defaults, **settings})
    file = Database(made.database).file
    if file is not None and not file.exists():
        file.write_bytes(_migrated())
    return Archive.open(made, migrate=True)


@dataclass
class FakeAgent:
    """An enrolled agent's side of the chain, without a camera: signs segments and gaps of its own."""

    archive: Archive
    room: str = "108"
    enrolled_us: int = 0
    source: str = "main"
    key: AgentKey = field(init=False)
    sequence: int = 0
    previous: str | None = None
    run: str = field(default_factory=lambda: str(uuid7()))

    def __post_init__(self) -> None:
        self.key = enroll(self.archive, self.room, "cli:0", self.enrolled_us)

    def _link(self, start_us: int, end_us: int) -> dict[str, Any]:
        return {
            "room": self.room,
            "source": self.source,
            "enrolment": self.key.enrolment,
            "sequence": self.sequence,
            "previous": self.previous,
            "start_us": start_us,
            "end_us": end_us,
            "configuration_version": 1,
            "agent_version": "test",
            "segment_id": str(uuid7()),
        }

    def _sign(self, manifest: SegmentManifest | GapManifest) -> SignedManifest:
        signed = sign(manifest, self.key.signing_key())
        self.sequence, self.previous = self.sequence + 1, signed.sha256
        return signed

    def segment(
        self, start_us: int, seconds: int = 2, body: bytes | None = None, **changes: Any
    ) -> tuple[SignedManifest, bytes]:
        """A signed segment of real media (or of `body`) and its file's bytes; the chain goes on by one."""
        body = media(seconds) if body is None else body
        empty = hashlib.sha256(b"").hexdigest()
        tracks = [
            TrackStatement(
                track="video", codec="h264", timescale=90_000, start_ticks=90_000,
                duration_ticks=90_000 * seconds, samples=25 * seconds, codec_sha256=empty,
                width=320, height=240,
            ),
            TrackStatement(
                track="audio", codec="aac", timescale=48_000, start_ticks=48_000,
                duration_ticks=48_000 * seconds, samples=46 * seconds, codec_sha256=empty,
                sample_rate=48_000, channels=1,
            ),
        ]  # fmt: skip
        manifest = SegmentManifest(
            **{
                **self._link(start_us, start_us + seconds * SECOND),
                "run": self.run,
                "tracks": tracks,
                "clock": ClockStatement(source="arrival", uncertainty_us=1000, estimated=False),
                "av_offset_us": 0,
                "microphone": "camera",
                "media_bytes": len(body),
                "media_sha256": hashlib.sha256(body).hexdigest(),
                "recovered": False,
                **changes,
            }
        )
        signed = self._sign(manifest)
        return signed, body + signed.box

    def gap(
        self,
        start_us: int,
        end_us: int,
        cause: str = "camera_unreachable",
        tracks: Sequence[str] = ("video", "audio"),
    ) -> SignedManifest:
        link = self._link(start_us, end_us)
        return self._sign(GapManifest.model_validate({**link, "tracks": list(tracks), "cause": cause}))

    def send(
        self, signed: SignedManifest, body: bytes = b"", now_us: int | None = None, *, damaged: bool = False
    ) -> Answer:
        """Through the real Ingest, in pieces as the network would bring them."""
        ingest, at_us = Ingest(self.archive), now_us or signed.manifest.end_us + SECOND
        manifest = signed.manifest
        begun = ingest.begin(
            self.room, self.key.token, manifest.segment_id, signed.header, at_us, damaged=damaged
        )
        if isinstance(begun, Answer):
            return begun
        for offset in range(0, len(body), 65_536):
            begun.write(body[offset : offset + 65_536])
        return begun.finish(at_us)

    def record(self, start_us: int, seconds: int = 2) -> str:
        """One accepted segment; its id."""
        signed, body = self.segment(start_us, seconds)
        answer = self.send(signed, body)
        assert answer.outcome == "accepted", answer
        return signed.manifest.segment_id


def unsigned(signed: SignedManifest) -> SignedManifest:
    """The same manifest with a signature of nobody."""
    return SignedManifest(signed.manifest, base64.b64decode(base64.b64encode(b"\0" * 64)))
