"""Thirty people watch at once while seven rooms record: no gap, not a picture dropped."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from recorder.instants import US_PER_SECOND, format_instant, now_us, parse_instant
from tests.demo import Demo
from tests.processes import protokol, protokol_json, wait_for

ROOMS = ("108", "116", "202", "228-a", "230", "330", "512")
VIEWERS, WATCHED_S = 30, 60
# What a player fetches at a time, and how long it plays that: some 4 Mbit/s each.
PART_BYTES, PART_S = 256 * 1024, 0.5
# At 25 pictures a second, which a busy machine may hand over unevenly; a dropped fragment is five.
STEP_S, MOST_S = 0.04, 0.12


def segments(auditor: httpx.Client, room: str, start_us: int, end_us: int) -> list[dict[str, Any]]:
    """What the archive has of that time, with `start_us`, `end_us`."""
    asked = {"room": room, "from": format_instant(start_us), "to": format_instant(end_us)}
    found: list[dict[str, Any]] = auditor.get("/api/v1/segments", params=asked).json()["segments"]
    return [
        {**each, "start_us": parse_instant(each["from"]), "end_us": parse_instant(each["to"])}
        for each in found
    ]


def clip_path(room: str, start_us: int, end_us: int) -> str:
    span = f"from={format_instant(start_us)}&to={format_instant(end_us)}"
    return f"/api/v1/rooms/{room}/clip.mp4?{span}&ground=audit"


class Viewer(threading.Thread):
    """Plays, and seeks now and then, until `until` (monotonic)."""

    def __init__(self, client: httpx.Client, path: str, until: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._client, self._path, self._until, self._places = client, path, until, random.Random(seed)
        self.parts, self.problems = 0, list[str]()

    def run(self) -> None:
        try:
            size = int(self._client.head(self._path).headers["Content-Length"])
            at = 0
            while time.monotonic() < self._until:
                began = time.monotonic()
                if at >= size or self._places.random() < 0.1:
                    at = self._places.randrange(size)
                asked = {"Range": f"bytes={at}-{at + PART_BYTES - 1}"}
                answer = self._client.get(self._path, headers=asked)
                if answer.status_code != 206 or len(answer.content) != min(PART_BYTES, size - at):
                    self.problems.append(f"{answer.status_code}, {len(answer.content)} bytes from {at}")
                at += PART_BYTES
                self.parts += 1
                time.sleep(max(0.0, began + PART_S - time.monotonic()))
        except (httpx.HTTPError, KeyError) as error:
            self.problems.append(repr(error))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_viewers_cost_no_recording(tmp_path: Path) -> None:
    demo = Demo(tmp_path, ",".join(ROOMS))
    try:
        auditor = demo.staff("auditor")
        auditor.timeout = httpx.Timeout(60)
        first_us = now_us() - 300 * US_PER_SECOND

        def recorded() -> dict[str, tuple[int, int]]:
            last = {room: segments(auditor, room, first_us, now_us())[-1:] for room in ROOMS}
            spans = {room: (each["start_us"], each["end_us"]) for room, some in last.items() for each in some}
            return spans if len(spans) == len(ROOMS) else {}

        spans = wait_for(recorded, 240, "each room has a segment")
        start_us = now_us()
        until = time.monotonic() + WATCHED_S
        watched = [ROOMS[number % len(ROOMS)] for number in range(VIEWERS)]
        clients = [
            httpx.Client(base_url=demo.url, cookies=auditor.cookies, timeout=60) for _ in range(VIEWERS)
        ]
        viewers = [
            Viewer(client, clip_path(room, *spans[room]), until, number)
            for number, (client, room) in enumerate(zip(clients, watched, strict=True))
        ]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join()
        for client in clients:
            client.close()
        end_us = now_us()
        assert [problem for viewer in viewers for problem in viewer.problems] == []
        assert min(viewer.parts for viewer in viewers) > 10

        def arrived(room: str) -> bool:
            return any(each["end_us"] > end_us for each in segments(auditor, room, start_us, now_us()))

        for room in ROOMS:
            wait_for(lambda room=room: arrived(room), 180, f"the minute of room {room} is in the archive")
            span = ("--from", format_instant(start_us), "--to", format_instant(end_us))
            assert protokol_json(demo.env, "archive", "search", "--room", room, *span)["gaps"] == []
            found = segments(auditor, room, start_us, end_us)
            assert found[0]["start_us"] <= start_us
            assert len({segment["run"] for segment in found}) == 1, "nothing began anew"
            clip = tmp_path / f"{room}.mp4"
            clip.write_bytes(auditor.get(clip_path(room, start_us, end_us)).content)
            shown = times_of(clip)
            assert len(shown) > (WATCHED_S - 5) / STEP_S
            # One picture fewer would be a step that nobody filled.
            assert abs((shown[-1] - shown[0]) / STEP_S - (len(shown) - 1)) < 0.9
            assert max(after - before for before, after in pairwise(shown)) < MOST_S
        protokol(demo.env, "archive", "check", "--deep")
    finally:
        demo.close()


def times_of(clip: Path) -> list[float]:
    """When its pictures are shown, in seconds, in order."""
    with av.open(str(clip)) as container:
        return sorted(
            float(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.pts is not None
        )
