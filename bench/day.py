"""How soon a day of nine hours can be watched: its playlist from a server that has not seen the day before
and from one that has, and the first picture of it, and after a seek, in headless Chromium by hls.js.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import logging
import re
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright
from uuid6 import uuid7

from archive import room_days
from archive.models import SampleIndex, Segment
from archive.mp4.index import SegmentIndex
from archive.mp4.reader import read_index
from archive.mp4.stored import encode
from archive.system import Archive
from bench.spools import make_media
from bench.warm import WarmServer, environment
from recorder.instants import US_PER_MINUTE, local_date, local_midnight_us, now_us
from recorder.logging import configure_logging
from recorder.settings import load_settings
from retrieval_api import accounts
from simulator.control import free_ports

_ROOM, _ZONE, _PASSWORD = "108", "Europe/Kyiv", "correct horse battery"
_MINUTES = 540
# Media are written where the bench looks; their indexes are there for every minute.
_STORED = (0, 1, 90, 91, 270, 271, 480, 481)
_SIZE_MB = 8.0
_WARM_ROUNDS = 10
_CHROMIUM, _FLAGS = "/usr/bin/chromium", ["--headless", "--no-sandbox", "--disable-gpu"]
# From the click until there is a picture; the seek's goal is a fraction of the day.
_OPEN = """async (url) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const begun = performance.now();
  const hls = new Hls({ enableWorker: false });
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  hls.loadSource(url);
  hls.attachMedia(video);
  await shown;
  Object.assign(window, { video, hls });
  return performance.now() - begun;
}"""
_SEEK = """async (to) => {
  const begun = performance.now();
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  video.currentTime = to;
  await shown;
  return performance.now() - begun;
}"""


def run() -> dict[str, Any]:
    """`ready_ms` has the bar of 1000; `playlist_cold_ms` is in it, `playlist_ms` is of a day seen before."""
    configure_logging(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        [port] = free_ports(1)
        data = directory / "data"
        data.mkdir()
        told = environment(data, port)
        day = local_date(now_us(), _ZONE) - timedelta(days=1)
        _fill(data, make_media(directory / "media.mp4", 60, _SIZE_MB), day)
        url = f"/api/v1/rooms/{_ROOM}/day.m3u8?date={day.isoformat()}&ground=fault_check"
        results: dict[str, Any] = {"minutes": _MINUTES}
        for measure in (_playlist, _browser):
            # A server that has not seen the day.
            server = WarmServer(told, directory / "server.log")
            try:
                server.wait_until_ready()
                results |= measure(told["PROTOKOL_SERVER_URL"], url)
            finally:
                server.close()
        return results


def _fill(data: Path, media: bytes, day: date) -> None:
    archive = Archive.open(load_settings(data_dir=data, demo=True), migrate=True)
    accounts.add(archive, "admin", "admin", _PASSWORD, "cli:0", now_us())
    index = read_index(lambda at, length: media[at : at + length], len(media))
    first_us, run, digest = local_midnight_us(day, _ZONE) + 8 * 60 * US_PER_MINUTE, str(uuid7()), "0" * 64
    with archive.database.transaction() as session:
        fresh = room_days.peek(session, archive.configurations, _ROOM, day.isoformat())
        session.merge(fresh)
        for minute in range(_MINUTES):
            segment_id, start_us = str(uuid7()), first_us + minute * US_PER_MINUTE
            object_name = f"{_ROOM}/{day.isoformat()}/{segment_id}-{hashlib.md5(segment_id.encode()).hexdigest()[:16]}.mp4"  # noqa: S324, E501
            writer = archive.store.writer(object_name)
            sealed = writer.seal_index(encode(_later(index, minute)))
            if minute in _STORED:
                writer.write(media)
                writer.commit()
            else:
                writer.abort()
            session.add(
                Segment(
                    id=segment_id, room=_ROOM, date=day.isoformat(), source="main", run=run,
                    start_us=start_us, end_us=start_us + US_PER_MINUTE, object_name=object_name,
                    size_bytes=len(media), file_sha256=digest, manifest_sha256=digest,
                    clock_estimated=False, overlaps=False, accepted_us=start_us + 2 * US_PER_MINUTE,
                )
            )  # fmt: skip
            session.add(SampleIndex(segment_id=segment_id, encoded=sealed))
    archive.close()


def _later(index: SegmentIndex, minutes: int) -> SegmentIndex:
    """The same minute as the run would have it later."""
    tracks = tuple(
        dataclasses.replace(track, dts=track.dts + minutes * 60 * track.timescale) for track in index.tracks
    )
    return dataclasses.replace(index, tracks=tracks)


def _playlist(server: str, url: str) -> dict[str, Any]:
    with httpx.Client(base_url=server, timeout=60) as client:
        page = client.get("/staff/login").text
        csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        client.post("/staff/login", data={"csrf": csrf, "name": "admin", "password": _PASSWORD})
        times = []
        for _ in range(_WARM_ROUNDS + 1):
            began = time.perf_counter()
            answer = client.get(url)
            times.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
        return {
            "playlist_cold_ms": round(times[0]),
            "playlist_ms": round(statistics.median(times[1:])),
            "playlist_kb": round(len(answer.content) / 1000),
            "playlist_gzip_kb": round(len(gzip.compress(answer.content, 6)) / 1000),
        }


def _browser(server: str, url: str) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        page = browser.new_page(base_url=server)
        page.goto("/staff/login")
        page.fill("#name", "admin")
        page.fill("#password", _PASSWORD)
        page.click("main button[type=submit]")
        page.wait_for_url("**/staff/board")
        page.goto("/staff/ground")
        page.add_script_tag(url="/static/vendor/hls.min.js")
        ready_ms = page.evaluate(_OPEN, url)
        goals = (270 * 60 + 17.3, 90 * 60 + 41.1, 480 * 60 + 5.5)
        seeks = [page.evaluate(_SEEK, goal) for goal in goals]
        browser.close()
    return {"ready_ms": round(ready_ms), "seek_ms": round(statistics.median(seeks))}
