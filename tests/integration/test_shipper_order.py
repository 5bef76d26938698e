"""What a shipper sends first after hours without the server: the present, and then the past in its order."""

from __future__ import annotations

import pytest

from bench.spools import Filler
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.shipper import Shipper
from recorder.spool import Spool
from recorder.uplink import Uplink
from tests.agent_media import fragmented_mp4
from tests.integration.ingest_double import IngestDouble, configuration

ROOM = configuration("rtsp://127.0.0.1:9/108", version=1)


@pytest.fixture
def ingest(tmp_path):
    with IngestDouble(tmp_path, ROOM) as double:
        yield double


class Host:
    """A room host without cameras: its spool, its chains, its shipper."""

    def __init__(self, ingest, directory):
        key = ingest.agent_key()
        self.spool = Spool(directory, key, limit_bytes=10**9)
        self.shipper = Shipper(
            self.spool, Uplink(ingest.url, key.token), "108", configuration=lambda: ROOM, held=lambda: ()
        )
        self.fillers = {}

    def record(self, source, minutes_ago):
        filler = self.fillers.setdefault(source, Filler(self.spool.chain(source), fragmented_mp4(), 1))
        end_us = now_us() - minutes_ago * US_PER_MINUTE
        return filler.add(end_us - US_PER_SECOND, end_us)


@pytest.fixture
def host(ingest, tmp_path):
    made = Host(ingest, tmp_path / "spool")
    yield made
    made.shipper.stop()
    if made.shipper.is_alive():
        made.shipper.join(10)


def sequences(ingest, source="main"):
    return [r.manifest.sequence for r in ingest.segments if r.manifest.source == source]


def test_the_present_goes_first_and_the_past_in_its_order(ingest, host):
    for minutes_ago in (480, 479, 478, 477, 2, 1, 0):
        host.record("main", minutes_ago)
    host.shipper.start()
    ingest.wait_for(lambda: len(ingest.segments) == 7, what="all of the spool")
    assert sequences(ingest) == [4, 5, 6, 0, 1, 2, 3]


def test_what_is_recorded_meanwhile_waits_for_one_upload_at_most(ingest, host):
    for minutes_ago in range(300, 260, -1):
        host.record("main", minutes_ago)
    host.record("second", 250)
    live, seen = [], []
    accept = ingest.accept

    def recording_meanwhile(header, body, *, damaged):
        # While an upload is under way the camera goes on.
        if len(live) < 3 and len(seen) % 5 == 2:
            live.append(host.record("main", 0))
            seen.append("made")
        answer = accept(header, body, damaged=damaged)
        seen.append((ingest.received[-1].manifest.source, ingest.received[-1].manifest.sequence))
        return answer

    ingest.accept = recording_meanwhile
    host.shipper.start()
    ingest.wait_for(lambda: len(ingest.segments) == 44, what="all of the spool")
    for made in (place for place, each in enumerate(seen) if each == "made"):
        under_way, following = seen[made + 1], seen[made + 2]
        assert under_way[1] < 40 or under_way[0] == "second"
        assert following[1] >= 40, seen
    past = [sequence for sequence in sequences(ingest) if sequence < 40]
    assert past == list(range(40))
    assert sequences(ingest, "second") == [0]


def test_a_chain_in_order_from_the_start_is_shipped_in_order(ingest, host):
    for _ in range(5):
        host.record("main", 0)
    host.shipper.start()
    ingest.wait_for(lambda: len(ingest.segments) == 5, what="all of the spool")
    ingest.check_chain()


def test_a_chain_that_waits_does_not_stop_another(ingest, host):
    ingest.answers = [(507, {"title": "full"})]
    host.record("main", 100)
    host.record("second", 100)
    host.shipper.start()
    ingest.wait_for(lambda: len(ingest.segments) == 2, what="both")
    assert {r.manifest.source for r in ingest.segments} == {"main", "second"}
