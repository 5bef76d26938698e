"""The job table and its worker, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from archive import jobs
from archive.database import Database
from archive.job_worker import Handler, HopelessError, JobWorker
from archive.jobs import JobCancelledError, JobError, LeaseLostError
from archive.models import CustodyEvent, Job
from bench.warm import environment
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND
from tests.processes import protokol, protokol_json, wait_for

pytestmark = pytest.mark.both_databases
ROOT = Path(__file__).parents[2]
# Long past: a worker that goes by the real clock finds it due.
T0 = 1_700_000_000_000_000
KINDS = {"purge"}


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    database.migrate()
    yield database
    database.dispose()


def add(database, key="a", kind="purge", **more):
    with database.transaction() as session:
        return jobs.enqueue(session, kind, key, T0, **more)


def take(database, now_us=T0, owner="one", kinds=KINDS):
    with database.transaction() as session:
        return jobs.lease(session, now_us, owner, kinds)


def job(database, key="a"):
    with database.reading() as session:
        return session.scalars(select(Job).where(Job.key == key)).one()


def do(database, what, *arguments, **more):
    with database.transaction() as session:
        return what(session, *arguments, **more)


def test_a_key_is_inserted_once(database):
    assert add(database, payload={"day": "вчора"})
    assert not add(database, payload={"day": "інший"})
    held = take(database)
    assert held.payload == {"day": "вчора"}
    do(database, jobs.finish, held, T0)
    assert not add(database)
    assert take(database) is None


def test_only_what_is_due_and_of_ones_kinds_is_leased_the_oldest_first(database):
    add(database, "later", not_before_us=T0 + 2)
    add(database, "soon", not_before_us=T0 + 1)
    add(database, "other", kind="release")
    assert take(database) is None
    assert [take(database, T0 + 2).key for _ in range(2)] == ["soon", "later"]
    assert take(database, T0 + 2) is None


def test_a_lease_that_ran_out_is_taken_over_and_the_first_owner_has_no_say_any_more(database):
    add(database)
    first = take(database)
    do(database, jobs.renew, first, T0 + 30 * US_PER_SECOND)
    assert take(database, T0 + jobs.LEASE_US) is None
    second = take(database, T0 + 30 * US_PER_SECOND + jobs.LEASE_US, "two")
    assert second.attempt == 2
    for late in (jobs.finish, jobs.renew, jobs.give_back):
        with pytest.raises(LeaseLostError):
            do(database, late, first, T0)
    # The same process may have it again: the attempt tells the leases apart.
    third = take(database, T0 + 10 * jobs.LEASE_US, "one")
    with pytest.raises(LeaseLostError):
        do(database, jobs.fail, first, "late", T0, chance=0)
    do(database, jobs.finish, third, T0)
    assert job(database).state == "done"


def test_what_fails_comes_again_after_its_back_off_and_is_a_dead_letter_in_the_end(database):
    add(database, max_attempts=3)
    at_us = T0
    for attempt in (1, 2):
        held = take(database, at_us)
        assert do(database, jobs.fail, held, f"no {attempt}", at_us, chance=0) == "queued"
        at_us += jobs.backoff_us(attempt, 0)
        assert take(database, at_us - 1) is None
    assert do(database, jobs.fail, take(database, at_us), "no 3", at_us, chance=0) == "failed"
    assert take(database, at_us + US_PER_DAY) is None
    found = job(database)
    assert (found.state, found.last_error, found.attempts) == ("failed", "no 3", 3)


def test_a_job_that_kills_its_workers_becomes_a_dead_letter(database):
    add(database, max_attempts=2)
    assert take(database).attempt == 1
    assert take(database, T0 + jobs.LEASE_US).attempt == 2
    assert take(database, T0 + 2 * jobs.LEASE_US) is None
    assert job(database).state == "failed"
    assert "without a word" in job(database).last_error


def test_a_dead_letter_is_retried_by_hand_and_told(database):
    add(database, max_attempts=1)
    do(database, jobs.fail, take(database), "no", T0, chance=0)
    assert do(database, jobs.retry, 1, "cli:0", T0 + 5) == "queued"
    assert take(database, T0 + 5).attempt == 1
    with pytest.raises(JobError, match="running"):
        do(database, jobs.retry, 1, "cli:0", T0)
    with database.reading() as session:
        assert session.scalars(select(CustodyEvent.action)).all() == ["job_retried"]


def test_a_queued_job_is_cancelled_at_once_a_running_one_when_it_looks(database):
    add(database)
    assert do(database, jobs.cancel, 1, "user:3", T0) == "cancelled"
    assert take(database) is None
    add(database, "b")
    held = take(database)
    do(database, jobs.progress, held, 1, 10)
    assert do(database, jobs.cancel, 2, "user:3", T0) == "running"
    for look in (lambda s: jobs.progress(s, held, 2, 10), lambda s: jobs.renew(s, held, T0)):
        with pytest.raises(JobCancelledError):
            do(database, look)
    do(database, jobs.end_cancelled, held, T0)
    found = job(database, "b")
    assert (found.state, found.progress_done, found.progress_total) == ("cancelled", 1, 10)
    for number, why in ((2, "cancelled already"), (3, "no job")):
        with pytest.raises(JobError, match=why):
            do(database, jobs.cancel, number, "user:3", T0)


def test_a_cancelled_job_whose_worker_died_is_not_begun_again(database):
    add(database)
    take(database)
    do(database, jobs.cancel, 1, "user:3", T0)
    assert take(database, T0 + jobs.LEASE_US) is None
    assert job(database).state == "cancelled"


def test_a_later_success_settles_earlier_failures_of_its_kind_alone(database):
    add(database, "old")
    add(database, "other", kind="release")
    do(database, jobs.fail, take(database), "no", T0, chance=0, for_good=True)
    do(database, jobs.fail, take(database, kinds={"release"}), "no", T0, chance=0, for_good=True)
    add(database, "new")
    do(database, jobs.finish, take(database), T0, supersedes=True)
    assert (job(database, "old").state, job(database, "other").state) == ("cancelled", "failed")
    with database.reading() as session:
        assert jobs.counts(session) == {"queued": 0, "running": 0, "done": 1, "failed": 1, "cancelled": 1}
        assert jobs.shown(session)[0].key == "other"


def test_what_fails_each_hour_is_one_dead_letter_the_newest(database):
    for key in ("first", "second"):
        add(database, key)
        do(database, jobs.fail, take(database), "no", T0, chance=0, for_good=True, supersedes=True)
    assert (job(database, "first").state, job(database, "second").state) == ("cancelled", "failed")
    with database.reading() as session:
        assert jobs.dead_letters(session) == {"purge": 1}


def test_a_dead_letter_that_nobody_needs_is_settled_by_hand(database):
    add(database)
    do(database, jobs.fail, take(database), "no", T0, chance=0, for_good=True)
    assert do(database, jobs.cancel, 1, "user:3", T0) == "cancelled"
    with database.reading() as session:
        assert jobs.dead_letters(session) == {}


def test_what_is_over_is_forgotten_after_a_month_and_dead_letters_are_not(database):
    add(database, "done")
    do(database, jobs.finish, take(database), T0)
    add(database, "dead")
    do(database, jobs.fail, take(database), "no", T0, chance=0, for_good=True)
    do(database, jobs.forget, T0 + 30 * US_PER_DAY - 1)
    assert job(database, "done")
    do(database, jobs.forget, T0 + 30 * US_PER_DAY)
    with database.reading() as session:
        assert session.scalars(select(Job.key)).all() == ["dead"]


TAKER = """
import sys
from archive import jobs
from archive.database import Database
database = Database(sys.argv[1])
while True:
    with database.transaction() as session:
        held = jobs.lease(session, 2_000_000_000_000_000, sys.argv[2], {"purge"})
        if held is None:
            break
        jobs.finish(session, held, 2_000_000_000_000_000)
    print(held.key)
"""


def test_processes_that_take_at_once_take_each_job_once(database, database_url):
    with database.transaction() as session:
        for number in range(150):
            jobs.enqueue(session, "purge", f"{number}", T0)
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, database_url, f"taker {number}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    said = [taker.communicate(timeout=60) for taker in takers]
    assert [(taker.returncode, err) for taker, (_, err) in zip(takers, said, strict=True)] == [(0, "")] * 3
    taken = [key for out, _ in said for key in out.split()]
    assert sorted(taken, key=int) == [f"{number}" for number in range(150)]


def test_two_clocks_that_insert_at_once_insert_one_job(database):
    barrier, inserted = threading.Barrier(4), []

    def clock():
        barrier.wait(30)
        inserted.extend(add(database, f"hour {hour}") for hour in range(20))

    clocks = [threading.Thread(target=clock) for _ in range(4)]
    for each in clocks:
        each.start()
    for each in clocks:
        each.join()
    assert sum(inserted) == 20


def test_the_command_lists_retries_and_cancels(archive, database_url, tmp_path):
    add(archive.database, max_attempts=1)
    do(archive.database, jobs.fail, take(archive.database), "no", T0, chance=0)
    env = environment(tmp_path, 1, PROTOKOL_DATABASE_URL=database_url)
    (told,) = protokol_json(env, "archive", "jobs", expect=1)
    assert (told["id"], told["state"], told["last_error"]) == (1, "failed", "no")
    assert "is queued" in protokol(env, "archive", "jobs", "retry", "1").stderr
    assert "is cancelled" in protokol(env, "archive", "jobs", "cancel", "1").stderr
    assert "cancelled" in protokol(env, "archive", "jobs").stdout
    assert "no job 7" in protokol(env, "archive", "jobs", "retry", "7", expect=2).stderr


# --- the worker


@pytest.fixture
def working(archive):
    """Makes workers over the archive, and ends their threads."""
    made = []

    def worker(run, **more):
        made.append(JobWorker(archive, {"purge": Handler(run)}, **more))
        return made[-1]

    yield worker
    for each in made:
        each.stop()


def test_a_worker_does_what_is_enqueued_and_ends(archive, working):
    done = threading.Event()
    worker = working(lambda work: done.set())
    worker.start()
    add(archive.database)
    worker.wake()
    assert done.wait(30)
    wait_for(lambda: job(archive.database).state == "done", 30, "the job is done")
    worker.stop()
    assert not worker._thread.is_alive()


def test_a_defect_fails_the_job_and_the_worker_goes_on(archive, working):
    def run(work):
        if work.lease.key == "bad":
            raise ZeroDivisionError("a defect")

    worker = working(run)
    add(archive.database, "bad", max_attempts=1)
    add(archive.database, "good")
    worker.start()
    wait_for(lambda: job(archive.database, "good").state == "done", 30, "the next job is done")
    assert (job(archive.database, "bad").state, job(archive.database, "bad").last_error) == (
        "failed",
        "ZeroDivisionError: a defect",
    )


def test_a_hopeless_job_is_not_tried_again(archive, working):
    def run(work):
        raise HopelessError("a person must say so")

    add(archive.database)
    assert working(run, clock=lambda: T0).run_one()
    assert (job(archive.database).state, job(archive.database).attempts) == ("failed", 1)


def test_a_running_job_ends_where_it_looks_after_it_was_cancelled(archive, working):
    def run(work):
        work.progress(1, 2)
        do(archive.database, jobs.cancel, work.lease.id, "user:3", T0)
        work.progress(2, 2)
        raise AssertionError("went on")

    add(archive.database)
    assert working(run, clock=lambda: T0).run_one()
    assert (job(archive.database).state, job(archive.database).progress_done) == ("cancelled", 1)


def test_a_worker_that_stops_gives_its_job_back_without_an_attempt(archive, working):
    begun = threading.Event()

    def run(work):
        begun.set()
        while True:
            work.progress(1, 2)

    worker = working(run)
    add(archive.database)
    worker.start()
    assert begun.wait(30)
    worker.stop()
    found = job(archive.database)
    assert (found.state, found.attempts, found.last_error) == ("queued", 0, None)


def test_a_long_job_keeps_its_lease(archive, working):
    """Nobody takes over what is still being worked at, though it tells no progress."""
    release = threading.Event()
    first = working(lambda work: release.wait(60), lease_us=US_PER_SECOND)
    add(archive.database)
    first.start()
    wait_for(lambda: job(archive.database).state == "running", 30, "it runs")
    until_us = job(archive.database).lease_until_us
    wait_for(lambda: job(archive.database).lease_until_us > until_us, 30, "the lease is renewed")
    release.set()
    wait_for(lambda: job(archive.database).state == "done", 30, "it is done")
    assert job(archive.database).attempts == 1


def test_a_worker_outlives_a_database_that_is_away(archive, working):
    def run(work):
        raise SQLAlchemyError("away")

    worker = working(run, clock=lambda: T0 + US_PER_MINUTE)
    add(archive.database)
    assert worker.run_one()
    assert (job(archive.database).state, job(archive.database).last_error) == ("queued", "away")
