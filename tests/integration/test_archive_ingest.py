"""The Accept procedure: every terminal answer means that the archive has the bytes, or may not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from archive import room_days, search
from archive.check import check
from archive.enrolment import NotEnrolledError
from archive.ingest import BadSegmentIdError, Ingest
from archive.models import CustodyEvent, Gap, Quarantine, RoomDay, Segment
from archive.system import Archive
from archive.upload import DigestMismatchError
from recorder.instants import to_us
from recorder.intervals import Interval
from recorder.manifest import sign
from tests.footage import SECOND, FakeAgent, media, unsigned

pytestmark = pytest.mark.both_databases

T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
DAY = 86_400 * SECOND


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def count(archive: Archive, model) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(model))


def test_an_accepted_segment_is_stored_indexed_and_told(archive, agent):
    signed, body = agent.segment(T0)
    assert agent.send(signed, body).outcome == "accepted"
    with archive.database.reading() as session:
        row = session.get(Segment, signed.manifest.segment_id)
        event = session.scalars(select(CustodyEvent).order_by(CustodyEvent.sequence.desc())).first()
    reader = archive.store.open(row.object_name)
    assert reader.pread(0, reader.size_bytes) == body
    reader.close()
    assert (event.action, event.subject) == ("segment_accepted", f"segment:{row.id}")
    assert row.date == "2026-11-20"
    assert list(check(archive, deep=True)) == []


def test_the_same_segment_again_is_acknowledged_again_and_stored_once(archive, agent):
    signed, body = agent.segment(T0)
    assert not agent.send(signed, body).again
    assert agent.send(signed, body).again
    assert count(archive, Segment) == 1
    assert list(check(archive)) == []


def test_a_segment_altered_on_the_way_is_asked_for_again_and_leaves_nothing(archive, agent):
    signed, body = agent.segment(T0)
    altered = bytearray(body)
    altered[len(body) // 2] ^= 1
    with pytest.raises(DigestMismatchError):
        agent.send(signed, bytes(altered))
    with pytest.raises(DigestMismatchError):
        agent.send(signed, body[:-1])
    with pytest.raises(DigestMismatchError):
        agent.send(signed, body + b"x")
    assert list(archive.store.raw.root.glob("**/.incoming-*")) == []
    assert agent.send(signed, body).outcome == "accepted"


def test_a_segment_damaged_on_the_agents_disk_is_kept_in_quarantine(archive, agent):
    signed, body = agent.segment(T0)
    answer = agent.send(signed, body[:1000], damaged=True)
    assert (answer.outcome, "damaged" in answer.reason) == ("quarantined", True)
    with archive.database.reading() as session:
        row = session.scalars(select(Quarantine)).one()
    reader = archive.store.open(row.object_name)
    assert reader.pread(0, 2000) == body[:1000]
    reader.close()
    assert list(check(archive, deep=True)) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"room": "228-a"}, "another room"),
        ({"configuration_version": 7}, "no version 7"),
        ({"source": "left"}, "no source left"),
    ],
)
def test_what_breaks_the_contract_goes_to_quarantine_with_its_reason(archive, agent, changes, reason):
    signed, body = agent.segment(T0, **changes)
    answer = agent.send(signed, body)
    assert answer.outcome == "quarantined"
    assert reason in answer.reason
    assert count(archive, Segment) == 0
    assert agent.send(signed, body).outcome == "quarantined"
    assert count(archive, Quarantine) == 1


def test_a_wrong_signature_and_a_clock_from_the_future_are_refused(archive, agent):
    signed, body = agent.segment(T0)
    forged = unsigned(signed)
    answer = agent.send(forged, body)
    assert answer.outcome == "quarantined"
    assert "signature" in answer.reason
    late, body = agent.segment(T0 + 60 * SECOND)
    answer = agent.send(late, body, now_us=T0 - 3600 * SECOND)
    assert "future" in answer.reason


def test_footage_outside_the_recording_windows_is_refused(archive, tmp_path):
    text = (tmp_path / "rooms.yaml").read_text("utf-8").replace("00:00-24:00", "09:00-12:00")
    (tmp_path / "rooms.yaml").write_text(text, "utf-8")
    assert archive.sync_rooms_file(T0)
    agent = FakeAgent(archive)
    signed, body = agent.segment(T0 + 2 * 3600 * SECOND - SECOND, configuration_version=2)
    answer = agent.send(signed, body)
    assert answer.outcome == "quarantined"
    assert "outside the recording windows" in answer.reason


def test_a_fork_of_the_chain_is_kept_apart(archive, agent):
    first, body = agent.segment(T0)
    agent.send(first, body)
    agent.sequence, agent.previous = 0, None
    second, other = agent.segment(T0 + 10 * SECOND)
    answer = agent.send(second, other)
    assert answer.outcome == "quarantined"
    assert "fork" in answer.reason
    assert count(archive, Segment) == 1
    assert list(check(archive, deep=True)) == []


def test_an_open_link_is_reported_until_it_closes(archive, agent):
    first = agent.segment(T0)
    second = agent.segment(T0 + 2 * SECOND)
    agent.send(*second)
    assert [finding.kind for finding in check(archive)] == ["open_link"]
    agent.send(*first)
    assert list(check(archive)) == []


def test_overlaps_are_stored_and_flagged(archive, agent):
    agent.record(T0)
    overlapping = agent.record(T0 + SECOND)
    abutting = agent.record(T0 + 3 * SECOND)
    with archive.database.reading() as session:
        assert session.get(Segment, overlapping).overlaps
        assert not session.get(Segment, abutting).overlaps


def test_a_purged_or_due_room_day_answers_expired(archive, agent):
    agent.record(T0)
    signed, body = agent.segment(T0 + 10 * SECOND)
    due_us = to_us(datetime(2026, 12, 19, 22, 0, tzinfo=UTC))
    assert agent.send(signed, body, now_us=due_us - 1).outcome == "accepted"
    late, body = agent.segment(T0 + 20 * SECOND)
    assert agent.send(late, body, now_us=due_us).outcome == "expired"
    with archive.database.transaction() as session:
        day = session.get(RoomDay, ("108", "2026-11-20"))
        day.state, day.purged_us = "purged", due_us
    assert agent.send(late, body, now_us=due_us).outcome == "expired"
    assert count(archive, Segment) == 2


def test_purged_while_the_body_was_on_its_way(archive, agent):
    signed, body = agent.segment(T0)
    upload = Ingest(archive).begin(
        "108", agent.key.token, signed.manifest.segment_id, signed.header, T0 + 60 * SECOND
    )
    upload.write(body)
    with archive.database.transaction() as session:
        day = room_days.lock(session, archive.configurations, [("108", "2026-11-20")])["108", "2026-11-20"]
        day.state, day.purged_us = "purged", T0
    assert upload.finish(T0 + 60 * SECOND).outcome == "expired"
    assert list(archive.store.names()) == []


def test_a_twin_that_arrives_after_the_purge_leaves_no_object(archive, agent):
    signed, body = agent.segment(T0)
    twin = Ingest(archive).begin(
        "108", agent.key.token, signed.manifest.segment_id, signed.header, T0 + 60 * SECOND
    )
    twin.write(body)
    assert agent.send(signed, body).outcome == "accepted"
    with archive.database.transaction() as session:
        day = session.get(RoomDay, ("108", "2026-11-20"))
        day.state, day.purged_us = "purged", T0
        for table in ("sample_index", "segment_manifest", "segment"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 (names of this test)
    archive.store.delete(list(archive.store.names()))
    assert twin.finish(T0 + 60 * SECOND).again
    assert list(archive.store.names()) == []


def test_a_gap_record_is_accepted_once(archive, agent):
    signed = agent.gap(T0, T0 + 60 * SECOND)
    assert agent.send(signed).outcome == "accepted"
    assert agent.send(signed).again


def test_an_unknown_token_is_no_terminal_answer(archive, agent):
    signed, _ = agent.segment(T0)
    with pytest.raises(NotEnrolledError):
        Ingest(archive).begin("108", "wrong", signed.manifest.segment_id, signed.header, T0)
    with pytest.raises(NotEnrolledError):
        Ingest(archive).begin("228-a", agent.key.token, signed.manifest.segment_id, signed.header, T0)


@pytest.mark.parametrize("segment_id", ["..", "ABC", "a" * 300, "a b", "ж", "a\n"])
def test_an_id_that_no_agent_makes_is_refused_by_name(archive, agent, segment_id):
    signed, _ = agent.segment(T0)
    with pytest.raises(BadSegmentIdError, match="segment id"):
        Ingest(archive).begin("108", agent.key.token, segment_id, signed.header, T0 + SECOND)
    assert count(archive, Quarantine) == 0


@pytest.mark.parametrize("damaged", [True, False])
def test_refused_footage_belongs_to_the_day_it_was_recorded(archive, agent, damaged):
    """A month after it was recorded, not after it arrived."""
    source = "main" if damaged else "other"
    arrives_us = T0 + 20 * DAY
    signed, body = agent.segment(T0, source=source)
    assert agent.send(signed, body, arrives_us, damaged=damaged).outcome == "quarantined"
    with archive.database.reading() as session:
        assert session.scalars(select(Quarantine.date)).one() == "2026-11-20"
    late, body = agent.segment(T0 + SECOND * 10, source=source)
    assert agent.send(late, body, T0 + 40 * DAY, damaged=damaged).outcome == "expired"
    assert count(archive, Quarantine) == 1


def test_a_manifest_that_nobody_signed_cannot_choose_its_day(archive, agent):
    signed, body = agent.segment(T0)
    assert agent.send(unsigned(signed), body, T0 + 40 * DAY).outcome == "quarantined"
    with archive.database.reading() as session:
        assert session.scalars(select(Quarantine.date)).one() == "2026-12-30"


def test_rubbish_in_the_manifest_header_is_quarantined_not_crashed(archive, agent):
    signed, _ = agent.segment(T0)
    for header in ("", "x", "AAAA", "!" * 50, signed.header[:-8], "A" * 50_000):
        begun = Ingest(archive).begin("108", agent.key.token, signed.manifest.segment_id, header, T0)
        begun.write(b"whatever came")
        assert begun.finish(T0).outcome == "quarantined"


def test_media_that_is_no_mp4_is_quarantined(archive, agent, monkeypatch):
    from tests import footage  # noqa: PLC0415

    monkeypatch.setattr(footage, "media", lambda seconds: b"this is not an MP4 file at all" * 100)
    signed, body = agent.segment(T0)
    answer = agent.send(signed, body)
    assert answer.outcome == "quarantined"
    assert "unreadable media" in answer.reason
    assert count(archive, Segment) == 0


def test_a_gap_of_many_hours_is_found_from_any_moment_of_it(archive, agent):
    gap = agent.gap(T0, T0 + 20 * 3600 * SECOND, "power_lost")
    assert agent.send(gap).outcome == "accepted"
    late = Interval(T0 + 19 * 3600 * SECOND, T0 + 19 * 3600 * SECOND + SECOND)
    with archive.database.reading() as session:
        assert [found.cause for found in search.gaps(session, "108", late)] == ["power_lost"]


def test_a_gap_of_more_than_a_day_is_refused(archive, agent):
    answer = agent.send(agent.gap(T0 - 2 * DAY, T0))
    assert (answer.outcome, "more than a day" in answer.reason) == ("quarantined", True)


@pytest.mark.parametrize(("stated_s", "taken"), [(2, True), (7, True), (30, False), (110, False)])
def test_media_that_do_not_last_as_long_as_stated_are_refused(archive, agent, stated_s, taken):
    signed, body = agent.segment(T0, body=media(2), end_us=T0 + stated_s * SECOND)
    answer = agent.send(signed, body)
    assert (answer.outcome == "accepted") == taken, answer
    with archive.database.reading() as session:
        codes = [row.code for row in session.scalars(select(Quarantine))]
    assert codes == ([] if taken else ["contradicting_times"])


def test_a_nul_in_a_detail_is_kept_out_of_the_tables_and_in_the_signature(archive, agent):
    told = agent.gap(T0, T0 + SECOND).manifest.model_copy(update={"detail": "a\0b"})
    gap = sign(told, agent.key.signing_key())
    assert agent.send(gap).outcome == "accepted"
    with archive.database.reading() as session:
        row = session.scalars(select(Gap)).one()
    assert (row.detail, row.encoded) == ("ab", gap.encoded)
