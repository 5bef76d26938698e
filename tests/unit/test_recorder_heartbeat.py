from __future__ import annotations

import json

import pytest

from recorder.heartbeat import PICTURES_US, Watch, report, watch_of
from recorder.host_clock import ClockTrust, clock_trust
from recorder.host_watch import HostWatch
from recorder.source_status import SourceStatus
from recorder.spool import Spool
from tests.integration.ingest_double import IngestDouble, configuration

HEALTH = {"conditions": []}


@pytest.fixture
def spool(tmp_path):
    double = IngestDouble(tmp_path, configuration("rtsp://127.0.0.1/x"), port=1)
    return Spool(tmp_path / "spool", double.agent_key(), limit_bytes=10**6)


def test_the_room_is_as_its_worst_source_is(spool):
    fine = SourceStatus("recording", since_us=5, last_packet_us=9, fps=25.0, audio_peak_dbfs=-20.0)
    broken = SourceStatus("fault", "camera_stalled", "no picture", since_us=7)
    document = report({"main": fine, "door": broken}, spool, ClockTrust(1000, estimated=False), 3, 10, HEALTH)
    assert (document["state"], document["cause"], document["since_us"]) == ("fault", "camera_stalled", 7)
    assert document["sources"]["main"]["audio_peak_dbfs"] == -20.0
    assert document["configuration_version"] == 3
    assert document["spool"] == {"segments": 0, "bytes": 0, "oldest_us": None}
    assert document["health"] == HEALTH
    json.dumps(document)
    assert (
        report({"main": fine}, spool, ClockTrust(1000, estimated=False), 3, 10, HEALTH)["state"]
        == "recording"
    )


def test_the_hosts_clock_is_asked_and_steps_are_seen():
    trust = clock_trust()
    assert trust.uncertainty_us >= 1000
    assert trust.uncertainty_us == 1_000_000 or not trust.estimated
    watch = HostWatch(lambda: ClockTrust(2000, estimated=False))
    assert watch.trust == ClockTrust(2000, estimated=False)
    offset_us = watch.wall_offset_us()
    assert not watch.stepped_since(offset_us)
    assert not watch.stepped_since(offset_us + 40_000)
    assert watch.stepped_since(offset_us + 60_000)
    assert watch.stepped_since(offset_us - 60_000)


@pytest.mark.parametrize(
    ("asked", "clear_us"),
    [({}, 0), ({"clear_s": 30}, 30_000_000), ({"clear_s": 10**9}, 120_000_000), ({"clear_s": -1}, 0)]
    + [({"clear_s": wrong}, 0) for wrong in (True, "30", None, 1.5, [])],
)
def test_the_server_asks_for_pictures_within_bounds(asked, clear_us):
    assert watch_of({"pictures": asked}) == Watch(PICTURES_US, clear_us)


@pytest.mark.parametrize("answer", [{}, {"pictures": None}, {"pictures": True}, {"pictures": [120]}])
def test_who_does_not_ask_in_so_many_words_is_shown_nothing(answer):
    assert watch_of(answer) == Watch()
