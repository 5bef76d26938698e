"""The door to footage and the coverage of a day: who may open what, and why nothing is there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from archive import custody, search, viewing
from archive.door import Ground, GroundError, NoFootageError, resolve
from archive.models import CustodyEvent, Hold, RoomDay, SampleIndex
from archive.mp4.virtual import ClipTooLongError
from recorder.instants import to_us
from recorder.intervals import Interval, merge, subtract
from tests.footage import SECOND, FakeAgent

T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
MINUTE = 60 * SECOND
# The local midnight that begins 20 December 2026 in Kyiv.
DUE = to_us(datetime(2026, 12, 19, 22, 0, tzinfo=UTC))
NOW = T0 + 3600 * SECOND
AUDIT = Ground("audit")


@pytest.fixture
def agent(archive):
    return FakeAgent(archive, enrolled_us=T0 - 60 * MINUTE)


def opened(archive, interval, now_us=NOW, ground=AUDIT):
    with archive.database.reading() as session:
        return resolve(session, archive.configurations, archive.store, "108", interval, ground, now_us)


def refused(archive, interval, now_us=NOW, ground=AUDIT) -> str:
    with pytest.raises(NoFootageError) as error:
        opened(archive, interval, now_us, ground)
    return error.value.code


def coverage(archive, now_us=NOW):
    with archive.database.reading() as session:
        return search.coverage(session, archive.configurations, "108", "2026-11-20", now_us)


def hold(archive, start_us, end_us, **columns) -> int:
    with archive.database.transaction() as session:
        row = Hold(
            room="108", start_us=start_us, end_us=end_us, reason="r", legal_ground="g", author="cli:0",
            created_us=T0, **columns,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def test_segments_of_an_interval_come_in_order(archive, agent):
    ids = [agent.record(T0 + n * 2 * SECOND) for n in range(4)]
    pieces = opened(archive, Interval(T0 + 2 * SECOND, T0 + 5 * SECOND))
    assert [piece.name.split("/")[2][:36] for piece in pieces] == ids[1:3]


def test_each_reason_for_nothing_has_its_own_code(archive, agent):
    agent.send(agent.gap(T0 + MINUTE, T0 + 2 * MINUTE))
    assert refused(archive, Interval(T0 + MINUTE, T0 + 2 * MINUTE)) == "gap"
    assert refused(archive, Interval(NOW + MINUTE, NOW + 2 * MINUTE)) == "future"
    assert refused(archive, Interval(NOW - MINUTE, NOW)) == "not_arrived"
    # Nothing was heard: a provisional gap of the server's own accord.
    assert refused(archive, Interval(T0 + 10 * MINUTE, T0 + 11 * MINUTE)) == "gap"
    assert refused(archive, Interval(T0, T0 + MINUTE), now_us=DUE) == "expired"


def test_outside_hours_names_the_next_window(archive, tmp_path):
    text = (tmp_path / "rooms.yaml").read_text("utf-8").replace("00:00-24:00", "12:00-13:00")
    (tmp_path / "rooms.yaml").write_text(text, "utf-8")
    archive.sync_rooms_file(T0 - 86_400 * SECOND)
    with pytest.raises(NoFootageError) as error:
        opened(archive, Interval(T0, T0 + MINUTE))
    assert error.value.code == "outside_hours"
    assert error.value.details["next_window"].start_us == to_us(datetime(2026, 11, 20, 10, 0, tzinfo=UTC))


def test_from_the_due_midnight_on_the_door_refuses_whoever_asks(archive, agent):
    agent.record(T0)
    interval = Interval(T0, T0 + 2 * SECOND)
    assert opened(archive, interval, now_us=DUE - 1)
    for ground in (AUDIT, Ground("fault_check")):
        assert refused(archive, interval, DUE, ground) == "expired"


def test_past_due_a_hold_opens_its_segments_for_its_purpose_only(archive, agent):
    agent.record(T0)
    agent.record(T0 + 2 * SECOND)
    number = hold(archive, T0, T0 + SECOND)
    whole = Interval(T0, T0 + 4 * SECOND)
    pieces = opened(archive, whole, DUE, Ground("hold", str(number)))
    assert [piece.start_us for piece in pieces] == [T0]
    assert refused(archive, whole, DUE, AUDIT) == "expired"
    released = hold(archive, T0, T0 + SECOND, released_us=T0, released_by="cli:0")
    with pytest.raises(GroundError):
        opened(archive, whole, DUE, Ground("hold", str(released)))


def test_what_a_hold_kept_of_a_purged_day_opens_for_its_purpose_only(archive, agent):
    agent.record(T0)
    number = hold(archive, T0, T0 + SECOND)
    with archive.database.transaction() as session:
        day = session.get(RoomDay, ("108", "2026-11-20"))
        day.state, day.purged_us = "purged", DUE
    assert opened(archive, Interval(T0, T0 + SECOND), NOW, Ground("hold", str(number)))
    assert refused(archive, Interval(T0, T0 + SECOND), NOW, AUDIT) == "expired"


def test_a_purged_day_names_its_certificate(archive, agent):
    agent.record(T0)
    with archive.database.transaction() as session:
        day = session.get(RoomDay, ("108", "2026-11-20"))
        day.state, day.purged_us = "purged", DUE
        session.connection().exec_driver_sql("DELETE FROM sample_index")
        session.connection().exec_driver_sql("DELETE FROM segment_manifest")
        session.connection().exec_driver_sql("DELETE FROM segment")
    assert refused(archive, Interval(T0, T0 + MINUTE), DUE + 1) == "purged"


@pytest.mark.parametrize(
    "text", ["", "because", "request", "fault_check:1", "request:" + "9" * 99, "hold:1 OR 1"]
)
def test_a_ground_that_is_none_is_refused_with_the_list(text):
    with pytest.raises(GroundError, match="request:NUMBER"):
        Ground.parse(text)


def test_coverage_accounts_for_every_past_instant_of_the_windows(archive, agent):
    agent.record(T0)
    agent.send(agent.gap(T0 + 2 * SECOND, T0 + MINUTE))
    facts = coverage(archive)
    explained = [
        *facts.recorded,
        *(Interval(gap.start_us, gap.end_us) for gap in facts.gaps),
        *facts.pending,
        Interval(NOW, DUE),
    ]
    assert subtract(facts.windows, explained) == ()
    assert [gap.cause for gap in facts.gaps if not gap.provisional] == ["camera_unreachable"]
    assert {gap.cause for gap in facts.gaps if gap.provisional} == {"agent_down"}


def test_no_picture_is_missed_in_a_room_without_a_camera(archive, tmp_path):
    text = (tmp_path / "rooms.yaml").read_text("utf-8")
    camera = 'cameras: [{name: main, url: "rtsp://127.0.0.1:9/108"}]'
    (tmp_path / "rooms.yaml").write_text(text.replace(camera, "microphone: {device: default}"), "utf-8")
    archive.sync_rooms_file(T0 - 86_400 * SECOND)
    assert {gap.tracks for gap in coverage(archive).gaps} == {("audio",)}


def test_neighbouring_gap_records_of_one_cause_read_as_one(archive, agent):
    for minute in range(3):
        agent.send(agent.gap(T0 + minute * MINUTE, T0 + (minute + 1) * MINUTE))
    agent.send(agent.gap(T0 + 3 * MINUTE, T0 + 4 * MINUTE, cause="opening"))
    with archive.database.reading() as session:
        gaps = search.gaps(session, "108", Interval(T0, T0 + 10 * MINUTE))
    assert [(gap.start_us - T0, gap.end_us - T0, gap.cause) for gap in gaps] == [
        (0, 3 * MINUTE, "camera_unreachable"),
        (3 * MINUTE, 4 * MINUTE, "opening"),
    ]


def test_a_look_is_one_viewing_however_many_ranges_it_takes(archive, agent):
    agent.record(T0)
    interval = Interval(T0, T0 + 2 * SECOND)
    first = viewing.open_viewing(archive, "user:1", "108", interval, AUDIT, NOW)
    viewing.served(archive, first, Interval(T0, T0 + SECOND), 1000, NOW)
    assert viewing.open_viewing(archive, "user:1", "108", interval, AUDIT, NOW + SECOND) == first
    assert viewing.open_viewing(archive, "user:2", "108", interval, AUDIT, NOW) != first
    viewing.served(archive, first, interval, 500, NOW + 2 * SECOND)
    assert viewing.close_idle(archive, NOW + 3 * SECOND) == 0
    assert viewing.close_idle(archive, NOW + 2 * SECOND + viewing.IDLE_US) == 2
    with archive.database.reading() as session:
        events = session.query(CustodyEvent).filter(CustodyEvent.subject == f"viewing:{first}").all()
        assert list(custody.verify(session)) == []
    assert [event.action for event in events] == ["view_opened", "view_closed"]
    assert '"served_bytes":1500' in events[1].details
    assert events[0].date == "2026-11-20"


def test_a_changed_rooms_file_freezes_only_what_is_to_come(archive, agent, tmp_path):
    agent.record(T0)
    path = tmp_path / "rooms.yaml"
    path.write_text(path.read_text("utf-8").replace("00:00-24:00", "12:00-13:00"), "utf-8")
    archive.sync_rooms_file(T0 + MINUTE)
    windows = coverage(archive).windows
    day_start = to_us(datetime(2026, 11, 19, 22, 0, tzinfo=UTC))
    noon = to_us(datetime(2026, 11, 20, 10, 0, tzinfo=UTC))
    assert windows == (Interval(day_start, T0 + MINUTE), Interval(noon, noon + 60 * MINUTE))


_intervals = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda pair: Interval(pair[0], pair[0] + pair[1])),
    max_size=8,
)


@given(_intervals, _intervals)
def test_subtract_and_merge_agree_with_sets_of_instants(whole, parts):
    def instants(intervals):
        return {t for each in intervals for t in range(each.start_us, each.end_us)}

    assert instants(subtract(whole, parts)) == instants(whole) - instants(parts)
    assert instants(merge(whole)) == instants(whole)


def test_a_clip_that_is_too_long_is_refused_before_any_index_is_read(archive, agent):
    """A month of indexes would fill the memory: the error must not need them."""
    agent.record(T0)
    last = agent.record(T0 + 240 * MINUTE)
    with archive.database.transaction() as session:
        session.execute(update(SampleIndex).where(SampleIndex.segment_id == last).values(encoded=b"unread"))
    with pytest.raises(ClipTooLongError, match="3 h"):
        opened(archive, Interval(T0, T0 + 300 * MINUTE), T0 + 300 * MINUTE)
