"""What accepting costs: 20 MB segments through the archive, against copying, syncing and hashing the same
files; and how many room agents two cores keep up with over HTTP.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from archive.enrolment import enroll
from archive.ingest import Ingest
from archive.system import Archive
from archive.upload import Answer
from bench.agents import cpu_s
from bench.shipping import Client
from bench.spools import make_media
from bench.warm import WarmServer, environment
from recorder.chain import read_manifest
from recorder.instants import US_PER_SECOND, now_us
from recorder.keyfile import AgentKey
from recorder.logging import configure_logging
from recorder.settings import Settings, load_settings
from simulator.control import free_ports

_ROOMS = ("201", "202", "203", "204")
# 40 s at 4 Mbit/s.
_SEGMENT_S, _SEGMENT_MB = 40, 20.0
_ROUNDS = 15
_SEGMENTS_AN_AGENT = 12
_AGENT_MBIT = 4.0
# As the server reads a body.
_PIECE_BYTES = 1 << 20
_PATIENCE_S = 300.0
_ROOMS_FILE = """\
council: {name: {uk: Рада, en: Council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-sun: ["00:00-24:00"]
rooms:
"""


def _settings(data: Path, port: int) -> tuple[Settings, dict[str, str]]:
    data.mkdir()
    rooms = "".join(
        f'  - {{id: "{room}", label: "{room}", floor: 2, '
        f'cameras: [{{name: main, url: "rtsp://127.0.0.1:9/"}}]}}\n'
        for room in _ROOMS
    )
    (data / "rooms.yaml").write_text(_ROOMS_FILE + rooms, "utf-8")
    told = environment(data, port)
    return load_settings(data_dir=data, demo=True, server_url=told["PROTOKOL_SERVER_URL"]), told


def _client(directory: Path, key: AgentKey, media: bytes) -> Client:
    return Client(
        directory / f"spool-{key.room}",
        key,
        None,
        [media],
        first_us=now_us() - timedelta(hours=12) // timedelta(microseconds=1),
        segment_us=_SEGMENT_S * US_PER_SECOND,
    )


def _accept(ingest: Ingest, key: AgentKey, entry_path: Path, manifest_at: int) -> None:
    signed = read_manifest(entry_path, manifest_at)
    at_us = now_us()
    begun = ingest.begin(key.room, key.token, signed.manifest.segment_id, signed.header, at_us)
    assert not isinstance(begun, Answer)
    with entry_path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            begun.write(piece)
    assert begun.finish(at_us).outcome == "accepted"


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)


def _against_copy(directory: Path, media: bytes) -> dict[str, Any]:
    settings, _ = _settings(directory / "data", 0)
    archive = Archive.open(settings, migrate=True)
    key = enroll(archive, _ROOMS[0], "cli:0", 0)
    client = _client(directory, key, media)
    client.fill(_ROUNDS + 1)
    copies = directory / "copies"
    copies.mkdir()
    ingest, ours_s, copy_s, size_bytes = Ingest(archive), [], [], 0
    for place, entry in enumerate(client.entries()):
        size_bytes = entry.path.stat().st_size
        # In turn the first: whoever is second finds the file in the page cache, and the disk busier.
        for copies_now in (place % 2 == 0, place % 2 == 1):
            began = time.perf_counter()
            if copies_now:
                _copy(entry.path, copies / entry.path.name)
                copy_s.append(time.perf_counter() - began)
            else:
                _accept(ingest, key, entry.path, entry.manifest_at)
                ours_s.append(time.perf_counter() - began)
    archive.close()
    # The first of each pays for what is set up once.
    ours, copy = statistics.median(ours_s[1:]), statistics.median(copy_s[1:])
    return {
        "ratio_vs_copy": round(copy / ours, 2),
        "accept_mb_s": round(size_bytes / 1e6 / ours),
        "copy_mb_s": round(size_bytes / 1e6 / copy),
        "segments": _ROUNDS,
        "segment_mb": round(size_bytes / 1e6, 1),
    }


def _over_http(directory: Path, media: bytes) -> dict[str, Any]:
    [port] = free_ports(1)
    settings, told = _settings(directory / "data", port)
    archive = Archive.open(settings, migrate=True)
    clients = [_client(directory, enroll(archive, room, "cli:0", 0), media) for room in _ROOMS]
    archive.close()
    for client in clients:
        client.fill(_SEGMENTS_AN_AGENT)
    total_bytes = sum(entry.path.stat().st_size for client in clients for entry in client.entries())
    server = WarmServer(told, directory / "server.log")
    try:
        server.wait_until_ready()
        process = psutil.Process(server.pid)
        cpu_before, began = cpu_s(process), time.perf_counter()
        for client in clients:
            client.shipper.start()
        until = time.monotonic() + _PATIENCE_S
        while any(client.waiting for client in clients):
            if time.monotonic() > until:
                raise RuntimeError(f"the spools are not emptied: {server.said()}")
            time.sleep(0.01)
        took_s, used_s = time.perf_counter() - began, cpu_s(process) - cpu_before
        for client in clients:
            client.stop()
    finally:
        server.close()
    agent_bytes_s = _AGENT_MBIT * 1e6 / 8
    return {
        # Of the whole way, with the senders on the same two cores.
        "agents_at_4mbit": int(total_bytes / took_s / agent_bytes_s),
        "http_mb_s": round(total_bytes / 1e6 / took_s),
        "server_cpu_ms_per_mb": round(used_s * 1000 / (total_bytes / 1e6), 2),
        "cores": os.cpu_count(),
    }


def run() -> dict[str, Any]:
    # Shippers tell of each segment.
    configure_logging(level=logging.WARNING)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        media = make_media(Path(name) / "media.mp4", _SEGMENT_S, _SEGMENT_MB * 1e6 / 2**20)
        for part in (_against_copy, _over_http):
            directory = Path(name) / part.__name__
            directory.mkdir()
            results |= part(directory, media)
    return results
