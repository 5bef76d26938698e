"""A camera recorded by the real agent, and what arrives at the server."""

from __future__ import annotations

import itertools
import time
from functools import partial

import pytest

from archive.mp4.reader import read_index
from recorder.fragments import FileContent, boxes
from recorder.manifest import MANIFEST_BOX_UUID, Track
from simulator.control import Simulator
from simulator.picture import capture_time_us
from tests.integration.agent_rig import (
    LOOP_FRAMES,
    SEGMENT_US,
    assert_contiguous,
    decode,
    offsets_ms,
    running_agent,
)
from tests.integration.ingest_double import IngestDouble, configuration


@pytest.fixture(scope="module", params=["alaw", "aac"])
def recorded(request, tmp_path_factory):
    """Some segments of a camera without faults, decoded once for all tests."""
    directory = tmp_path_factory.mktemp("recorded")
    with Simulator(("108",), audio=request.param) as simulator:
        ingest = IngestDouble(directory, configuration(simulator.url("108"), av_offset_ms=-40))
        with ingest:
            with running_agent(ingest, directory / "spool"):
                ingest.wait_for(lambda: len(ingest.segments) >= 6, what="six segments")
            ingest.seen = [decode(path) for path in ingest.files()]
            yield ingest


def test_the_chain_has_no_hole_and_every_instant_is_accounted_for(recorded):
    recorded.check_chain()
    recorded.check_covered(Track.VIDEO)
    recorded.check_covered(Track.AUDIO)
    assert recorded.refused == []


def test_segments_of_a_run_abut_exactly_and_begin_at_whole_periods(recorded):
    manifests = [received.manifest for received in recorded.segments]
    same_run = [(a, b) for a, b in itertools.pairwise(manifests) if a.run == b.run]
    assert same_run
    for before, after in same_run:
        assert before.end_us == after.start_us
        # The first keyframe at or after the whole period: a camera of one keyframe a second.
        assert after.start_us % SEGMENT_US < 1_100_000
    for manifest in manifests:
        assert manifest.av_offset_us == -40_000
        assert manifest.microphone == "camera"
        assert not manifest.recovered


def test_files_are_what_the_archive_reads_and_end_with_their_manifest(recorded):
    for received in recorded.segments:
        kinds = [(kind, start) for kind, start, _ in boxes(received.body)]
        assert [kind for kind, _ in kinds[:2]] == [b"ftyp", b"moov"]
        assert {kind for kind, _ in kinds[2:-1]} == {b"moof", b"mdat"}
        assert kinds[-1][0] == b"uuid"
        assert received.body[kinds[-1][1] :].startswith(MANIFEST_BOX_UUID.bytes)
        read_index(partial(_pread, received.body), len(received.body))


def _pread(body, at, size):
    return body[at : at + size]


def test_media_time_is_absolute_over_all_segments_of_a_run(recorded):
    """Asserted on the written boxes: tfdt of both tracks goes on where the last segment ended."""
    last_end: dict[tuple[str, Track], float] = {}
    for received in recorded.segments:
        content = FileContent()
        content.feed(received.body)
        for statement in received.manifest.tracks:
            track = content[Track(statement.track)]
            assert track.statement() == statement
            key = (received.manifest.run, track.track)
            start = track.start_ticks / track.timescale
            if key in last_end:
                assert abs(start - last_end[key]) < 0.002, (key, start, last_end[key])
            elif track.track is Track.VIDEO:
                assert start == pytest.approx(1.0)  # the origin lies a second before the run
            last_end[key] = track.end_ticks / track.timescale


def test_no_picture_is_lost_or_doubled_over_cuts_and_runs(recorded):
    numbers = [number for seen in recorded.seen for number in seen.numbers]
    assert len(numbers) > 10 * 25
    assert_contiguous(numbers)


def test_sound_meets_picture_within_20_ms_once_the_camera_has_reported(recorded):
    judged = 0
    ordered = sorted(recorded.segments, key=lambda r: r.manifest.start_us)
    for received, seen in zip(ordered, recorded.seen, strict=True):
        if received.manifest.clock.source == "sender_report":
            offsets = offsets_ms(seen)
            judged += len(offsets)
            # As the room is calibrated: 40 ms earlier than the camera says.
            assert all(abs(offset + 40) <= 20 for offset in offsets), offsets
    assert judged >= 4


def test_before_the_first_sender_report_the_clock_is_called_estimated(recorded):
    for received in recorded.segments:
        clock = received.manifest.clock
        assert clock.estimated or clock.source == "sender_report"
    assert recorded.segments[-1].manifest.clock.source == "sender_report"


def test_utc_is_right_by_the_bar_code(recorded):
    """The bar code tells when a frame was taken; the agent adds the delay of the way, no more."""
    ordered = sorted(recorded.segments, key=lambda r: r.manifest.start_us)
    for received, seen in zip(ordered, recorded.seen, strict=True):
        taken_us = capture_time_us(seen.numbers[0], received.manifest.start_us, LOOP_FRAMES // 25, 25)
        assert 0 <= received.manifest.start_us - taken_us < 120_000


def test_the_heartbeat_tells_how_the_room_is(recorded):
    beat = recorded.heartbeats[-1]
    assert beat["state"] == "recording"
    assert beat["configuration_version"] == 1
    assert abs(beat["at_us"] - time.time() * 1e6) < 600e6
    source = beat["sources"]["main"]
    assert source["state"] == "recording"
    assert beat["at_us"] - source["last_packet_us"] < 2_000_000
    assert beat["clock"].keys() == {"uncertainty_us", "estimated"}
    assert beat["spool"].keys() == {"segments", "bytes", "oldest_us"}
