"""Windows at their real edges: a camera, the agent, and a time zone in which the edge is seconds away."""

from __future__ import annotations

import itertools
import struct
import time
import zoneinfo
from datetime import timedelta

import pytest

from recorder.host_clock import clock_trust
from recorder.instants import local_date, local_midnight_us, now_us
from recorder.intervals import Interval, intersect, subtract
from recorder.manifest import GapManifest, Track
from recorder.working_hours import windows_between
from simulator.control import Simulator
from simulator.picture import capture_time_us
from tests.integration.agent_rig import LOOP_FRAMES, assert_contiguous, decode, running_agent
from tests.integration.ingest_double import IngestDouble, configuration

S = 1_000_000
# The simulated camera sends a keyframe a second; the rest is its way and a busy machine's.
GOP_US = 1_000_000
WAY_US = 300_000


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


@pytest.fixture
def zone_at(tmp_path):
    """A zone of this test's own in which the wall shows a reading at a given instant."""
    before = zoneinfo.TZPATH
    numbers = itertools.count()

    def make(reading, at_us):
        hour, minute = map(int, reading.split(":"))
        offset = (hour * 3600 + minute * 60 - at_us // S + 43_200) % 86_400 - 43_200
        # TZif, version 1: one type of local time, no transition (RFC 8536).
        name = f"Test/{tmp_path.name}-{next(numbers)}"
        path = tmp_path / "zones" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4)
        path.write_bytes(header + struct.pack(">iBB", offset, 0, 0) + b"TST\0")
        zoneinfo.reset_tzpath([str(tmp_path / "zones"), *before])
        return name

    yield make
    zoneinfo.reset_tzpath(before)


def edge_in(seconds):
    """A whole second, so that a zone's offset can put a whole minute there."""
    return (now_us() // S + seconds) * S


def room(camera, zone, version, *windows):
    found = configuration(camera.url("108"), version=version)
    return found.model_copy(update={"timezone": zone, "hours": {"mon-sun": windows}})


def wait_until(instant_us):
    time.sleep(max(0.0, (instant_us - now_us()) / S))


def check_account(ingest, windows):
    """On each track, from the first record to the last, recorded time is footage and gaps, exactly."""
    ingest.check_chain()
    manifests = [received.manifest for received in ingest.received]
    known = Interval(min(m.start_us for m in manifests), max(m.end_us for m in manifests))
    for track in Track:
        spans = [m.interval for m in manifests if not isinstance(m, GapManifest) or track.value in m.tracks]
        missing = subtract(intersect(windows, [known]), spans)
        assert missing == (), track
        assert subtract(spans, windows) == ()


def frames(ingest):
    """Bar codes in the order of the segments, and when each picture was taken."""
    ordered = sorted(ingest.segments, key=lambda received: received.manifest.start_us)
    numbers = [
        (r.manifest.start_us, n)
        for r, path in zip(ordered, ingest.files(), strict=True)
        for n in decode(path).numbers
    ]
    return [n for _, n in numbers], [capture_time_us(n, near, LOOP_FRAMES // 25, 25) for near, n in numbers]


def test_the_first_picture_comes_within_a_gop_of_the_opening_and_nothing_before(camera, tmp_path, zone_at):
    opening = edge_in(8)
    hours = room(camera, zone_at("09:00", opening), 1, "09:00-12:00")
    with IngestDouble(tmp_path, hours) as ingest, running_agent(ingest, tmp_path / "spool") as agent:
        wait_until(opening - S)
        # Connected and watching, with nothing on the disk.
        assert agent._sources["main"].status.last_packet_us is not None
        assert agent._sources["main"].status.state == "closed"
        assert not list((tmp_path / "spool").rglob("*.part"))
        ingest.wait_for(lambda: ingest.segments, what="footage")
        windows = windows_between(hours, Interval(opening - 3600 * S, opening + 3600 * S))
    assert ingest.received[0].manifest.start_us == opening
    trust_us = clock_trust().uncertainty_us
    first = min(r.manifest.start_us for r in ingest.segments)
    assert opening + trust_us <= first < opening + trust_us + GOP_US + WAY_US
    assert min(frames(ingest)[1]) >= opening
    assert {gap.cause for gap in ingest.gaps()} <= {"clock_unknown", "opening", "maintenance"}
    check_account(ingest, windows)


def test_nothing_is_kept_after_the_closing(camera, tmp_path, zone_at):
    closing = edge_in(8)
    hours = room(camera, zone_at("10:00", closing), 1, "09:00-10:00", "10:01-12:00")
    with IngestDouble(tmp_path, hours) as ingest, running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        wait_until(closing)
        ingest.wait_for(
            lambda: ingest.received[-1].manifest.end_us == closing, what="the account up to the closing"
        )
        ingest.wait_for(lambda: ingest.heartbeats[-1]["state"] == "closed", what="a room that is closed")
        windows = windows_between(hours, Interval(closing - 3600 * S, closing))
    trust_us = clock_trust().uncertainty_us
    last = max(r.manifest.end_us for r in ingest.segments)
    assert closing - trust_us - 2 * WAY_US < last <= closing - trust_us
    assert max(frames(ingest)[1]) < closing
    check_account(ingest, windows)


def test_an_extension_before_the_closing_costs_no_picture_and_a_shortening_ends_at_once(
    camera, tmp_path, zone_at
):
    closing = edge_in(11)
    zone = zone_at("10:00", closing)
    with (
        IngestDouble(tmp_path, room(camera, zone, 1, "09:00-10:00")) as ingest,
        running_agent(ingest, tmp_path / "spool"),
    ):
        ingest.wait_for(lambda: ingest.segments, what="footage")
        wait_until(closing - 5 * S)
        ingest.configuration = room(camera, zone, 2, "09:00-10:30")
        ingest.wait_for(
            lambda: any(r.manifest.end_us > closing + S for r in ingest.segments), what="footage after it"
        )
        assert_contiguous(frames(ingest)[0])
        shortened = now_us()
        ingest.configuration = room(camera, zone, 3, "09:00-10:00")
        ingest.wait_for(lambda: ingest.heartbeats[-1]["state"] == "closed", what="a room that is closed")
    numbers, _ = frames(ingest)
    assert_contiguous(numbers)
    ended = max(r.manifest.end_us for r in ingest.segments)
    # The next heartbeat, half a second away here, and a look around.
    assert shortened - 2 * S < ended < shortened + 5 * S
    for received in ingest.segments:
        manifest = received.manifest
        hours = room(camera, zone, 1, "09:00-10:00" if manifest.configuration_version == 1 else "09:00-10:30")
        assert subtract([manifest.interval], windows_between(hours, manifest.interval)) == ()
    # In force until it was heard, which is a moment after the last picture.
    heard = max(received.manifest.end_us for received in ingest.received)
    assert heard < ended + S
    check_account(ingest, (Interval(closing - 3600 * S, heard),))


def test_local_midnight_costs_no_picture_and_gaps_end_with_their_day(camera, tmp_path, zone_at):
    midnight = edge_in(8)
    zone = zone_at("00:00", midnight)
    hours = room(camera, zone, 1, "22:00-02:00")
    with IngestDouble(tmp_path, hours) as ingest, running_agent(ingest, tmp_path / "spool"):
        ingest.wait_for(
            lambda: any(r.manifest.end_us > midnight + 2 * S for r in ingest.segments), what="the next day"
        )
        windows = windows_between(hours, Interval(midnight - 3600 * S, midnight + 3600 * S))
    assert_contiguous(frames(ingest)[0])
    check_account(ingest, windows)
    days = {local_date(r.manifest.start_us, zone) for r in ingest.segments}
    assert days == {local_date(midnight, zone) - timedelta(days=1), local_date(midnight, zone)}
    assert local_midnight_us(local_date(midnight, zone), zone) == midnight
    for gap in ingest.gaps():
        assert not gap.start_us < midnight < gap.end_us
