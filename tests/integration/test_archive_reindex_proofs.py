"""What proves something outlives the index: checkpoints, certificates and chains after `archive reindex`."""

from __future__ import annotations

import json
import shutil
from contextlib import closing

import pytest
from sqlalchemy import select

from archive import check as checking
from archive import checkpoint, custody, log_origin, proofs
from archive import reindex as rebuilding
from archive.check import check, custody_findings
from archive.models import Certificate, ChainLink, CustodyCheckpoint, Tombstone
from archive.system import Archive
from recorder.instants import US_PER_DAY, parse_instant
from recorder.intervals import Interval
from recorder.settings import Settings
from retention import frozen, holds, purge
from tests.attacker import attack, rechain
from tests.footage import SECOND, FakeAgent, make_archive

FIRST = parse_instant("2026-10-12T10:00:00+03:00")
LATER = parse_instant("2026-11-20T10:00:00+02:00")
AFTER = LATER + US_PER_DAY


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A day that was purged but for a held segment, one that stands, two checkpoints, the first stamped."""
    directory = tmp_path_factory.mktemp("council")
    with closing(make_archive(directory)) as archive:
        agent = FakeAgent(archive)
        agent.record(FIRST)
        agent.record(FIRST + 60 * SECOND)
        gap = agent.gap(FIRST + 62 * SECOND, FIRST + 90 * SECOND)
        assert agent.send(gap).outcome == "accepted"
        order = holds.HoldOrder(
            "108", Interval(FIRST + 60 * SECOND, FIRST + 61 * SECOND), "inquiry", "order 7", "user:1"
        )
        with archive.database.transaction() as session:
            holds.place(session, archive, [order], FIRST)
        first = checkpoint.make_checkpoint(archive, FIRST)
        checkpoint.keep_time_stamp(archive, first.number, b"0stamp")
        FakeAgent(archive, room="228-a").record(LATER)
        run(archive, LATER)
        checkpoint.make_checkpoint(archive, LATER)
        assert list(check(archive, deep=True)) == []
    return directory


@pytest.fixture
def archive(made, tmp_path):
    """A copy of it, for a test of its own."""
    shutil.copytree(made, tmp_path / "council")
    settings = Settings(data_dir=tmp_path / "council", demo=True, secure_cookies=False)
    with closing(Archive.open(settings)) as archive:
        yield archive


def run(archive, at_us) -> purge.Report:
    report = purge.run(archive, actor="system", now_us=at_us, confirm=purge.plan(archive, at_us).digest)
    assert report.failures == []
    return report


def opened(archive, tmp_path, name="new") -> Archive:
    settings = archive.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / name}.sqlite"})
    return Archive.open(settings, migrate=True, rebuild=True)


@pytest.fixture
def new(archive, tmp_path):
    """Rebuilt, and its holds confirmed."""
    with closing(opened(archive, tmp_path)) as new:
        rebuilding.reindex(new, "cli:0", AFTER)
        confirm(new)
        yield new


def confirm(archive) -> None:
    with archive.database.reading() as session:
        digest = frozen.digest(session)
    assert frozen.confirm(archive, digest, actor="cli:0", now_us=AFTER)


def rows(archive, table) -> list[dict[str, object]]:
    with archive.database.reading() as session:
        found = session.scalars(select(table)).all()
        return sorted(
            ({c.key: getattr(row, c.key) for c in table.__table__.columns} for row in found), key=str
        )


def lines(archive) -> list[str]:
    return [finding.what for finding in custody_findings(archive)]


def test_a_rebuilt_archive_is_clean_and_says_where_its_log_begins(archive, new):
    assert list(check(new, deep=True)) == []
    [note] = checking.notes(new)
    assert "2026-11-21" in note
    assert "checkpoint 2 of 2026-11-20" in note
    assert "certificate 1" in note
    assert list(checking.notes(archive)) == []


@pytest.mark.both_databases
def test_it_is_so_on_either_database(archive, database_url):
    settings = archive.settings.model_copy(update={"database_url": database_url})
    with closing(Archive.open(settings, migrate=True, rebuild=True)) as new:
        rebuilding.reindex(new, "cli:0", AFTER)
        confirm(new)
        with new.database.transaction() as session:
            holds.release(session, new, 1, actor="user:1", reason="settled", now_us=AFTER)
        assert run(new, AFTER).certificates == [2]
        assert checkpoint.make_checkpoint(new, AFTER + US_PER_DAY).number == 3
        assert list(check(new, deep=True)) == []


def test_proofs_and_chains_come_back_as_they_were(archive, new):
    for table in (CustodyCheckpoint, Certificate, Tombstone, ChainLink):
        assert rows(new, table) == rows(archive, table), table


def test_numbers_go_on_where_they_stood_and_the_new_log_names_the_old_ones(archive, new):
    with new.database.transaction() as session:
        holds.release(session, new, 1, actor="user:1", reason="settled", now_us=AFTER)
    assert run(new, AFTER).certificates == [2]
    row = checkpoint.make_checkpoint(new, AFTER + US_PER_DAY)
    told = checkpoint.read(row, new.server_key.public_key())
    # The events of the new log alone are counted: those of the old one had other numbers.
    assert (told.number, told.events) == (3, told.sequence)
    assert told.previous == rows(archive, CustodyCheckpoint)[1]["sha256"]
    published = json.loads((checkpoint.directory(new.settings) / f"{row.date}.json").read_bytes())
    assert published["checkpoint"]["rebuilt_us"] == AFTER
    assert checkpoint.read(
        checkpoint.make_checkpoint(new, AFTER + 2 * US_PER_DAY), new.server_key.public_key()
    ).events
    assert list(check(new, deep=True)) == []


def test_the_day_of_the_rebuild_keeps_the_checkpoint_that_was_published(archive, tmp_path):
    published = (checkpoint.directory(archive.settings) / "2026-11-20.json").read_bytes()
    with closing(opened(archive, tmp_path)) as new:
        rebuilding.reindex(new, "cli:0", LATER)
        assert checkpoint.make_checkpoint(new, LATER).number == 2
        assert (checkpoint.directory(new.settings) / "2026-11-20.json").read_bytes() == published
        assert lines(new) == []


def test_rebuilt_twice_it_is_clean_still(archive, new, tmp_path):
    checkpoint.make_checkpoint(new, AFTER + US_PER_DAY)
    with closing(opened(new, tmp_path, "third")) as third:
        rebuilding.reindex(third, "cli:0", AFTER + 2 * US_PER_DAY)
        confirm(third)
        assert list(check(third, deep=True)) == []
        assert len(rows(third, CustodyCheckpoint)) == 3


def test_published_files_are_enough_where_the_store_has_no_record_of_checkpoints(archive, tmp_path):
    shutil.rmtree(archive.store.raw.root / "_records" / "checkpoints")
    shutil.rmtree(archive.store.raw.root / "_records" / "stamps")
    with closing(opened(archive, tmp_path)) as new:
        rebuilding.reindex(new, "cli:0", AFTER)
        assert rows(new, CustodyCheckpoint) == rows(archive, CustodyCheckpoint)
        assert lines(new) == []


def test_records_are_enough_where_the_published_files_are_lost(archive, tmp_path):
    shutil.rmtree(checkpoint.directory(archive.settings))
    with closing(opened(archive, tmp_path)) as new:
        rebuilding.reindex(new, "cli:0", AFTER)
        checkpoint.make_checkpoint(new, AFTER)
        assert rows(new, CustodyCheckpoint)[:2] == rows(archive, CustodyCheckpoint)
        assert lines(new) == []


def test_a_certificate_whose_record_is_lost_is_a_finding_and_not_a_gap_in_silence(archive, tmp_path):
    with archive.database.transaction() as session:
        holds.release(session, archive, 1, actor="user:1", reason="settled", now_us=LATER)
    run(archive, LATER)
    (archive.store.raw.root / "_records" / "certificates" / "1.json").unlink()
    assert [finding.kind for finding in check(archive)] == ["record"]
    with closing(opened(archive, tmp_path)) as new:
        rebuilding.reindex(new, "cli:0", AFTER)
        assert "certificates 1..1 are missing" in lines(new)
    run(archive, AFTER)
    assert list(check(archive)) == []


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["DELETE FROM custody_checkpoint WHERE number = 2"], "is gone"),
        (["DELETE FROM custody_checkpoint WHERE number = 1"], "checkpoints 1..1 are missing"),
        (["UPDATE custody_checkpoint SET sequence = 1 WHERE number = 1"], "another place or date"),
        (["DELETE FROM certificate"], "is gone"),
        (["UPDATE certificate SET body = replace(body, '108', '109')"], "no valid signature"),
        (
            ["UPDATE tombstone SET body = replace(body, '108', '109')"],
            "its tombstone is missing or was altered",
        ),
        (["UPDATE custody_event SET details = '{}' WHERE sequence = 1"], "event 1 was altered"),
    ],
)
def test_what_was_restored_cannot_be_touched_unseen(new, statements, found):

    attack(new, *statements)
    told = lines(new)
    assert any(found in line for line in told), told


def test_a_rebuild_that_the_server_did_not_sign_excuses_nothing(archive):
    """Else whoever can write the database would drop the log and say that it was rebuilt."""
    with archive.database.reading() as session:
        old = log_origin.mark(session, archive.server_key, AFTER)

    attack(
        archive,
        "DELETE FROM custody_event",
        "UPDATE custody_head SET sequence = 0",
    )
    forged = {**old, "log": {**old["log"], "rebuilt_us": AFTER + 1}}
    with archive.database.transaction() as session:
        custody.append(session, custody.Event(log_origin.ACTION, "cli:0", AFTER, details=forged))
    with archive.database.transaction() as session:
        rechain(session)
    told = lines(archive)
    assert any("has not signed" in line for line in told), told
    assert any("checkpoint 2026-11-20" in line for line in told), told


def test_a_record_that_stands_is_never_written_over(archive):
    """It may be the one true witness: of a database that was put back from a backup, for instance."""
    path = archive.store.raw.root / "_records" / "certificates" / "1.json"
    before = path.read_bytes()
    path.write_bytes(b"{}")
    with archive.database.reading() as session:
        assert proofs.sync(archive.records, session) == 0
    assert path.read_bytes() == b"{}"
    assert [finding.kind for finding in check(archive)] == ["record"]
    path.write_bytes(before)
    assert list(check(archive)) == []
