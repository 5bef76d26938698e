"""A purged day can be read from no backup of the footage and the index; what a hold kept still can."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select

from archive import reindex as rebuilding
from archive.door import Ground, resolve
from archive.keys import KeyGoneError
from archive.local_store import LocalStore
from archive.models import Hold, Quarantine, SampleIndex, Segment
from archive.mp4.stored import index_of
from archive.sealed import SealedStore
from archive.store import StoreError
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from retention import frozen, holds, purge, shred
from tests.footage import FakeAgent, make_archive
from tests.holding import hold

NOON = local_midnight_us(date(2026, 11, 20), "Europe/Kyiv") + 720 * US_PER_MINUTE
DUE = local_midnight_us(date(2026, 12, 20), "Europe/Kyiv")
LATER = local_midnight_us(date(2026, 12, 21), "Europe/Kyiv")


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def run(archive, now_us=DUE):
    report = purge.run(archive, actor="system", now_us=now_us, confirm=purge.plan(archive, now_us).digest)
    assert report.failures == []


def objects(archive):
    """Segment id → name and sealed sample index."""
    statement = select(Segment.id, Segment.object_name, SampleIndex.encoded).join(
        SampleIndex, SampleIndex.segment_id == Segment.id
    )
    with archive.database.reading() as session:
        return {row.id: (row.object_name, row.encoded) for row in session.execute(statement)}


def test_a_backup_from_before_the_purge_reads_nothing_but_what_is_held(archive, agent, tmp_path):
    held, gone = agent.record(NOON), agent.record(NOON + US_PER_MINUTE)
    hold_id = hold(archive, NOON, NOON + US_PER_SECOND)
    saved = tmp_path / "backup"
    shutil.copytree(archive.store.raw.root, saved / "footage")
    with closing(sqlite3.connect(tmp_path / "archive.sqlite")) as connection:
        connection.execute("VACUUM INTO ?", (str(saved / "archive.sqlite"),))
    run(archive)
    archive.close()

    # Everything is put back but the keys; the server's key file and the master key never went.
    for leftover in tmp_path.glob("archive.sqlite*"):
        leftover.unlink()
    shutil.copy(saved / "archive.sqlite", tmp_path / "archive.sqlite")
    shutil.rmtree(tmp_path / "footage")
    shutil.copytree(saved / "footage", tmp_path / "footage")
    with closing(Archive.open(archive.settings)) as restored:
        put_back = objects(restored)
        assert set(put_back) == {held, gone}
        name, sealed_index = put_back[gone]
        for attempt in (lambda: restored.store.open(name), lambda: restored.store.index(name, sealed_index)):
            with pytest.raises(KeyGoneError):
                attempt()
        # A staff member's look at the restored, not yet purged day is refused, too.
        interval = Interval(NOON, NOON + 2 * US_PER_MINUTE)
        with restored.database.reading() as session, pytest.raises(StoreError):
            resolve(session, restored.configurations, restored.store, "108", interval, Ground("audit"), NOON)

        name, sealed_index = put_back[held]
        index = index_of(restored.store.index(name, sealed_index))
        with closing(restored.store.open(name)) as reader:
            assert (reader.size_bytes, len(reader.pread(0, 2**30))) == (index.size_bytes,) * 2
        run(restored)
        with restored.database.reading() as session:
            ground = Ground("hold", str(hold_id))
            (piece,) = resolve(
                session, restored.configurations, restored.store, "108", interval, ground, LATER
            )
        assert piece.name == name


def test_a_retained_key_goes_with_the_last_hold(archive, agent):
    agent.record(NOON)
    agent.record(NOON + US_PER_MINUTE)
    first, second = (hold(archive, NOON, NOON + US_PER_SECOND) for _ in range(2))
    run(archive)
    ((name, _),) = objects(archive).values()
    footage = (archive.store.raw.root / name).read_bytes()
    for hold_id, readable in ((first, True), (second, False)):
        with archive.database.transaction() as session:
            holds.release(session, archive, hold_id, actor="user:3", reason="decided", now_us=DUE)
        run(archive, LATER)
        (archive.store.raw.root / name).write_bytes(footage)
        if readable:
            archive.store.open(name).close()
    with pytest.raises(KeyGoneError):
        archive.store.open(name)
    assert archive.store.keys.days() == set()


def test_a_held_refused_upload_outlives_its_day(archive, agent):
    signed, body = agent.segment(NOON)
    agent.send(signed, body, damaged=True)
    agent.record(NOON + US_PER_MINUTE)
    hold(archive, NOON, NOON + US_PER_SECOND)
    run(archive)
    with archive.database.reading() as session:
        name = session.scalars(select(Quarantine.object_name)).one()
    with closing(archive.store.open(name)) as reader:
        assert reader.pread(0, len(body)) == body


def test_the_twin_of_a_held_segment_is_readable_with_its_index(archive, agent):
    """The same segment sent twice at once: the object is the later one's, the index the earlier one's."""
    agent.record(NOON)
    ((name, sealed_index),) = objects(archive).values()
    with closing(archive.store.open(name)) as reader:
        body = reader.pread(0, reader.size_bytes)
    twin = archive.store.writer(name)
    twin.write(body)
    twin.commit()
    hold(archive, NOON, NOON + US_PER_SECOND)
    run(archive)
    with closing(archive.store.open(name)) as reader:
        assert reader.pread(0, reader.size_bytes) == body
    assert archive.store.index(name, sealed_index)


def test_keys_that_a_backup_brought_back_are_destroyed_by_the_next_run(archive, agent, tmp_path):
    agent.record(NOON)
    shutil.copy(tmp_path / "keys.sqlite", tmp_path / "keys.saved")
    run(archive)
    assert shred.left(archive) == set()
    archive.close()
    shutil.copy(tmp_path / "keys.saved", tmp_path / "keys.sqlite")
    with closing(Archive.open(archive.settings)) as restored:
        assert shred.left(restored) == {("108", "2026-11-20")}
        run(restored, DUE)
        assert shred.left(restored) == set()


def test_a_held_object_that_is_missing_does_not_stop_its_day(archive, agent):
    agent.record(NOON)
    ((name, sealed_index),) = objects(archive).values()
    hold(archive, NOON, NOON + US_PER_SECOND)
    agent.record(NOON + US_PER_MINUTE)
    footage = (archive.store.raw.root / name).read_bytes()
    archive.store.delete([name])
    run(archive)
    assert archive.store.index(name, sealed_index)
    (archive.store.raw.root / name).write_bytes(footage)
    archive.store.open(name).close()
    with archive.database.reading() as session:
        assert session.scalars(select(Hold.released_us)).one() is None


@pytest.mark.parametrize("harm", [lambda raw: raw[:40], lambda raw: b"\0" + raw[1:], None])
def test_a_held_refused_upload_that_cannot_be_read_stops_its_day(archive, agent, harm):
    """Nothing but its own header tells its key: with the day's it would be lost, backup or not."""
    signed, body = agent.segment(NOON)
    agent.send(signed, body, damaged=True)
    hold(archive, NOON, NOON + US_PER_SECOND)
    with archive.database.reading() as session:
        path = archive.store.raw.root / session.scalars(select(Quarantine.object_name)).one()
    whole = path.read_bytes()
    path.unlink() if harm is None else path.write_bytes(harm(whole))
    # Another day does not wait for it.
    other = FakeAgent(archive, "228-a")
    other.record(NOON)
    report = purge.run(archive, actor="system", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    assert [day.room for day in report.days] == ["228-a"]
    assert len(report.failures) == 1
    assert "restore it from a backup" in report.failures[0]
    path.write_bytes(whole)
    run(archive)
    with closing(archive.store.open(str(path.relative_to(archive.store.raw.root)))) as reader:
        assert reader.pread(0, len(body)) == body


def test_a_held_object_that_was_unreadable_at_a_rebuild_keeps_its_key(archive, agent, tmp_path):
    """It has no row until it is restored and the index is rebuilt again."""
    agent.record(NOON)
    agent.record(NOON + US_PER_MINUTE)
    hold_id = hold(archive, NOON, NOON + US_PER_SECOND)
    run(archive)
    ((name, _),) = objects(archive).values()
    path = archive.store.raw.root / name
    whole = path.read_bytes()
    path.write_bytes(b"\0" + whole[1:])
    with closing(rebuilt(archive, tmp_path / "first.sqlite")) as first:
        assert objects(first) == {}
        run(first, LATER)
        path.write_bytes(whole)
        first.store.open(name).close()
        run(first, LATER)
        with closing(rebuilt(archive, tmp_path / "second.sqlite")) as second:
            assert [known for known, _ in objects(second).values()] == [name]
        with first.database.transaction() as session:
            holds.release(session, first, hold_id, actor="user:3", reason="decided", now_us=LATER)
        run(first, LATER)
        assert first.store.keys.days() == set()


def rebuilt(archive, file):
    settings = archive.settings.model_copy(update={"database_url": f"sqlite:///{file}"})
    new = Archive.open(settings, migrate=True, rebuild=True)
    rebuilding.reindex(new, "cli:0", LATER)
    with new.database.reading() as session:
        digest = frozen.digest(session)
    frozen.confirm(new, digest, actor="cli:0", now_us=LATER)
    return new


def test_a_day_that_is_not_purged_keeps_its_key(archive, agent):
    agent.record(NOON)
    assert not shred.destroy(archive, "108", "2026-11-20", NOON)
    assert archive.store.keys.days() == {("108", "2026-11-20")}


def test_a_day_without_footage_is_given_no_key_after_its_purge(tmp_path):
    archive = make_archive(tmp_path)
    agent = FakeAgent(archive)
    agent.send(agent.gap(NOON, NOON + US_PER_MINUTE))
    run(archive)
    with pytest.raises(KeyGoneError):
        archive.store.writer("108/2026-11-20/late.mp4")
    archive.close()


class Leaving(LocalStore):
    """A store that may go away."""

    away = False

    def open(self, name):
        if self.away:
            raise StoreError(f"cannot read {name}: the store is away")
        return super().open(name)


def test_the_store_is_not_waited_for_inside_the_transaction_of_a_purge(archive, agent):
    """On SQLite nobody else writes meanwhile, and a held day has a thousand objects."""
    agent.record(NOON)
    hold(archive, NOON, NOON + US_PER_SECOND)
    raw = Leaving(archive.store.raw.root)
    seen = replace(archive, store=SealedStore(raw, archive.store.keys))

    def leave(step: str) -> None:
        raw.away = step == "locked"

    confirm = purge.plan(seen, DUE).digest
    report = purge.run(seen, actor="system", now_us=DUE, confirm=confirm, fault=leave)
    assert report.failures == []
    ((name, _),) = objects(archive).values()
    archive.store.open(name).close()
