"""Thumbnails and loudness after they were made: kept, destroyed, cut off halfway, checked."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from sqlalchemy import func, select

from archive import derive, derived, jobs
from archive.check import check
from archive.derive_service import DeriveService
from archive.keys import KeyGoneError
from archive.models import Derived, Garbage
from archive.system import Archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND
from tests.derived_day import (
    DUE,
    LATER,
    NOON,
    contents,
    destroy,
    die_in_purge,
    job_rows,
    killed,
    names,
    release,
)
from tests.footage import FakeAgent
from tests.holding import hold
from tests.thumbnails import answering, derive_now, object_of, rows


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def anew(archive) -> Archive:
    """Without what this process still knows of keys."""
    return closing(Archive.open(archive.settings))


# --- destroyed, kept ---


def test_a_purge_leaves_no_trace_of_them(archive, agent):
    segment = agent.record(NOON)
    derive_now(archive, segment)
    name = object_of(archive, segment)
    with archive.database.reading() as session:
        sealed = session.get_one(Derived, segment).loudness
    destroy(archive)
    assert list(archive.store.names()) == []
    assert rows(archive) == set()
    with anew(archive) as again, pytest.raises(KeyGoneError):
        again.store.index(name, sealed)
    assert list(check(archive, deep=True)) == []


def test_what_a_hold_keeps_keeps_its_thumbnails_and_the_last_hold_takes_them(archive, agent):
    held, gone = agent.record(NOON), agent.record(NOON + US_PER_MINUTE)
    for segment in (held, gone):
        derive_now(archive, segment)
    number = hold(archive, NOON, NOON + US_PER_SECOND)
    destroy(archive)
    assert names(archive) == [object_of(archive, held)]
    with anew(archive) as again:
        assert [each.at_us for each in contents(again, held).thumbnails] == [NOON]
        with again.database.reading() as session:
            day = derived.loudness_of_day(session, again.store, "108", "2026-11-20", "main")
        assert day.values == (42,)
        assert list(check(again, deep=True)) == []
    release(archive, number)
    destroy(archive, LATER)
    assert list(archive.store.names()) == []
    assert archive.store.keys.days() == set()


def test_an_object_that_was_made_twice_stays_readable_under_a_hold(archive, agent):
    """Two workers at one job: object and row may have different salts, and a purge may have come between."""
    segment = agent.record(NOON)
    hold(archive, NOON, NOON + US_PER_SECOND)
    inside = []

    def fault(step):
        if step == "stored" and not inside:
            inside.append(step)
            assert derive_now(archive, segment, fault=lambda step: None) == "made"
            # The other one's object has replaced this one's; then the day goes.
            destroy(archive)

    def ask(question, look):
        return answering(question, look)

    assert derive_now(archive, segment, ask=ask, fault=fault) == "made_before"
    with anew(archive) as again:
        assert len(contents(again, segment).thumbnails) == 1
        assert list(check(again, deep=True)) == []


def test_an_object_whose_row_was_never_written_goes_with_its_segment_too(archive, agent):
    segment = agent.record(NOON)
    killed(archive, segment, "stored")
    assert names(archive) == [object_of(archive, segment)]
    assert rows(archive) == set()
    # Without a job that would make it again, it is told.
    assert [(each.kind, each.what.split()[0]) for each in check(archive)] == [
        ("foreign", object_of(archive, segment))
    ]
    assert derive.enqueue_missing(archive, "2026-11-20", NOON + US_PER_MINUTE) == 1
    assert list(check(archive)) == []
    destroy(archive)
    assert list(archive.store.names()) == []
    assert list(check(archive, deep=True)) == []


@pytest.mark.parametrize("step", derive.STEPS)
def test_cut_off_between_any_two_steps_it_is_made_by_the_next_try(archive, agent, step):
    segment = agent.record(NOON)
    derive.enqueue_missing(archive, "2026-11-20", NOON + US_PER_MINUTE)
    killed(archive, segment, step)
    assert list(check(archive, deep=True)) == []
    assert derive_now(archive, segment) == ("made_before" if step == "committed" else "made")
    assert len(contents(archive, segment).thumbnails) == 1
    assert list(check(archive, deep=True)) == []


@pytest.mark.both_databases
def test_two_servers_that_make_them_at_once_make_one(archive, agent):
    segment = agent.record(NOON)
    both = threading.Barrier(2, timeout=30)
    outcomes = []

    def fault(step):
        if step == "stored":
            both.wait()

    def work():
        outcomes.append(derive_now(archive, segment, fault=fault))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sorted(outcomes) == ["made", "made_before"]
    assert len(contents(archive, segment).thumbnails) == 1
    assert list(check(archive, deep=True)) == []


# --- checked, rebuilt ---


def test_check_finds_what_is_missing_altered_or_a_strangers_and_derive_makes_it_anew(
    archive, agent, tmp_path
):
    lost, broken, whole = (agent.record(NOON + 2 * number * US_PER_SECOND) for number in range(3))
    for segment in (lost, broken, whole):
        derive_now(archive, segment)
    (archive.store.raw.root / object_of(archive, lost)).unlink()
    path = archive.store.raw.root / object_of(archive, broken)
    path.write_bytes(path.read_bytes()[:-1])
    stranger = archive.store.raw.root / "108/2026-11-20/aaaa.derived"
    stranger.write_bytes(b"?")
    found = {(each.kind, each.what.split()[0]) for each in check(archive)}
    assert found == {
        ("derived", object_of(archive, lost)),
        ("derived", object_of(archive, broken)),
        ("foreign", "108/2026-11-20/aaaa.derived"),
    }
    stranger.unlink()
    assert derive.make_anew(archive) == (2, 0)
    assert rows(archive) == {whole}
    for segment in (lost, broken):
        assert derive_now(archive, segment) == "made"
    assert list(check(archive, deep=True)) == []


def test_derive_lets_what_failed_be_tried_again(archive, agent):
    agent.record(NOON)
    now_us = NOON + US_PER_MINUTE
    derive.enqueue_missing(archive, "2026-11-20", now_us)
    with archive.database.transaction() as session:
        held = jobs.lease(session, now_us, "one", {derive.KIND})
        jobs.fail(session, held, "the host could not", now_us, chance=0, for_good=True)
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 0
    assert derive.make_anew(archive) == (0, 1)
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 1


def test_what_is_purged_while_it_is_looked_at_keeps_its_row(archive, agent, monkeypatch):
    segment = agent.record(NOON)
    derive_now(archive, segment)
    (archive.store.raw.root / object_of(archive, segment)).unlink()
    hold(archive, NOON, NOON + US_PER_SECOND)
    look = derive.check.broken_derived

    def slowly(session, archive):
        found = list(look(session, archive))
        destroy(archive)
        return found

    monkeypatch.setattr(derive.check, "broken_derived", slowly)
    assert derive.make_anew(archive) == (0, 0)
    assert rows(archive) == {segment}


@pytest.mark.both_databases
def test_dead_letters_go_with_their_segments(archive, agent):
    gone, standing = agent.record(NOON), agent.record(NOON + 5 * US_PER_DAY)
    now_us = NOON + 5 * US_PER_DAY + US_PER_MINUTE
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 2
    with archive.database.transaction() as session:
        while (held := jobs.lease(session, now_us, "one", {derive.KIND})) is not None:
            jobs.fail(session, held, "no", now_us, chance=0, for_good=True)
    destroy(archive)
    DeriveService(archive, lambda: DUE).round()
    assert job_rows(archive) == {derived.job_key(standing): "failed"}
    assert gone != standing


def test_a_purge_that_was_cut_off_makes_no_stranger_of_them(archive, agent):
    derive_now(archive, agent.record(NOON))
    die_in_purge(archive, "committed")
    assert {each.kind for each in check(archive)} == {"garbage"}
    destroy(archive)
    assert list(check(archive, deep=True)) == []


def test_strays_of_a_purged_day_are_destroyed_others_stay(archive, agent):
    held, _ = agent.record(NOON), agent.record(NOON + US_PER_MINUTE)
    derive_now(archive, held)
    number = hold(archive, NOON, NOON + US_PER_SECOND)
    destroy(archive)
    stray = archive.store.raw.root / "108/2026-11-20/bbbb.derived"
    stray.write_bytes(b"?")
    release(archive, number)
    destroy(archive, LATER)
    assert list(archive.store.names()) == []
    with archive.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Garbage)) == 0
