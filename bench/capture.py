"""CPU of the room agent against `ffmpeg -c copy -f segment` on the same camera at the same time.

The agent hashes, signs, syncs to disk, ships and sends heartbeats; FFmpeg only writes files. Both
read one simulated camera of 1080p25, 4 Mbit/s, AAC, side by side, so that what else the machine
does weighs on both alike.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.instants import now_us
from recorder.keyfile import AgentKey, SignedConfiguration
from recorder.manifest import SegmentManifest, canonical, decode_header, enrolment_of
from recorder.rooms import RoomConfiguration
from simulator.control import Simulator

_WARM_UP_S = 6.0
_MEASURE_S = 60.0
_AWAY_S = 2.0
_ROOM = "108"


class _Sink:
    """A server that takes everything in: what it costs is not the agent's."""

    def __init__(self, camera_url: str) -> None:
        self.server_key = Ed25519PrivateKey.generate()
        self.room_key = Ed25519PrivateKey.generate()
        self.segments: list[SegmentManifest] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                manifest = decode_header(self.headers["Protokol-Manifest"]).manifest
                if isinstance(manifest, SegmentManifest):
                    sink.segments.append(manifest)
                self._answer({"outcome": "accepted", "reason": ""})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer({**sink.configuration.model_dump(), "held": [], "server_us": now_us()})

            def _answer(self, document: dict[str, Any]) -> None:
                content = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.configuration = self._signed(camera_url)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _signed(self, camera_url: str) -> SignedConfiguration:
        configuration = RoomConfiguration.model_validate(
            {
                "version": 1,
                "council_name_uk": "Рада",
                "council_name_en": "Council",
                "timezone": "Europe/Kyiv",
                "retention_months": 1,
                "room": {
                    "id": _ROOM,
                    "label": _ROOM,
                    "floor": 1,
                    "cameras": [{"name": "main", "url": camera_url}],
                },
                "hours": {"mon-sun": ["00:00-24:00"]},
                "calendar": {},
            }
        )
        text = canonical(configuration.model_dump(mode="json")).decode()
        signature = base64.b64encode(self.server_key.sign(text.encode())).decode()
        return SignedConfiguration(configuration=text, signature=signature)

    def agent_key(self) -> AgentKey:
        return AgentKey(
            room=_ROOM,
            enrolment=enrolment_of(self.room_key.public_key()),
            private_key=base64.b64encode(self.room_key.private_bytes_raw()).decode(),
            token="bench-token-0123456789",  # noqa: S106 the sink asks for none
            server_url=self.url,
            server_public_key=base64.b64encode(self.server_key.public_key().public_bytes_raw()).decode(),
            configuration=self.configuration,
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _start_agent(sink: _Sink, directory: Path) -> subprocess.Popen[bytes]:
    key_file = directory / "agent.key"
    sink.agent_key().write(key_file)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")},
        "PROTOKOL_SETTINGS_FILE": os.devnull,
        "PROTOKOL_DATA_DIR": str(directory / "agent"),
        "PROTOKOL_AGENT_KEY_FILE": str(key_file),
    }
    command = [sys.executable, "-m", "protokol", "agent", "run", _ROOM]
    with (directory / "agent.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _start_ffmpeg(camera_url: str, directory: Path) -> subprocess.Popen[bytes]:
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", camera_url]
    command += ["-map", "0", "-c", "copy", "-f", "segment", "-segment_time", "60"]
    command += ["-segment_format", "mp4", "-reset_timestamps", "1", str(directory / "peer%03d.mp4")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _cpu_s(process: psutil.Process) -> float:
    """From the kernel's CPU clock of the process, to the nanosecond: /proc counts in ticks of 10 ms,
    which is five per cent of what is measured here. clock_getcpuclockid(3) builds the same number.
    """
    scheduler_clock = 2
    return time.clock_gettime((~process.pid << 3) | scheduler_clock)


def _health_process(agent: psutil.Process) -> psutil.Process:
    """The agent's child that looks at pictures; it has been asked by the end of the warm-up."""
    return next(child for child in agent.children() if any("health" in word for word in child.cmdline()))


def _reopening_s(simulator: Simulator, sink: _Sink, agent: subprocess.Popen[bytes]) -> float | None:
    """From the camera's return to the first picture recorded of it, as the agent's manifests say."""
    simulator.command(_ROOM, "kill")
    time.sleep(_AWAY_S)
    simulator.command(_ROOM, "start")
    back_us = now_us()
    time.sleep(5)
    agent.terminate()
    agent.wait(10)
    starts = [manifest.start_us for manifest in sink.segments if manifest.start_us > back_us]
    return round((min(starts) - back_us) / 1e6, 2) if starts else None


def run() -> dict[str, Any]:
    """cpu_ratio is agent / FFmpeg; CPU in per cent of one core, memory in MB (2^20). The agent's helper
    process is counted apart.
    """
    camera = Simulator((_ROOM,), audio="aac", size="1920x1080", bitrate_kbps=4000)
    with camera as simulator, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        url = simulator.url(_ROOM)
        sink = _Sink(url)
        agent, peer = _start_agent(sink, directory), _start_ffmpeg(url, directory)
        try:
            watched = psutil.Process(agent.pid), psutil.Process(peer.pid)
            time.sleep(_WARM_UP_S)
            health = _health_process(watched[0])
            health_before_s = _cpu_s(health)
            before = [_cpu_s(process) for process in watched]
            time.sleep(_MEASURE_S)
            agent_s, peer_s = (_cpu_s(p) - b for p, b in zip(watched, before, strict=True))
            health_s = _cpu_s(health) - health_before_s
            health_rss_mb = health.memory_info().rss / 2**20
            rss_mb, peer_rss_mb = (process.memory_info().rss / 2**20 for process in watched)
            peer.terminate()
            peer.wait(10)
            reopen_s = _reopening_s(simulator, sink, agent)
        finally:
            for process in (agent, peer):
                if process.poll() is None:
                    process.kill()
                    process.wait()
            sink.close()
    return {
        "cpu_ratio": round(agent_s / peer_s, 3),
        "agent_cpu_percent": round(100 * agent_s / _MEASURE_S, 2),
        "ffmpeg_cpu_percent": round(100 * peer_s / _MEASURE_S, 2),
        "health_cpu_percent": round(100 * health_s / _MEASURE_S, 2),
        "rss_mb": round(rss_mb, 1),
        "health_rss_mb": round(health_rss_mb, 1),
        "ffmpeg_rss_mb": round(peer_rss_mb, 1),
        "reopen_s": reopen_s,
        "segments": len(sink.segments),
        "measured_s": _MEASURE_S,
    }
