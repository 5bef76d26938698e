"""The index lost, and rebuilt from objects and keys: the same byte for byte, and nothing destroyed."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import select

from archive import reindex as rebuilding
from archive.check import check
from archive.database import DatabaseError
from archive.local_store import LocalStore
from archive.models import (
    ChainLink,
    Derived,
    Enrolment,
    Gap,
    Hold,
    Quarantine,
    RoomDay,
    RoomsVersion,
    SampleIndex,
    Segment,
    SegmentManifestRow,
)
from archive.records import RecordError
from archive.sealed import SealedStore
from archive.store import StoreError
from archive.system import Archive
from recorder.errors import ConfigurationError
from recorder.instants import US_PER_DAY, parse_instant
from recorder.intervals import Interval
from recorder.manifest import canonical
from retention import frozen, holds, purge
from retention.errors import ConfirmationError
from tests.footage import ROOMS, SECOND, FakeAgent, make_archive
from tests.thumbnails import derive_now, object_of, rows

FIRST = parse_instant("2026-10-12T10:00:00+03:00")
LATER = parse_instant("2026-11-20T10:00:00+02:00")
# Who was told when is not in the objects.
NOT_DERIVED = {
    "accepted_us",
    "received_us",
    "reason",
    "legal_ground",
    "author",
    "revision",
    "manifest",
    "code",
}
DERIVED = (
    Segment,
    SegmentManifestRow,
    SampleIndex,
    Derived,
    Gap,
    ChainLink,
    RoomDay,
    RoomsVersion,
    Enrolment,
    Hold,
    Quarantine,
)


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "council").mkdir()
    archive = make_archive(tmp_path / "council")
    yield archive
    archive.close()


def dump(archive, *, without=()) -> bytes:
    """Every derived row as canonical JSON, sorted: what a rebuilt index must repeat byte for byte."""
    lines = []
    with archive.database.reading() as session:
        for table in DERIVED:
            if table in without:
                continue
            for row in session.scalars(select(table)):
                columns = {c.key: getattr(row, c.key) for c in table.__table__.columns}
                plain = {k: v.hex() if isinstance(v, bytes) else v for k, v in columns.items()}
                kept = {k: v for k, v in plain.items() if k not in NOT_DERIVED or table is RoomsVersion}
                lines.append(canonical({"table": table.__tablename__, **kept}))
    return b"\n".join(sorted(lines))


def open_new(archive, url) -> Archive:
    """The same store and keys under another database."""
    settings = archive.settings.model_copy(update={"database_url": url})
    return Archive.open(settings, migrate=True, rebuild=True)


def rebuilt(archive, tmp_path) -> tuple[Archive, rebuilding.Report]:
    """The same store and keys under an empty database."""
    new = open_new(archive, f"sqlite:///{tmp_path / f'new-{os.urandom(4).hex()}.sqlite'}")
    return new, rebuilding.reindex(new, "cli:0", LATER + US_PER_DAY)


def fill(archive) -> FakeAgent:
    agent, other = FakeAgent(archive), FakeAgent(archive, room="228-a")
    agent.record(LATER)
    agent.record(LATER + 2 * SECOND)
    # Arrives after the one that it overlaps, and starts before it.
    agent.record(LATER + SECOND)
    gap = agent.gap(LATER + 4 * SECOND, LATER + 9 * SECOND)
    assert agent.send(gap).outcome == "accepted"
    other.record(LATER)
    signed, body = other.segment(LATER + 10 * SECOND)
    assert other.send(signed, body, damaged=True).outcome == "quarantined"
    return agent


def hold(archive, start_us, end_us) -> None:
    order = holds.HoldOrder("108", Interval(start_us, end_us), "inquiry", "order 7", "user:1")
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], start_us)


def test_what_derives_from_manifests_comes_out_byte_for_byte(archive, tmp_path):
    agent = fill(archive)
    derive_now(archive, agent.record(LATER + 20 * SECOND))
    assert agent.send(agent.gap(LATER + 9 * SECOND, LATER + 20 * SECOND)).outcome == "accepted"
    hold(archive, LATER, LATER + SECOND)
    before = dump(archive)
    new, report = rebuilt(archive, tmp_path)
    assert report.findings == []
    assert (report.segments, report.gaps, report.quarantined, report.holds) == (5, 2, 1, 1)
    assert report.derived == 1
    assert dump(new) == before
    assert list(check(new, deep=True)) == []
    new.close()


def test_a_purged_day_stays_purged_and_what_was_held_is_found_again(archive, tmp_path):
    agent = FakeAgent(archive)
    gone, held = agent.record(FIRST), agent.record(FIRST + 60 * SECOND)
    for segment in (gone, held):
        derive_now(archive, segment)
    hold(archive, FIRST + 60 * SECOND, FIRST + 61 * SECOND)
    agent.record(LATER)
    made = purge.plan(archive, LATER)
    purge.run(archive, actor="system", now_us=LATER, confirm=made.digest)
    # Links of what was destroyed are nowhere but in the old index.
    before = dump(archive, without=(ChainLink, RoomDay))
    new, report = rebuilt(archive, tmp_path)
    assert report.findings == []
    assert dump(new, without=(ChainLink, RoomDay)) == before
    with new.database.reading() as session:
        assert session.get(Segment, held) is not None
        assert session.get(RoomDay, ("108", "2026-10-12")).state == "purged"
    # The day's key is gone: they could not be made again.
    assert rows(new) == {held}
    new.close()


def test_thumbnails_that_cannot_be_used_again_are_told_and_left_alone(archive, tmp_path):
    agent = FakeAgent(archive)
    altered, alone = agent.record(LATER), agent.record(LATER + 2 * SECOND)
    for segment in (altered, alone):
        derive_now(archive, segment)
    root = archive.store.raw.root
    path = root / object_of(archive, altered)
    path.write_bytes(path.read_bytes()[:-1])
    with archive.database.reading() as session:
        (root / session.get_one(Segment, alone).object_name).unlink()
    new, report = rebuilt(archive, tmp_path)
    assert sorted(finding.kind for finding in report.findings) == ["derived", "foreign"]
    assert rows(new) == set()
    # A server makes anew what it can.
    assert derive_now(new, altered) == "made"
    new.close()


def test_nothing_is_destroyed_until_the_holds_are_confirmed(archive, tmp_path):
    FakeAgent(archive).record(FIRST)
    hold(archive, FIRST, FIRST + SECOND)
    new, _ = rebuilt(archive, tmp_path)
    with pytest.raises(ConfirmationError, match="protokol hold confirm"):
        purge.run(new, actor="system", now_us=LATER)
    with pytest.raises(ConfirmationError, match="look at"):
        frozen.confirm(new, "0" * 16, actor="cli:0", now_us=LATER)
    with new.database.reading() as session:
        digest = frozen.digest(session)
    assert frozen.confirm(new, digest, actor="cli:0", now_us=LATER)
    assert not frozen.confirm(new, digest, actor="cli:0", now_us=LATER)
    purge.run(new, actor="system", now_us=LATER)
    assert len(list(new.store.names())) == 1
    new.close()


@pytest.mark.both_databases
def test_a_rebuilt_index_goes_on_counting_where_the_old_one_stood(archive, database_url):
    """On PostgreSQL a row that is given its number does not move the counter: the next hold was refused."""
    fill(archive)
    hold(archive, LATER, LATER + SECOND)
    new = open_new(archive, database_url)
    rebuilding.reindex(new, "cli:0", LATER + US_PER_DAY)
    hold(new, LATER, LATER + SECOND)
    with new.database.transaction() as session:
        assert [each.id for each in holds.active(session)] == [1, 2]
        text = session.get_one(RoomsVersion, 1).text
        assert new.configurations.publish(session, f"{text}# again\n", "cli:0", LATER + US_PER_DAY) == 2
    new.close()


def test_a_rebuild_that_was_refused_may_be_begun_again_in_the_same_database(archive, tmp_path, database_url):
    fill(archive)
    root = archive.store.raw.root
    (root / "_records" / "rooms").rename(tmp_path / "rooms")
    new = open_new(archive, database_url)
    with pytest.raises(RecordError, match="backup of the store"):
        rebuilding.reindex(new, "cli:0", LATER)
    (tmp_path / "rooms").rename(root / "_records" / "rooms")
    assert rebuilding.reindex(new, "cli:0", LATER).segments == 4
    new.close()


def test_a_record_counts_under_its_own_name_alone(archive, tmp_path):
    """Who has the store alone cannot pass one signed record off as another."""
    fill(archive)
    hold(archive, LATER, LATER + SECOND)
    path = next(archive.store.raw.root.glob("_records/holds/*"))
    path.with_name("7.json").write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=r"holds/7\.json"):
        rebuilt(archive, tmp_path)


def test_a_hold_of_a_lost_request_is_not_the_next_requests(archive, tmp_path):
    fill(archive)
    order = holds.HoldOrder(
        "108", Interval(LATER, LATER + SECOND), "request", "law", "request:1", request_id=1
    )
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], LATER)
    new, _ = rebuilt(archive, tmp_path)
    with new.database.reading() as session:
        (found,) = holds.active(session)
    assert found.request_id is None
    assert "request 1 " in found.reason
    new.close()


def test_a_record_that_nests_without_end_is_no_record(archive):
    fill(archive)
    path = next(archive.store.raw.root.glob("_records/rooms/*"))
    path.write_bytes(b"[" * 200_000)
    assert [finding.kind for finding in check(archive)] == ["record"]


def test_a_hold_that_was_let_go_does_not_come_back(archive, tmp_path):
    fill(archive)
    hold(archive, LATER, LATER + SECOND)
    with archive.database.transaction() as session:
        holds.release(session, archive, 1, actor="user:1", reason="settled", now_us=LATER)
    new, report = rebuilt(archive, tmp_path)
    assert report.holds == 0
    new.close()


def test_a_transaction_that_is_rolled_back_leaves_no_record(archive):
    order = holds.HoldOrder("108", Interval(LATER, LATER + SECOND), "inquiry", "order 7", "user:1")
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], LATER)
        session.rollback()
    assert list(archive.records.read("holds")) == []


def test_altered_foreign_and_doubled_objects_are_told_and_left_alone(archive, tmp_path):
    fill(archive)
    root = archive.store.raw.root
    first, second, third = sorted(root.glob("108/*/*.mp4"))
    raw = bytearray(first.read_bytes())
    raw[len(raw) // 2] ^= 1
    first.write_bytes(raw)
    second.with_name(f"{'0' * 8}-twin.mp4").write_bytes(second.read_bytes())
    third.with_name("stranger.mp4").write_bytes(b"\0" * 2000)
    names = sorted(path for path in root.rglob("*") if path.is_file())
    new, report = rebuilt(archive, tmp_path)
    assert sorted(finding.kind for finding in report.findings) == ["altered", "altered", "doubled"]
    assert sorted(path for path in root.rglob("*") if path.is_file()) == names
    assert report.segments == 3
    new.close()


def test_a_record_that_the_server_did_not_sign_stops_the_rebuild(archive, tmp_path):
    fill(archive)
    path = next(archive.store.raw.root.glob("_records/enrolments/*"))
    path.write_bytes(path.read_bytes().replace(b'"room":"', b'"room":"x'))
    with pytest.raises(RecordError, match="has signed"):
        rebuilt(archive, tmp_path)
    assert [finding.kind for finding in check(archive)] == ["record"]
    with archive.database.reading() as session:
        assert archive.records.sync(session) == 1
    assert list(check(archive)) == []


def test_an_index_that_is_not_empty_is_left_alone(archive):
    fill(archive)
    before = dump(archive)
    with pytest.raises(DatabaseError, match="not empty"):
        rebuilding.reindex(archive, "cli:0", LATER)
    assert dump(archive) == before


def test_a_new_archive_is_not_begun_over_the_objects_of_another(archive, tmp_path):
    fill(archive)
    empty = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    settings = archive.settings.model_copy(update={"database_url": empty})
    with pytest.raises(DatabaseError, match="archive reindex"):
        Archive.open(settings, migrate=True)


class AwayAfterOne(LocalStore):
    """A store that is away from its second object on."""

    opened = 0

    def open(self, name):
        if not name.startswith("_records/"):
            self.opened += 1
        if self.opened > 1:
            raise StoreError(f"cannot read {name}: the store is away")
        return super().open(name)


def test_an_index_that_was_rebuilt_in_part_is_not_served(archive, tmp_path):
    fill(archive)
    settings = archive.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'part.sqlite'}"})
    with closing(Archive.open(settings, migrate=True, rebuild=True)) as part:
        away = replace(part, store=SealedStore(AwayAfterOne(archive.store.raw.root), part.store.keys))
        with pytest.raises(StoreError, match="away"):
            rebuilding.reindex(away, "cli:0", LATER)
    with pytest.raises(DatabaseError, match="in part"):
        Archive.open(settings)


def test_a_rebuild_that_found_no_records_can_be_done_again_in_the_same_database(archive, tmp_path):
    fill(archive)
    records = archive.store.raw.root / "_records"
    records.rename(tmp_path / "lost")
    settings = archive.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.sqlite'}"})
    with closing(Archive.open(settings, migrate=True, rebuild=True)) as new:
        with pytest.raises(RecordError):
            rebuilding.reindex(new, "cli:0", LATER)
        (tmp_path / "lost").rename(records)
        assert rebuilding.reindex(new, "cli:0", LATER).segments == 4
    Archive.open(settings).close()


@pytest.mark.both_databases
def test_a_rebuilt_index_goes_on_counting(archive, database_url):
    fill(archive)
    hold(archive, LATER, LATER + SECOND)
    settings = archive.settings.model_copy(update={"database_url": database_url})
    with closing(Archive.open(settings, migrate=True, rebuild=True)) as new:
        rebuilding.reindex(new, "cli:0", LATER)
        hold(new, LATER, LATER + SECOND)
        with new.database.transaction() as session:
            assert new.configurations.publish(session, ROOMS + "# edited\n", "user:1", LATER) == 2
        with new.database.reading() as session:
            assert [each.id for each in holds.active(session)] == [1, 2]


@pytest.mark.parametrize("rebuild", [False, True])
def test_no_new_keys_are_begun_over_the_objects_of_another_archive(archive, tmp_path, rebuild):
    """Else the index, put back later, would be served with the new keys, and every old object be lost."""
    fill(archive)
    lost = {"database_url": f"sqlite:///{tmp_path / 'no.sqlite'}", "keys_url": f"sqlite:///{tmp_path / 'k'}"}
    with pytest.raises((DatabaseError, ConfigurationError), match="backup"):
        Archive.open(archive.settings.model_copy(update=lost), migrate=True, rebuild=rebuild)
    settings = archive.settings.model_copy(update={"keys_url": lost["keys_url"]})
    with pytest.raises(ConfigurationError, match="key database is empty"):
        Archive.open(settings, migrate=True)
