"""Thumbnails and loudness: made once, sealed, found again, and gone with their segment."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select

from archive import derive, derived, jobs
from archive.check import check
from archive.derive_service import DeriveService
from archive.job_worker import HopelessError, JobWorker
from archive.keys import KeyGoneError
from archive.media.process import MediaError
from archive.media.work import Thumbnail
from archive.models import Derived, Job, SampleIndex, Segment
from archive.sealed import AlteredError
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND
from tests.derived_day import DUE, NOON, contents, destroy, job_rows, names
from tests.footage import FakeAgent
from tests.thumbnails import answering, derive_now, object_of, rows


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


# --- made ---


def test_real_media_become_thumbnails_and_loudness_that_are_found_again(archive, agent):
    segment = agent.record(NOON)
    assert derive.derive(archive, segment, NOON + US_PER_MINUTE) == "made"
    found = contents(archive, segment)
    assert [each.at_us for each in found.thumbnails] == [NOON]
    assert found.thumbnails[0].jpeg.startswith(b"\xff\xd8")
    assert found.loudness.start_us == NOON
    assert all(70 < value < 85 for value in found.loudness.values[:2])
    with archive.database.reading() as session:
        day = derived.loudness_of_day(session, archive.store, "108", "2026-11-20", "main")
        row = session.get_one(Derived, segment)
    assert day == found.loudness
    # Neither lies open anywhere.
    assert b"\xff\xd8\xff" not in (archive.store.raw.root / object_of(archive, segment)).read_bytes()
    assert bytes(found.loudness.values[:2]) not in row.loudness
    assert list(check(archive, deep=True)) == []
    assert derive.derive(archive, segment, NOON + US_PER_MINUTE) == "made_before"


def test_loudness_of_a_day_joins_segments_and_leaves_holes_where_nothing_was_heard(archive, agent):
    for offset_s in (0, 2, 60):
        derive_now(archive, agent.record(NOON + offset_s * US_PER_SECOND))
    with archive.database.reading() as session:
        day = derived.loudness_of_day(session, archive.store, "108", "2026-11-20", "main")
        other = derived.loudness_of_day(session, archive.store, "108", "2026-11-20", "door")
    assert day.start_us == NOON
    assert (day.values[0], day.values[2], day.values[60], len(day.values)) == (42, 42, 42, 61)
    assert set(day.values) == {42, None}
    assert other.values == ()


@pytest.mark.both_databases
def test_what_has_none_is_found_the_newest_first_and_each_has_one_job(archive, agent):
    segments = [agent.record(NOON + minute * US_PER_MINUTE) for minute in range(3)]
    now_us = NOON + 5 * US_PER_MINUTE
    with archive.database.reading() as session:
        assert derive.find(session, "2026-11-20", now_us, 2) == segments[:0:-1]
        assert derive.find(session, "2026-11-21", now_us, 2) == []
        assert derive.find(session, "2026-11-20", DUE, 2) == []
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 3
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 0
    worker = JobWorker(archive, derive.handlers(archive, lambda: now_us), clock=lambda: now_us)
    while worker.run_one():
        pass
    assert rows(archive) == set(segments)
    # Nobody asks what became of them: the thumbnails are there.
    assert job_rows(archive) == {}
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 0


def test_the_backlog_is_bounded_and_so_is_the_list_of_what_failed(archive, agent, monkeypatch):
    for minute in range(6):
        agent.record(NOON + minute * US_PER_MINUTE)
    now_us = NOON + 10 * US_PER_MINUTE
    monkeypatch.setattr(derive, "MAX_WAITING", 2)
    monkeypatch.setattr(derive, "MAX_FAILED", 3)
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 2
    assert derive.enqueue_missing(archive, "2026-11-20", now_us) == 0
    for expected in (1, 0):
        with archive.database.transaction() as session:
            while (held := jobs.lease(session, now_us, "one", {derive.KIND})) is not None:
                jobs.fail(session, held, "no", now_us, chance=0, for_good=True)
        assert derive.enqueue_missing(archive, "2026-11-20", now_us) == expected


def test_the_service_looks_again_at_old_days_and_makes_what_an_older_version_left(archive, agent):
    old = agent.record(NOON)
    new = agent.record(NOON + 5 * US_PER_DAY)
    now_us = NOON + 5 * US_PER_DAY + US_PER_MINUTE
    service = DeriveService(archive, lambda: now_us)
    service.round()
    assert set(job_rows(archive)) == {derived.job_key(old), derived.job_key(new)}
    with archive.database.transaction() as session:
        session.execute(delete(Job))
    service.round()
    assert set(job_rows(archive)) == {derived.job_key(new)}


def test_the_service_makes_thumbnails_of_what_arrives_and_stops(archive):
    from recorder.instants import now_us  # noqa: PLC0415
    from tests.processes import wait_for  # noqa: PLC0415

    agent = FakeAgent(archive)
    segment = agent.record(now_us() // US_PER_SECOND * US_PER_SECOND - US_PER_MINUTE)
    service = DeriveService(archive)
    service.start()
    try:
        wait_for(lambda: rows(archive) == {segment}, 30, "thumbnails are made")
    finally:
        service.stop()
    assert list(check(archive, deep=True)) == []


# --- failures ---


def failing(archive, agent, ask, *, attempts):
    """The row of a segment's job, after it was run until nothing was left to do."""
    agent.record(NOON)
    clock = [NOON + US_PER_MINUTE]
    assert derive.enqueue_missing(archive, "2026-11-20", clock[0]) == 1
    handlers = derive.handlers(archive, lambda: clock[0], ask=ask)
    worker = JobWorker(archive, handlers, clock=lambda: clock[0])
    for _ in range(attempts):
        assert worker.run_one()
        assert not worker.run_one()
        clock[0] += US_PER_DAY // 24
    with archive.database.reading() as session:
        job = session.scalars(select(Job)).one()
    assert rows(archive) == set(names(archive)) == set()
    return job


def test_media_that_take_the_program_down_are_tried_again_and_then_a_dead_letter_that_says_why(
    archive, agent
):
    def ask(question, look):
        raise MediaError("the decoding program was ended by SIGSEGV without an answer")

    job = failing(archive, agent, ask, attempts=3)
    assert (job.state, job.attempts) == ("failed", 3)
    assert "SIGSEGV" in job.last_error
    # It is not begun anew by itself.
    assert derive.enqueue_missing(archive, "2026-11-20", NOON + US_PER_DAY) == 0
    assert rows(archive) == set()


def test_while_the_store_is_away_they_wait_and_none_is_a_dead_letter(archive, agent):
    segment = agent.record(NOON)
    clock = [NOON + US_PER_MINUTE]
    derive.enqueue_missing(archive, "2026-11-20", clock[0])
    worker = JobWorker(
        archive, derive.handlers(archive, lambda: clock[0], ask=answering), clock=lambda: clock[0]
    )
    root = archive.store.raw.root
    aside = root.rename(root.with_name("aside"))
    for _ in range(5):
        assert worker.run_one()
        assert not worker.run_one()
        clock[0] += US_PER_MINUTE
    with archive.database.reading() as session:
        job = session.scalars(select(Job)).one()
    assert (job.state, job.attempts, job.failure) == ("queued", 0, "store_away")
    assert "mounted" in job.last_error
    aside.rename(root)
    assert worker.run_one()
    assert rows(archive) == {segment}


def test_an_altered_segment_is_a_dead_letter_at_once(archive, agent):
    def ask(question, look):
        raise AssertionError("nothing was read")

    def altering(question, look):
        return answering(question, look)

    segment = agent.record(NOON)
    with archive.database.reading() as session:
        path = archive.store.raw.root / session.get_one(Segment, segment).object_name
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    with pytest.raises(HopelessError, match="altered"):
        derive_now(archive, segment, ask=ask)
    path.unlink()
    with pytest.raises(HopelessError):
        derive_now(archive, segment, ask=altering)
    with archive.database.transaction() as session:
        session.execute(delete(SampleIndex))
    with pytest.raises(HopelessError, match="sample index"):
        derive_now(archive, segment)


def test_what_falls_due_or_is_purged_meanwhile_ends_quietly_and_leaves_nothing(archive, agent):
    due, purged = agent.record(NOON), agent.record(NOON + US_PER_MINUTE)
    assert derive_now(archive, due, DUE) == "gone"

    def while_it_decodes(question, look):
        destroy(archive)
        return answering(question, look)

    assert derive_now(archive, purged, ask=while_it_decodes) == "gone"
    assert derive_now(archive, purged, NOON) == "gone"
    assert list(archive.store.names()) == []
    assert rows(archive) == set()


def test_a_purge_between_the_object_and_its_row_leaves_nothing(archive, agent):
    segment = agent.record(NOON)

    def fault(step):
        if step == "stored":
            destroy(archive)

    assert derive_now(archive, segment, fault=fault) == "gone"
    assert list(archive.store.names()) == []
    assert list(check(archive, deep=True)) == []


def test_a_day_whose_key_is_lost_fails_with_that_and_not_quietly(archive, agent):
    segment = agent.record(NOON)
    archive.store.keys.destroy("108", "2026-11-20", [], NOON)
    with pytest.raises(KeyGoneError):
        derive_now(archive, segment)


# --- kept as bytes ---


def test_contents_survive_their_bytes_and_nothing_else_is_taken_for_them():
    whole = derived.Contents(
        derived.Loudness(NOON, (0, None, 100)),
        (Thumbnail(NOON, b"one"), Thumbnail(NOON + 10 * US_PER_SECOND, b"another")),
    )
    data = whole.to_bytes()
    assert derived.Contents.from_bytes(data) == whole
    for wrong in (
        b"",
        data[:-1],
        data + b"x",
        data[:5],
        data[:12],
        b"X" + data[1:],
        data[:16] + b"\xff" * 40,
    ):
        with pytest.raises(ValueError):
            derived.Contents.from_bytes(wrong)
        with pytest.raises(AlteredError):
            derived.contents("108/2026-11-20/a.derived", wrong)
