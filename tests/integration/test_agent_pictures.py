"""What a real agent shows of a simulated room in its heartbeats: pictures, loudness; and when it does not."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import cv2
import numpy as np

from recorder.instants import local_date, now_us
from simulator.control import Simulator
from tests.integration.agent_rig import running_agent
from tests.integration.ingest_double import IngestDouble, configuration
from tests.integration.test_agent_health import HASTY

ROOM = "108"


def shown(ingest: IngestDouble) -> dict[str, Any]:
    return ingest.heartbeats[-1].get("pictures", {}) if ingest.heartbeats else {}


def size(coded_jpeg: str) -> tuple[int, ...]:
    jpeg = np.frombuffer(base64.b64decode(coded_jpeg), np.uint8)
    return cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED).shape


def test_pictures_are_shown_to_who_asks_and_inside_windows_only(tmp_path) -> None:
    with Simulator((ROOM,), size="640x360", bitrate_kbps=600) as camera:
        ingest = IngestDouble(tmp_path, configuration(camera.url(ROOM)))
        spool = tmp_path / "spool"
        with ingest, running_agent(ingest, spool, health=HASTY):

            def levels() -> list[list[float]]:
                health = ingest.heartbeats[-1]["health"] if ingest.heartbeats else {"sources": {}}
                return health["sources"].get("main", {}).get("levels", [])

            ingest.wait_for(lambda: len(levels()) >= 3, 20, "three seconds of sound")
            assert all(-120 <= rms <= peak <= 0 for rms, peak in levels())
            assert max(peak for _, peak in levels()) > -30, "the simulator beeps each second"
            assert not any("pictures" in beat for beat in ingest.heartbeats), (
                "an older server would keep them"
            )
            ingest.pictures = {}
            ingest.wait_for(lambda: "main" in shown(ingest), 10, "a blurred picture")
            assert size(shown(ingest)["main"]["blurred"]) == (14, 24)
            assert "clear" not in shown(ingest)["main"]
            ingest.pictures = {"clear_s": 120}
            ingest.wait_for(lambda: "clear" in shown(ingest).get("main", {}), 10, "a clear picture")
            assert size(shown(ingest)["main"]["clear"]) == (180, 320)
            ingest.pictures = {"clear_s": 0}
            ingest.wait_for(lambda: "clear" not in shown(ingest)["main"], 5, "no clear picture any more")
            today = local_date(now_us(), "Europe/Kyiv")
            closed = {(today + timedelta(days=number)).isoformat(): "closed" for number in (-1, 0, 1)}
            ingest.configuration = ingest.configuration.model_copy(update={"version": 2, "calendar": closed})
            ingest.wait_for(lambda: ingest.heartbeats[-1]["state"] == "closed", 10, "the room is closed")
            assert shown(ingest) == {}
        kept = [path for path in spool.rglob("*") if path.is_file() and b"\xff\xd8\xff" in path.read_bytes()]
        assert kept == [], "no picture is on the disk"
