"""The server's own retention: runs at start, refuses and alarms where it may not act."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
import structlog
from sqlalchemy import func, select

from archive.job_worker import JobWorker
from archive.models import Certificate, Job, RoomDay, Segment
from archive.system import Archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, now_us, to_us
from recorder.intervals import Interval
from retention import holds
from retention.service import RetentionService
from tests.footage import FakeAgent, make_archive
from tests.processes import wait_for

pytestmark = pytest.mark.both_databases


@pytest.fixture
def archive(tmp_path, database_url):
    """A council's archive, not a demo: one room-day long due, one of yesterday."""
    archive = make_archive(tmp_path, demo=False, database_url=database_url)
    agent = FakeAgent(archive)
    agent.record(now_us() - 60 * US_PER_DAY)
    agent.record(now_us() - US_PER_DAY)
    yield archive
    archive.close()


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as lines:
        yield lines


def segments(archive: Archive) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Segment))


def certificates(archive: Archive) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Certificate))


def test_it_destroys_what_is_due_at_start_and_stops_without_a_thread_left(archive):
    threads = threading.active_count()
    service = RetentionService(archive)
    service.start()
    until = time.monotonic() + 20
    while certificates(archive) == 0 and time.monotonic() < until:
        time.sleep(0.02)
    service.stop()
    assert (segments(archive), certificates(archive)) == (1, 1)
    assert threading.active_count() == threads


def test_it_looks_again_within_the_hour_and_just_after_the_local_midnight(archive):
    service = RetentionService(archive)
    service.start()
    jobs = {job.id: job for job in service._scheduler.get_jobs()}
    service.stop()
    evening = datetime(2026, 11, 20, 21, 59, tzinfo=UTC)
    fires = jobs["midnight"].trigger.get_next_fire_time(None, evening)
    assert to_us(fires) == to_us(datetime(2026, 11, 20, 22, 0, 5, tzinfo=UTC))
    assert jobs["hourly"].trigger.interval.total_seconds() == 3600
    assert jobs["midnight"].misfire_grace_time is None


def test_a_run_that_needs_confirmation_alarms_and_destroys_nothing(archive, logged):
    with archive.database.transaction() as session:
        session.execute(RoomDay.__table__.update().values(due_us=1))
    assert RetentionService(archive).run_once() is None
    assert segments(archive) == 2
    (alarm,) = [line for line in logged if line["event"] == "purge_needs_confirmation"]
    assert alarm["log_level"] == "critical"
    assert "--confirm" in alarm["reason"]


def test_a_wrong_clock_alarms_and_destroys_nothing(archive, logged):
    service = RetentionService(archive, system_clock=lambda: now_us() + 10 * US_PER_MINUTE)
    assert service.run_once() is None
    assert segments(archive) == 2
    assert [line["event"] for line in logged] == ["purge_not_done"]


def test_an_expired_hold_alarms_at_every_run_and_keeps(archive, logged):
    at_us = now_us()
    order = holds.HoldOrder(
        "108",
        Interval(at_us - 2 * US_PER_DAY, at_us),
        "inquiry",
        "order 5",
        "user:3",
        expires_us=at_us - US_PER_MINUTE,
    )
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], at_us)
    for _ in range(2):
        RetentionService(archive).run_once()
    assert [line["event"] for line in logged].count("hold_expired") == 2


def test_two_runs_at_once_are_one(archive):
    service = RetentionService(archive)
    service._running.acquire()
    assert service.run_once() is None
    service._running.release()
    assert len(service.run_once().days) == 1


@pytest.fixture
def with_jobs(archive):
    """A service as the server runs it: its clock inserts jobs, a worker does them."""
    service = RetentionService(archive)
    worker = JobWorker(archive, service.handlers())
    service.use(worker)
    yield service, worker
    service.stop()
    worker.stop()


def the_jobs(archive: Archive) -> list[Job]:
    with archive.database.reading() as session:
        return list(session.scalars(select(Job).order_by(Job.id)))


def test_as_jobs_it_destroys_what_is_due_at_start(archive, with_jobs):
    service, worker = with_jobs
    worker.start()
    service.start()
    wait_for(lambda: certificates(archive) == 1, 30, "the due day is certified")
    wait_for(lambda: [job.state for job in the_jobs(archive)] == ["done"], 30, "the job is done")
    assert segments(archive) == 1


def test_two_clocks_make_one_job_of_an_hour(archive, with_jobs):
    other = RetentionService(archive)
    other.use(JobWorker(archive, other.handlers()))
    at_us = now_us()
    for service in (with_jobs[0], other):
        service._clock = lambda: at_us
        service._ask("hour")
        service._ask("hour")
    keys = [job.key for job in the_jobs(archive)]
    assert sorted(key.split(":")[1] for key in keys) == ["hour", "start", "start"]


def test_a_run_that_needs_confirmation_is_a_dead_letter_until_one_succeeds(archive, with_jobs, logged):
    service, worker = with_jobs
    with archive.database.transaction() as session:
        due = dict(session.execute(select(RoomDay.date, RoomDay.due_us)).all())
        session.execute(RoomDay.__table__.update().values(due_us=1))
    service._ask("hour")
    assert worker.run_one()
    (job,) = the_jobs(archive)
    assert job.state == "failed"
    assert "--confirm" in job.last_error
    assert segments(archive) == 2
    assert {"purge_needs_confirmation", "job_dead"} <= {line["event"] for line in logged}
    with archive.database.transaction() as session:
        for date, due_us in due.items():
            session.execute(RoomDay.__table__.update().where(RoomDay.date == date).values(due_us=due_us))
    service._ask("hour")
    assert worker.run_one()
    assert [job.state for job in the_jobs(archive)] == ["cancelled", "done"]


def test_a_wrong_clock_is_tried_again_later(archive, with_jobs):
    service, worker = with_jobs
    service._ask("hour")
    service._clock = lambda: now_us() + 10 * US_PER_MINUTE
    assert worker.run_one()
    (job,) = the_jobs(archive)
    assert (job.state, job.attempts) == ("queued", 1)
    assert job.not_before_us > now_us()
