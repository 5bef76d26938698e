"""`archive check` finds recorded time that nothing signed accounts for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from archive.check import check
from recorder.instants import format_instant, local_date, now_us
from tests.footage import ROOMS, SECOND, FakeAgent

pytestmark = pytest.mark.both_databases

# A recent instant, so that nothing is due; the rooms of the tests are recorded around the clock.
T0 = (now_us() // (3600 * SECOND) - 2) * 3600 * SECOND


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def uncovered(archive):
    zone = "Europe/Kyiv"
    spans = []
    for finding in check(archive):
        assert finding.kind == "uncovered", finding
        place, _, span = finding.what.partition(": ")
        start, _, end = span.partition(" .. ")
        known = {format_instant(T0 + s * SECOND, zone): s for s in range(-10, 200)}
        spans.append((place, known.get(start, start), known.get(end, end)))
    return spans


def test_footage_and_gaps_that_abut_are_clean(archive, agent):
    agent.send(*agent.segment(T0))
    agent.send(agent.gap(T0 + 2 * SECOND, T0 + 9 * SECOND))
    agent.send(*agent.segment(T0 + 9 * SECOND))
    assert uncovered(archive) == []


def test_a_hole_is_told_for_each_track_up_to_the_newest_record(archive, agent):
    agent.send(*agent.segment(T0))
    agent.send(*agent.segment(T0 + 60 * SECOND))
    assert uncovered(archive) == [("room 108, main, audio", 2, 60), ("room 108, main, video", 2, 60)]
    agent.send(agent.gap(T0 + 2 * SECOND, T0 + 60 * SECOND, tracks=["video"]))
    assert uncovered(archive) == [("room 108, main, audio", 2, 60)]
    agent.send(agent.gap(T0 + 2 * SECOND, T0 + 60 * SECOND, tracks=["audio"]))
    assert uncovered(archive) == []


@pytest.mark.parametrize(("hole_us", "tracks"), [(99_999, ["video"]), (100_000, ["audio", "video"])])
def test_a_joint_of_sound_is_what_the_ledger_takes_for_one(archive, agent, hole_us, tracks):
    """The agent writes no gap for less than 100 ms of sound; of the picture any hole is one."""
    agent.send(*agent.segment(T0))
    agent.send(*agent.segment(T0 + 2 * SECOND + hole_us))
    assert [place for place, *_ in uncovered(archive)] == [f"room 108, main, {each}" for each in tracks]


def test_a_segment_without_sound_needs_a_gap_that_says_so(archive, agent):
    picture = FakeAgent(archive, "228-a").segment(T0)[0].manifest.tracks[:1]
    agent.send(*agent.segment(T0, tracks=picture))
    agent.send(*agent.segment(T0 + 2 * SECOND))
    assert uncovered(archive) == [("room 108, main, audio", 0, 2)]
    agent.send(agent.gap(T0, T0 + 2 * SECOND, tracks=["audio"]))
    assert uncovered(archive) == []


def of_sound(agent, start_us):
    return agent.segment(start_us)[0].manifest.tracks[1:]


def test_a_segment_of_sound_alone_needs_a_gap_of_the_picture_that_may_still_be_on_its_way(archive, agent):
    sound = of_sound(FakeAgent(archive, "228-a"), T0)
    agent.send(*agent.segment(T0))
    agent.send(*agent.segment(T0 + 2 * SECOND, tracks=sound))
    agent.send(*agent.segment(T0 + 4 * SECOND, tracks=sound))
    assert uncovered(archive) == []
    agent.send(*agent.segment(T0 + 6 * SECOND))
    assert uncovered(archive) == [("room 108, main, video", 2, 6)]
    agent.send(agent.gap(T0 + 2 * SECOND, T0 + 6 * SECOND, tracks=["video"]))
    assert uncovered(archive) == []


def test_a_room_without_a_camera_accounts_for_its_sound_alone(archive):
    camera = 'cameras: [{name: main, url: "rtsp://127.0.0.1:9/108"}]'
    with archive.database.transaction() as session:
        text = ROOMS.replace(camera, "microphone: {device: table}")
        archive.configurations.publish(session, text, "cli:0", T0 - 60 * SECOND)
    agent = FakeAgent(archive)
    sound = of_sound(FakeAgent(archive, "228-a"), T0)
    for start_us in (T0, T0 + 2 * SECOND, T0 + 10 * SECOND):
        sent = agent.send(*agent.segment(start_us, tracks=sound, configuration_version=2))
        assert sent.outcome == "accepted", sent
    assert uncovered(archive) == [("room 108, main, audio", 4, 10)]
    agent.send(agent.gap(T0 + 4 * SECOND, T0 + 10 * SECOND, tracks=["audio"]))
    assert uncovered(archive) == []


def test_what_a_calendar_took_away_is_asked_of_nobody(archive, agent):
    """The windows are frozen as they were in force: closed from one publication to the next."""
    agent.send(*agent.segment(T0))
    today = local_date(T0, "Europe/Kyiv")
    days = [today + timedelta(days=number) for number in (-1, 0, 1)]
    closed = ROOMS + "calendar: {" + ", ".join(f"{day}: closed" for day in days) + "}\n"
    with archive.database.transaction() as session:
        archive.configurations.publish(session, closed, "cli:0", T0 + 2 * SECOND)
    with archive.database.transaction() as session:
        archive.configurations.publish(session, ROOMS, "cli:0", T0 + 90 * SECOND)
    agent.send(*agent.segment(T0 + 100 * SECOND))
    assert uncovered(archive) == [("room 108, main, audio", 90, 100), ("room 108, main, video", 90, 100)]
