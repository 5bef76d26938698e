"""The Purge procedure on real footage, a real database and a real store."""

from __future__ import annotations

import dataclasses
import json
from datetime import date

import pytest
from sqlalchemy import func, select

from archive import certified, custody
from archive.check import check
from archive.local_store import LocalStore
from archive.models import (
    Certificate,
    ChainLink,
    CustodyEvent,
    Gap,
    Garbage,
    Quarantine,
    RoomDay,
    SampleIndex,
    Segment,
    SegmentManifestRow,
    Tombstone,
)
from archive.sealed import SealedStore
from archive.store import StoreError
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us, now_us
from recorder.intervals import Interval
from retention import certificate, holds, purge
from retention.errors import ClockError, ConfirmationError, PurgeError
from tests.attacker import attack
from tests.footage import ROOMS, FakeAgent, make_archive, unsigned
from tests.holding import hold

pytestmark = pytest.mark.both_databases

ZONE = "Europe/Kyiv"
HOUR = 60 * US_PER_MINUTE
DUE = local_midnight_us(date(2026, 12, 20), ZONE)


def at(day: int, hour: float = 10) -> int:
    return local_midnight_us(date(2026, 11, day), ZONE) + int(hour * HOUR)


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def rows(archive: Archive, model) -> list:
    with archive.database.reading() as session:
        return list(session.scalars(select(model)))


def run(archive: Archive, at_us: int = DUE, **options) -> purge.Report:
    """A run in a demo archive, confirmed where it has to be: the guard has tests of its own."""
    confirm = purge.plan(archive, at_us).digest
    return purge.run(archive, actor="cli:0", now_us=at_us, **{"confirm": confirm, **options})


def read(archive: Archive, segment_id: str) -> bytes:
    with archive.database.reading() as session:
        row = session.get_one(Segment, segment_id)
    reader = archive.store.open(row.object_name)
    try:
        return reader.pread(0, reader.size_bytes)
    finally:
        reader.close()


def assert_sound(archive: Archive) -> None:
    """Nothing is half done, and every chain verifies."""
    assert list(check(archive, deep=True)) == []
    with archive.database.reading() as session:
        assert list(certified.verify(session, archive.server_key.public_key())) == []
        assert certificate.uncertified(session) == 0
        assert list(custody.verify(session)) == []


def test_nothing_is_destroyed_an_instant_before_the_due_midnight(archive, agent):
    agent.record(at(20))
    report = run(archive, DUE - 1)
    assert (report.days, report.certificates) == ([], [])
    assert len(rows(archive, Segment)) == 1
    assert_sound(archive)


def test_a_due_day_goes_whole_with_everything_that_is_footage(archive, agent):
    agent.record(at(20))
    agent.send(agent.gap(at(20, 11), at(20, 12)))
    forged, body = agent.segment(at(20, 13))
    assert agent.send(unsigned(forged), body, at(20, 13.1)).outcome == "quarantined"
    kept = agent.record(at(21))
    report = run(archive)
    assert report.failures == []
    assert [(day.room, day.date, day.destroyed.objects) for day in report.days] == [("108", "2026-11-20", 2)]
    assert [row.id for row in rows(archive, Segment)] == [kept]
    assert [row.segment_id for row in rows(archive, SampleIndex)] == [kept]
    assert [row.segment_id for row in rows(archive, SegmentManifestRow)] == [kept]
    for model in (Gap, Quarantine, Garbage):
        assert rows(archive, model) == []
    assert {name.split("/")[1] for name in archive.store.names()} == {"2026-11-21"}
    # The chain of manifests can still be walked: a gap, an accepted segment, one never accepted, one more.
    assert sorted(link.sequence for link in rows(archive, ChainLink)) == [0, 1, 3]
    states = {row.date: (row.state, row.purged_us) for row in rows(archive, RoomDay)}
    assert states == {"2026-11-20": ("purged", DUE), "2026-11-21": ("open", None)}


def test_a_held_segment_survives_whole_and_goes_when_its_hold_ends(archive, agent):
    before, held, after = (agent.record(at(20) + second * US_PER_SECOND) for second in (0, 2, 4))
    agent.send(agent.gap(at(20) + 3 * US_PER_SECOND, at(20) + 5 * US_PER_SECOND))
    agent.send(agent.gap(at(20) + 8 * US_PER_SECOND, at(20) + 9 * US_PER_SECOND))
    footage = read(archive, held)
    # Half-open: from the last microsecond of the held segment up to the start of the one after it.
    hold_id = hold(archive, at(20) + 4 * US_PER_SECOND - 1, at(20) + 4 * US_PER_SECOND)
    run(archive)
    assert [row.id for row in rows(archive, Segment)] == [held]
    assert read(archive, held) == footage
    assert len(rows(archive, SampleIndex)) == len(rows(archive, SegmentManifestRow)) == 1
    assert [gap.start_us for gap in rows(archive, Gap)] == [at(20) + 3 * US_PER_SECOND]
    assert run(archive, DUE + HOUR).days == []
    assert_sound(archive)

    with archive.database.transaction() as session:
        holds.release(session, archive, hold_id, actor="user:3", reason="answered", now_us=DUE + HOUR)
    again = run(archive, DUE + 2 * HOUR)
    assert [day.destroyed.objects for day in again.days] == [1]
    assert rows(archive, Segment) == rows(archive, Gap) == list(archive.store.names()) == []
    assert [row.purged_us for row in rows(archive, RoomDay)] == [DUE]
    first, second = (json.loads(row.body) for row in rows(archive, Tombstone))
    assert {each["id"] for each in first["segments"]} == {before, after}
    assert {each["id"] for each in second["segments"]} == {held}
    assert_sound(archive)


def test_an_expired_hold_still_keeps(archive, agent):
    held = agent.record(at(20))
    order = holds.HoldOrder("108", Interval(at(20), at(20) + 1), "r", "g", "user:3", expires_us=at(20) + HOUR)
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], at(20))
    run(archive)
    assert [row.id for row in rows(archive, Segment)] == [held]


def test_a_segment_of_the_evening_before_is_kept_by_a_hold_after_midnight(archive, agent):
    held = agent.record(at(21, 0) - US_PER_SECOND)
    hold(archive, at(21, 0), at(21, 1))
    run(archive)
    assert [(row.id, row.date) for row in rows(archive, Segment)] == [(held, "2026-11-20")]


def test_a_quarantined_segment_is_kept_by_a_hold_of_the_time_it_claims(archive, agent):
    forged, body = agent.segment(at(20, 13))
    agent.send(unsigned(forged), body, at(20, 13.1))
    hold(archive, at(20, 13), at(20, 14))
    run(archive)
    assert len(rows(archive, Quarantine)) == 1
    assert_sound(archive)


def test_the_certificate_tells_what_went_and_verifies(archive, agent):
    agent.record(at(20))
    held = agent.record(at(20, 11))
    gone = agent.record(at(20, 12))
    hold_id = hold(archive, at(20, 11), at(20, 11.5))
    report = run(archive)
    (row,) = rows(archive, Certificate)
    told = json.loads(row.body)
    (tombstone,) = rows(archive, Tombstone)
    sizes = {each["id"]: each["size_bytes"] for each in json.loads(tombstone.body)["segments"]}
    assert report.certificates == [row.id] == [1]
    assert tombstone.certificate_id == 1
    assert told["destroyed"]["segments"] == 2
    assert told["destroyed"]["size_bytes"] == sum(sizes.values())
    assert told["destroyed"]["start_us"] == at(20)
    assert told["destroyed"]["end_us"] == at(20, 12) + 2 * US_PER_SECOND
    assert gone in sizes
    assert told["kept"] == [{"hold": hold_id, "items": [["segment", held]]}]
    assert told["clock"] == "given"
    assert told["plan_sha256"] == report.plan_sha256
    assert "a complaint" not in row.body + tombstone.body
    assert_sound(archive)


def test_what_went_is_told_in_the_custody_log_and_says_no_reason(archive, agent):
    agent.record(at(20))
    hold(archive, at(21), at(21, 11))
    run(archive)
    events = rows(archive, CustodyEvent)
    told = [(event.action, event.date, event.actor) for event in events[-3:]]
    assert told == [
        ("hold_placed", "2026-11-21", "user:3"),
        ("purged", "2026-11-20", "cli:0"),
        ("purge_certified", "2026-11-20", "cli:0"),
    ]
    assert not any("a complaint" in event.details or "court" in event.details for event in events)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "UPDATE certificate SET body = replace(body, '\"segments\":1', '\"segments\":0') WHERE id = 1",
            "altered",
        ),
        ("DELETE FROM certificate WHERE id = 1", "missing"),
        ("UPDATE certificate SET previous_sha256 = NULL WHERE id = 2", "does not follow"),
        ("UPDATE tombstone SET body = replace(body, '108', '109') WHERE id = 2", "tombstone"),
    ],
)
def test_an_edited_certificate_does_not_verify(archive, agent, statement, finding):
    agent.record(at(20))
    agent.record(at(21))
    run(archive, DUE + 24 * HOUR)
    attack(archive, statement)
    with archive.database.reading() as session:
        findings = list(certified.verify(session, archive.server_key.public_key()))
    assert any(finding in line for line in findings), findings


def test_more_than_half_needs_the_plans_digest(archive, agent):
    late = DUE + 48 * HOUR
    agent.record(at(20))
    with pytest.raises(ConfirmationError, match="1 of 1 objects"):
        run(archive, late, confirm=None)
    with pytest.raises(ConfirmationError, match="look at"):
        run(archive, late, confirm="0" * 64)
    assert len(rows(archive, Segment)) == 1
    digest = purge.plan(archive, late).digest
    hold(archive, at(20), at(20, 11))
    with pytest.raises(ConfirmationError, match="was held"):
        run(archive, late, confirm=digest)


def test_the_first_due_night_of_a_young_archive_goes_unasked(archive, agent):
    agent.record(at(20))
    assert len(run(archive, DUE + HOUR, confirm=None).days) == 1


def test_half_or_less_goes_unasked(archive, agent):
    agent.record(at(20))
    agent.record(at(21))
    assert len(run(archive, confirm=None).days) == 1


def test_a_hold_placed_after_the_plan_is_respected(archive, agent):
    """The decision counts that is taken under the room-day's lock."""
    gone, held = agent.record(at(20)), agent.record(at(21))
    placed = []

    def place_in_between(step: str) -> None:
        if step == "certified" and not placed:
            placed.append(hold(archive, at(21), at(21, 11)))

    run(archive, DUE + 24 * HOUR, fault=place_in_between)
    assert placed
    assert [row.id for row in rows(archive, Segment)] == [held] != [gone]
    assert_sound(archive)


def test_now_is_for_demo_archives_only(tmp_path, database_url):
    directory = tmp_path / "council"
    directory.mkdir()
    council = make_archive(directory, demo=False, database_url=database_url)
    for refused in (purge.plan, lambda archive, at_us: purge.run(archive, actor="cli:0", now_us=at_us)):
        with pytest.raises(ClockError, match="demo"):
            refused(council, DUE)
    council.close()


@pytest.mark.parametrize("minutes", [-6, 6])
def test_clocks_that_disagree_stop_the_run(archive, agent, minutes):
    with pytest.raises(ClockError, match=r"clock are 3[56]\d s apart"):
        purge.run(archive, actor="system", system_clock=lambda: now_us() + minutes * US_PER_MINUTE)


def test_the_earlier_of_two_clocks_decides(archive):
    ahead = purge.plan(archive, system_clock=lambda: now_us() + US_PER_MINUTE).now_us
    behind = purge.plan(archive, system_clock=lambda: now_us() - US_PER_MINUTE).now_us
    assert abs(ahead - now_us()) < 5 * US_PER_SECOND
    assert abs(behind - now_us() + US_PER_MINUTE) < 5 * US_PER_SECOND


class BrokenStore(LocalStore):
    """A store that cannot delete one room-day's objects, as a disk with a bad directory."""

    broken = "108/2026-11-20/"

    def delete(self, names):
        names = list(names)
        if any(name.startswith(self.broken) for name in names):
            raise StoreError(f"cannot delete {self.broken}: Input/output error")
        super().delete(names)


def test_a_store_that_is_not_mounted_costs_nothing_its_key(archive, agent):
    signed, body = agent.segment(at(20), body=b"no media at all")
    assert agent.send(signed, body).outcome == "quarantined"
    hold(archive, at(20), at(20) + US_PER_SECOND)
    (name,) = archive.store.names()
    root = archive.store.raw.root
    aside = root.rename(root.with_name("aside"))
    root.mkdir()
    with pytest.raises(PurgeError, match="mounted"):
        run(archive, DUE + 24 * HOUR)
    root.rmdir()
    aside.rename(root)
    assert run(archive, DUE + 24 * HOUR).failures == []
    archive.store.open(name).close()


def test_nothing_is_certified_while_the_store_is_away(archive, agent):
    """Its objects still lie on the disk that is not mounted: what cannot be found there is not destroyed."""
    agent.record(at(20))
    root = archive.store.raw.root
    aside = root.rename(root.with_name("aside"))
    report = run(archive)
    assert set(report.causes) == {"store_away"}
    assert rows(archive, Certificate) == []
    assert [row.room for row in rows(archive, Garbage)] == ["108"]
    aside.rename(root)
    assert run(archive).failures == []
    assert [row.date for row in rows(archive, Certificate)] == ["2026-11-20"]
    assert list(archive.store.names()) == []
    assert_sound(archive)


def test_one_days_failure_does_not_stop_the_others_and_is_finished_later(archive, agent):
    agent.record(at(20))
    agent.record(at(21))
    broken = dataclasses.replace(
        archive, store=SealedStore(BrokenStore(archive.store.raw.root), archive.store.keys)
    )
    report = run(broken, DUE + 24 * HOUR)
    assert any("Input/output error" in line for line in report.failures)
    assert [row.date for row in rows(archive, Certificate)] == ["2026-11-21"]
    assert {name.split("/")[1] for name in archive.store.names()} == {"2026-11-20"}
    healed = run(archive, DUE + 25 * HOUR)
    assert healed.failures == []
    assert sorted(row.date for row in rows(archive, Certificate)) == ["2026-11-20", "2026-11-21"]
    assert list(archive.store.names()) == []
    assert_sound(archive)


def test_an_object_that_no_row_names_goes_with_its_purged_day(archive, agent):
    """An upload that was cut off between its rename and its row."""
    agent.record(at(20))
    agent.record(at(21))
    for name in ("108/2026-11-20/stray.mp4", "108/2026-11-21/stray.mp4"):
        writer = archive.store.writer(name)
        writer.write(b"footage")
        writer.commit()
    report = run(archive)
    assert (report.strays, report.failures) == (1, [])
    left = [name for name in archive.store.names() if "stray" in name]
    assert left == ["108/2026-11-21/stray.mp4"]


def test_a_stray_of_a_held_day_stays(archive, agent):
    agent.record(at(20))
    hold(archive, at(20, 15), at(20, 16))
    writer = archive.store.writer("108/2026-11-20/stray.mp4")
    writer.write(b"footage")
    writer.commit()
    assert run(archive).strays == 0
    assert list(archive.store.names()) == ["108/2026-11-20/stray.mp4"]


def test_garbage_that_a_row_needs_is_not_unlinked(archive, agent):
    kept = agent.record(at(21))
    (row,) = rows(archive, Segment)
    with archive.database.transaction() as session:
        session.add(Garbage(object_name=row.object_name, room="108", date="2026-11-21", created_us=1))
    report = run(archive)
    assert any("needed" in line for line in report.failures)
    assert read(archive, kept)
    assert rows(archive, Garbage) == []


def test_a_room_that_left_the_rooms_file_is_purged_and_certified_too(archive):
    FakeAgent(archive, "228-a").record(at(20))
    without = "".join(line for line in ROOMS.splitlines(keepends=True) if "228-a" not in line)
    with archive.database.transaction() as session:
        archive.configurations.publish(session, without, "user:1", at(25))
    assert run(archive).failures == []
    (row,) = rows(archive, Certificate)
    assert json.loads(row.body)["room"] == {"id": "228-a", "label": "228-А"}
    assert_sound(archive)


def test_purged_room_days_take_nothing_in_again(archive, agent):
    late, body = agent.segment(at(20))
    agent.record(at(20, 11))
    run(archive)
    assert agent.send(late, body, DUE + HOUR).outcome == "expired"
    with archive.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Segment)) == 0
    assert list(archive.store.names()) == []
