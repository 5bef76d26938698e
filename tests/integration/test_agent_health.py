"""What is wrong with pictures and sound, as a real agent tells it of simulated cameras."""

from __future__ import annotations

import pytest

from recorder.capture.health import HealthTerms
from recorder.health_rules import Limits
from recorder.instants import US_PER_SECOND
from simulator.control import Simulator
from tests.integration.agent_rig import running_agent
from tests.integration.ingest_double import IngestDouble, configuration

CAMERAS = ("black", "freeze", "cover", "blur")
# As everywhere, but a second for each five: pictures each second, evidence for two or three of them.
HASTY = HealthTerms(
    Limits(
        picture_us=2 * US_PER_SECOND,
        sound_us=3 * US_PER_SECOND,
        hum_us=3 * US_PER_SECOND,
        clear_us=US_PER_SECOND,
        clipping_seconds=3,
        clipping_window_us=5 * US_PER_SECOND,
        detail_pictures=4,
        clock_must_be_kept=False,
        disk_free_bytes=(0, 1),
        hot_c=(1000, 999),
    ),
    every_us=US_PER_SECOND,
)
EXPECTED = {
    ("picture_black", "black"),
    ("picture_frozen", "freeze"),
    ("picture_covered", "cover"),
    ("picture_blurred", "blur"),
    ("sound_silent", "black"),
    ("sound_clipping", "freeze"),
    ("sound_hum", "cover"),
    ("camera_clock_error", "blur"),
}


@pytest.fixture(scope="module")
def cameras():
    with Simulator(CAMERAS, size="640x360", bitrate_kbps=600) as simulator:
        yield simulator


def told(ingest) -> set[tuple[str, str]]:
    """Conditions of the last heartbeat, and where."""
    health = ingest.heartbeats[-1]["health"] if ingest.heartbeats else {"conditions": []}
    return {(each["condition"], each["source"]) for each in health["conditions"]}


def test_what_is_wrong_is_told_and_when_it_is_over(cameras, tmp_path, capfd):
    """Four cameras of one room, each with a fault of its own, all at once."""
    room = [{"name": name, "url": cameras.url(name)} for name in CAMERAS]
    ingest = IngestDouble(tmp_path, configuration("", cameras=room))
    with ingest, running_agent(ingest, tmp_path / "spool", health=HASTY):

        def looked_at(beat) -> bool:
            seen = beat["health"]["sources"]
            return all("picture" in seen.get(name, {}) and "sound" in seen[name] for name in CAMERAS)

        # Long enough to learn how each scene looks.
        ingest.wait_for(lambda: sum(map(looked_at, ingest.heartbeats)) > 15, 40, "pictures looked at")
        assert told(ingest) == set()
        for command in ("black", "silence"):
            cameras.command("black", command)
        for command in ("freeze", "clip"):
            cameras.command("freeze", command)
        for command in ("cover", "hum"):
            cameras.command("cover", command)
        for command in ("blur", "clock -3600"):
            cameras.command("blur", command)
        ingest.wait_for(lambda: told(ingest) >= EXPECTED, 30, f"{EXPECTED}, not only {told(ingest)}")
        assert told(ingest) == EXPECTED
        first = ingest.heartbeats[-1]
        assert first["state"] == "recording"
        assert all(each["since_us"] < first["at_us"] for each in first["health"]["conditions"])
        assert first["health"]["process_rss_bytes"] > 0
        cameras.command("all", "mend")
        ingest.wait_for(lambda: told(ingest) == set(), 30, "all is well again")
    said = "".join(capfd.readouterr())
    for condition, source in EXPECTED:
        for event in ("health raised", "health cleared"):
            lines = [line for line in said.splitlines() if event in line and condition in line]
            assert len(lines) == 1, (event, condition, lines)
            assert source in lines[0]
