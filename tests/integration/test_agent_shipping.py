"""The server away, altered bytes, a damaged disk, a full one: nothing acknowledged wrongly, nothing lost."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from structlog.testing import capture_logs

from recorder.manifest import Track
from simulator.control import Simulator
from tests.integration.agent_rig import assert_contiguous, decode, running_agent
from tests.integration.ingest_double import IngestDouble, configuration


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


@pytest.fixture
def ingest(camera, tmp_path):
    with IngestDouble(tmp_path, configuration(camera.url("108"))) as double:
        yield double


def spooled(spool):
    return sorted(spool.rglob("*.mp4"))


def test_a_server_that_is_away_gets_everything_later_in_order(ingest, tmp_path):
    spool = tmp_path / "spool"
    with running_agent(ingest, spool):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        ingest.away = True
        ingest.wait_for(lambda: len(spooled(spool)) >= 2, what="segments in the spool")
        beats = len(ingest.heartbeats)
        ingest.close()  # not even the port answers
        time.sleep(1.5)
        assert len(spooled(spool)) >= 2
        ingest.away = False
        ingest.start()
        ingest.wait_for(lambda: not spooled(spool), timeout_s=40, what="an empty spool")
        ingest.wait_for(lambda: len(ingest.heartbeats) > beats, what="a heartbeat")
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    assert_contiguous([number for path in ingest.files() for number in decode(path).numbers])
    assert spooled(spool) == []


def test_what_the_server_does_not_answer_terminally_is_sent_again(ingest, tmp_path):
    mismatch = {"type": "https://protokol.example/problems/digest_mismatch", "title": "altered on the way"}
    ingest.answers = [(422, mismatch), (507, {"title": "full"}), (200, {"outcome": "maybe"}), (500, {})]
    with running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, timeout_s=30, what="footage after four refusals")
    ingest.check_chain()
    assert not any(received.damaged for received in ingest.received)


def test_a_segment_damaged_on_the_hosts_disk_is_sent_as_damaged(ingest, tmp_path):
    spool = tmp_path / "spool"
    with running_agent(ingest, spool):
        ingest.away = True
        ingest.wait_for(lambda: spooled(spool), what="a segment in the spool")
        with spooled(spool)[0].open("r+b") as file:
            file.seek(5000)
            file.write(b"\xff\x00" * 50)
        ingest.away = False
        ingest.wait_for(lambda: ingest.segments, timeout_s=30, what="the damaged segment")
    assert ingest.segments[0].damaged
    assert not any(received.damaged for received in ingest.segments[1:])
    ingest.check_chain()


def test_a_refused_token_is_not_hammered(ingest, tmp_path):
    key = ingest.agent_key().model_copy(update={"token": "another-token-012345"})
    ingest.agent_key = lambda: key
    with capture_logs() as said, running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: spooled(tmp_path / "spool"), what="footage in the spool")
    assert ingest.received == []
    assert "enroll the room again" in str(said)
    assert ingest.turned_away < 10


@pytest.mark.root
def test_a_full_disk_stops_recording_with_a_gap_and_goes_on_when_there_is_room(ingest, tiny_disk):
    ingest.away = True
    spool = tiny_disk / "spool"
    (tiny_disk / "of somebody else").write_bytes(bytes(1_300_000))
    with running_agent(ingest, spool):
        ingest.wait_for(
            lambda: ingest_state(ingest) == ("fault", "spool_full") or disk_free(tiny_disk) < 200_000,
            timeout_s=40,
            what="a full disk",
        )
        time.sleep(1.5)
        assert spooled(spool), "what was recorded before is kept"
        ingest.away = False
        ingest.wait_for(lambda: ingest.gaps("spool_full"), timeout_s=40, what="the gap's record")
        last_us = ingest.gaps("spool_full")[-1].end_us
        ingest.wait_for(
            lambda: any(r.manifest.start_us >= last_us - 1000 for r in ingest.segments),
            timeout_s=20,
            what="footage after the disk was full",
        )
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    for path in ingest.files():
        decode(path)


def ingest_state(ingest):
    beat = ingest.heartbeats[-1] if ingest.heartbeats else {}
    return beat.get("state"), beat.get("cause")


def disk_free(path):
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def test_a_spool_at_its_limit_stops_new_recording_and_keeps_the_old(ingest, tmp_path):
    ingest.away = True
    spool = tmp_path / "spool"
    with running_agent(ingest, spool, limit_bytes=1_000_000):
        ingest.wait_for(lambda: len(spooled(spool)) >= 3, timeout_s=30, what="a spool at its limit")
        time.sleep(1.5)
        kept = sum(path.stat().st_size for path in spooled(spool))
        assert kept < 2_500_000
        ingest.away = False
        ingest.wait_for(lambda: ingest.gaps("spool_full"), timeout_s=40, what="the gap's record")
        until_us = ingest.gaps("spool_full")[-1].end_us
        ingest.wait_for(
            lambda: any(r.manifest.end_us > until_us + 1_000_000 for r in ingest.segments), what="footage"
        )
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)


def test_a_new_configuration_begins_a_run_and_loses_no_picture(ingest, tmp_path):
    with running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        url = ingest.configuration.room.cameras[0].url
        ingest.configuration = configuration(url, version=2)
        ingest.wait_for(
            lambda: any(r.manifest.configuration_version == 2 for r in ingest.segments), what="version 2"
        )
    assert_contiguous([number for path in ingest.files() for number in decode(path).numbers])
    ordered = sorted((r.manifest for r in ingest.segments), key=lambda m: m.start_us)
    versions = [m.configuration_version for m in ordered]
    assert versions == sorted(versions)
    assert len({m.run for m in ordered if m.configuration_version == 1}) >= 1
    assert not {m.run for m in ordered if m.configuration_version == 1} & {
        m.run for m in ordered if m.configuration_version == 2
    }
    ingest.check_covered(Track.VIDEO)


def test_another_camera_in_the_configuration_is_opened_in_the_place_of_the_old_one(ingest, tmp_path):
    with Simulator(("108",), size="640x360") as other, running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, what="footage of the first camera")
        ingest.configuration = configuration(other.url("108"), version=2)
        ingest.wait_for(
            lambda: any(r.manifest.tracks[0].width == 640 for r in ingest.segments),
            what="footage of the second camera",
        )
    assert {gap.cause for gap in ingest.gaps()} <= {"opening", "restart", "maintenance"}
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)


def test_a_forged_configuration_changes_nothing(ingest, tmp_path):
    spool = tmp_path / "spool"
    with capture_logs() as said, running_agent(ingest, spool):
        ingest.wait_for(lambda: ingest.heartbeats, what="a heartbeat")
        forged = configuration("rtsp://127.0.0.1:9/evil", version=9)
        ingest.configuration = forged
        honest, ingest.server_key = ingest.server_key, ingest.room_key  # signs with another key
        beats = len(ingest.heartbeats)
        ingest.wait_for(lambda: len(ingest.heartbeats) > beats, what="another heartbeat")
        ingest.server_key = honest
        time.sleep(0.3)
    assert all(r.manifest.configuration_version == 1 for r in ingest.received)
    assert "not signed by the server" in str(said)
    shutil.rmtree(spool)
