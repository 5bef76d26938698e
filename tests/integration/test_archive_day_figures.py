"""Figures of room-days from a real index: the same before and after a purge, and never believed stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select, update

from archive import day_figures, figures_job, month
from archive import reindex as rebuilding
from archive.figures import Cause, unknown
from archive.job_worker import JobWorker
from archive.models import DayFigures, RoomDay, RoomsVersion, Tombstone
from archive.system import Archive
from recorder.instants import US_PER_DAY, US_PER_SECOND
from recorder.intervals import Interval
from retention import frozen, holds, purge
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.registration import Registrar
from tests.dying import Killed
from tests.footage import ROOMS, FakeAgent
from tests.holding import hold
from tests.requesting import DAY, application, at, purge_at

pytestmark = pytest.mark.both_databases

HOUR = 3600 * US_PER_SECOND
FIRST = at(0, day=date(2026, 11, 1))
LATER = at(12) + US_PER_DAY
DUE = at(0, day=date(2026, 12, 20))
HOURS = ROOMS.replace("00:00-24:00", "08:00-12:00")


def publish(archive: Archive, text: str, at_us: int) -> None:
    with archive.database.transaction() as session:
        archive.configurations.publish(session, text, "cli:0", at_us)


@pytest.fixture
def office(archive):
    """Rooms that record four hours a day since the first of the month."""
    publish(archive, HOURS, at(0))
    with archive.database.transaction() as session:
        session.execute(update(RoomsVersion).values(created_us=FIRST))
    return archive


def fill(archive: Archive) -> FakeAgent:
    """Four seconds, two of which lack sound, and a gap of an hour; the rest nobody told of."""
    agent = FakeAgent(archive)
    agent.record(at(10))
    agent.record(at(10, 0, 2))
    agent.send(agent.gap(at(10, 0, 2), at(10, 0, 4), "microphone_lost", ["audio"]))
    agent.send(agent.gap(at(11), at(12), "power_lost"))
    return agent


def read(archive: Archive, now_us: int, day: date = DAY, room: str = "108") -> day_figures.DayState:
    with archive.database.reading() as session:
        return day_figures.read(session, archive.configurations, day, day, now_us, [room])[0]


def release(archive: Archive, hold_id: int, now_us: int) -> None:
    with archive.database.transaction() as session:
        holds.release(session, archive, hold_id, actor="user:3", reason="answered", now_us=now_us)


def test_a_day_adds_up_from_its_records(office):
    fill(office)
    found = read(office, LATER).figures
    assert (found.planned_us, found.recorded_us) == (4 * HOUR, 2 * US_PER_SECOND)
    assert found.causes == {
        "agent_down": Cause(2, 3 * HOUR - 4 * US_PER_SECOND),
        "microphone_lost": Cause(1, 2 * US_PER_SECOND),
        "power_lost": Cause(1, HOUR),
    }
    assert found.no_sound_us - found.no_picture_us == 2 * US_PER_SECOND


def test_they_are_the_same_after_the_purge(office):
    fill(office)
    before = read(office, LATER)
    purge_at(office, DUE)
    after = read(office, DUE)
    assert after == replace(before, is_purged=True)
    assert not before.is_purged
    # And when they are kept.
    assert day_figures.settle(office, DUE) > 0
    assert read(office, DUE) == after


def test_they_are_the_same_while_a_hold_keeps_a_part_and_after_it(office):
    fill(office)
    before = read(office, LATER).figures
    held = hold(office, at(10, 0, 2), at(10, 0, 3))
    purge_at(office, DUE)
    assert read(office, DUE).figures == before
    release(office, held, DUE)
    purge_at(office, DUE + HOUR)
    with office.database.reading() as session:
        assert len(list(session.scalars(select(Tombstone)))) > 1
    assert read(office, DUE + HOUR).figures == before


def test_what_is_kept_is_used_and_late_footage_makes_it_anew(office):
    agent = fill(office)
    before = read(office, LATER).figures
    day_figures.settle(office, LATER)
    assert day_figures.settle(office, LATER) == 0
    with office.database.transaction() as session:
        # Nobody reckons again what counts: the row is what is read.
        row = session.get_one(DayFigures, ("108", DAY.isoformat()))
        assert row.recorded_us == before.recorded_us
        row.no_picture_us += 1
    assert read(office, LATER).figures.no_picture_us == before.no_picture_us + 1
    agent.send(*agent.segment(at(9)), now_us=LATER)
    late = read(office, LATER).figures
    assert late.recorded_us == before.recorded_us + 2 * US_PER_SECOND
    assert late.planned_us == late.recorded_us + late.missing_us
    assert day_figures.settle(office, LATER) == 1
    assert read(office, LATER).figures == late


def test_a_job_keeps_them_once_an_hour_for_all_processes(office):
    fill(office)
    for _ in range(2):
        figures_job.ask(office, LATER)
    worker = JobWorker(
        office,
        {figures_job.KIND: figures_job.handler(office, lambda: LATER)},
        clock=lambda: LATER,
    )
    assert worker.run_one()
    assert not worker.run_one()
    assert day_figures.settle(office, LATER) == 0
    with office.database.reading() as session:
        kept = session.get_one(DayFigures, ("108", DAY.isoformat()))
    assert kept.planned_us == 4 * HOUR


def test_today_is_not_kept_before_it_is_over(office):
    fill(office)
    day_figures.settle(office, at(11, 30))
    with office.database.reading() as session:
        assert session.get(DayFigures, ("108", DAY.isoformat())) is None
    found = read(office, at(11, 30)).figures
    assert found.pending_us == HOUR // 2
    assert found.planned_us == found.recorded_us + found.missing_us + found.pending_us


def test_what_a_clock_that_was_ahead_has_kept_is_not_believed(office):
    day_figures.settle(office, at(12) + 3 * US_PER_DAY)
    tomorrow = read(office, at(9), date(2026, 11, 21)).figures
    assert (tomorrow.planned_us, tomorrow.pending_us) == (4 * HOUR, 4 * HOUR)


def test_a_window_past_midnight_is_its_first_days(office):
    publish(office, HOURS.replace("08:00-12:00", "22:00-02:00"), FIRST + 3)
    agent = FakeAgent(office)
    agent.record(at(23))
    after_midnight = at(1, day=date(2026, 11, 21))
    agent.record(after_midnight)
    found = read(office, LATER).figures
    assert (found.planned_us, found.recorded_us) == (4 * HOUR, 4 * US_PER_SECOND)
    day_figures.settle(office, LATER)
    # Destroyed with two different nights, and after each the same.
    for due_us in (DUE, DUE + US_PER_DAY):
        purge_at(office, due_us)
        assert read(office, due_us).figures == found


def test_before_the_first_rooms_file_nothing_was_planned(archive):
    with archive.database.reading() as session:
        began_us = session.scalars(select(RoomsVersion.created_us)).one()
        first = day_figures.first_date(session, archive.configurations)
        days = day_figures.read(
            session, archive.configurations, date(2026, 10, 1), date(2026, 10, 2), began_us, ["108"]
        )
    assert [each.figures.planned_us for each in days] == [0, 0]
    assert first > date(2026, 10, 2)
    # A day that was made then, as in a demo, has what it was made with.
    FakeAgent(archive).record(at(10, day=date(2026, 10, 2)))
    assert read(archive, began_us, date(2026, 10, 2)).figures.recorded_us == 2 * US_PER_SECOND
    with archive.database.reading() as session:
        assert day_figures.first_date(session, archive.configurations) == date(2026, 10, 2)


@pytest.mark.parametrize("is_record_lost", [False, True])
def test_after_a_rebuild_a_destroyed_day_is_the_same_or_unknown_and_never_missing(
    office, tmp_path, is_record_lost
):
    fill(office)
    agent = FakeAgent(office)
    agent.record(at(10, day=date(2026, 12, 19)))
    before, other = read(office, DUE).figures, read(office, DUE, date(2026, 12, 19)).figures
    held = hold(office, at(10), at(10, 0, 1))
    _die_before_the_key_is_destroyed(office)
    purge_at(office, DUE + HOUR // 2)
    if is_record_lost:
        office.store.raw.delete(["_records/certificates/1.json"])
    settings = office.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.sqlite'}"})
    new = Archive.open(settings, migrate=True, rebuild=True)
    rebuilding.reindex(new, "cli:0", DUE)
    found = read(new, DUE)
    assert found.is_purged
    assert found.figures == (unknown([Interval(at(8), at(12))]) if is_record_lost else before)
    assert read(new, DUE, date(2026, 12, 19)).figures == other
    day_figures.settle(new, DUE)
    # The rest of it is buried by a tombstone of its own, which does not tell of what went before.
    release(new, held, DUE)
    _confirm(new)
    purge_at(new, DUE + HOUR)
    assert read(new, DUE + HOUR).figures == found.figures
    new.close()


def _die_before_the_key_is_destroyed(archive: Archive) -> None:
    def fault(step: str) -> None:
        if step == "committed":
            raise Killed

    confirm = purge.plan(archive, DUE).digest
    with pytest.raises(Killed):
        purge.run(archive, actor="system", now_us=DUE, confirm=confirm, fault=fault)


def _confirm(archive: Archive) -> None:
    with archive.database.reading() as session:
        digest = frozen.digest(session)
    frozen.confirm(archive, digest, actor="cli:0", now_us=DUE)


def test_a_month_has_every_day_of_every_room_that_was_there(office):
    fill(office)
    hold(office, at(10), at(11))
    secrets = RequestSecrets.of(office.server_key)
    Registrar(office, secrets).register(application(), "127.0.0.1", LATER)
    Registrar(office, secrets).register(application(room=None, contact="+380671234568"), "127.0.0.1", LATER)
    publish(office, HOURS.replace("228-a", "229").replace("228-А", "229"), at(0, day=date(2026, 11, 25)))
    with office.database.reading() as session:
        rooms = month.read(session, office.configurations, DAY, LATER)
    assert [(each.room, each.label, len(each.days)) for each in rooms] == [
        ("108", "108", 30),
        ("229", "229", 30),
        ("228-a", "228-А", 30),
    ]
    day = rooms[0].days[19]
    assert (day.date, day.state, day.holds, day.requests) == (DAY, "open", 3, 2)
    states = [each.state for each in rooms[0].days]
    assert states == ["open"] * 21 + ["future"] * 9
    # The room that came later has no hours before; the one that has left, none after.
    assert [each.state for each in rooms[1].days] == ["closed"] * 24 + ["future"] * 6
    assert [each.state for each in rooms[2].days] == ["open"] * 21 + ["future"] * 3 + ["closed"] * 6
    assert rooms[0].figures.planned_us == 30 * 4 * HOUR
    purge_at(office, DUE)
    with office.database.reading() as session:
        (again,) = month.read(session, office.configurations, DAY, DUE, ["108"])
        assert again.days[19].state == "purged"
        assert session.get_one(RoomDay, ("108", DAY.isoformat())).state == "purged"
