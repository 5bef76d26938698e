"""What failed for good is told, on the board and on a page, with what to do about it, and tried again."""

from __future__ import annotations

import errno

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from archive import derive, figures_job, jobs
from archive.database import DatabaseError
from archive.disk_errors import DatabaseFullError
from archive.job_failure import FAILURES, failure_of
from archive.job_worker import JobWorker
from archive.media.process import MediaError, MediaTimeOutError
from archive.models import ArchiveMark, CustodyEvent, Job
from archive.reindex import HOLDS_UNCONFIRMED
from archive.sealed import AlteredError
from archive.store import StoreAwayError, StoreFullError
from recorder.instants import US_PER_DAY, US_PER_MINUTE, now_us
from retention import purge
from retention.errors import ClockError, ConfirmationError, HoldsUnconfirmedError, PurgeError
from retention.service import KIND, RetentionService
from retrieval_api import job_wording
from tests.footage import FakeAgent
from tests.web import Client


@pytest.fixture(autouse=True)
def no_job(archive) -> None:
    """Whatever the test before has left."""
    with archive.database.transaction() as session:
        for each in session.scalars(select(Job)):
            session.delete(each)


def add(archive, key, **more) -> int:
    with archive.database.transaction() as session:
        assert jobs.enqueue(session, KIND, key, now_us(), **more)
        return session.scalars(select(Job.id).where(Job.key == key)).one()


def fail(archive, key, error, failure="other") -> int:
    number = add(archive, key)
    with archive.database.transaction() as session:
        held = jobs.lease(session, now_us(), "one", {KIND})
        jobs.fail(session, held, error, now_us(), chance=0, for_good=True, failure=failure)
    return number


def state(archive, number) -> str:
    with archive.database.reading() as session:
        return session.get(Job, number).state


def work(archive) -> None:
    assert JobWorker(archive, RetentionService(archive).handlers()).run_one()


def test_where_nothing_is_to_be_done_nothing_is_told(archive, operator):
    assert "Усе виконано" in operator.get("/staff/jobs").text
    board = operator.get("/staff/board").text
    assert "не виконано" not in board
    assert "Знищення зупинено" not in board


def test_a_dead_letter_is_told_with_what_to_do_and_tried_again(archive, operator):
    number = fail(archive, "full", "no space left for 0198.mp4", "no_space")
    assert "1 завдання не виконано: планове знищення записів." in operator.get("/staff/board").text
    page = operator.get("/staff/jobs").text
    assert "не залишилося місця" in page
    assert "Звільніть місце" in page
    assert "no space left for 0198.mp4" in page
    english = operator.get("/staff/jobs?lang=en").text
    assert "Make room, then try again." in english
    assert operator.form("/staff/jobs?lang=uk", f"/staff/jobs/{number}/retry").status_code == 303
    assert state(archive, number) == "queued"
    assert "не виконано" not in operator.get("/staff/board").text
    again = operator.form("/staff/jobs", f"/staff/jobs/{number}/retry")
    assert again.status_code == 409
    assert "тим часом змінилося" in again.text
    with archive.database.reading() as session:
        event = session.scalars(select(CustodyEvent).order_by(CustodyEvent.sequence.desc())).first()
    assert (event.action, event.subject) == ("job_retried", f"job:{number}")
    assert event.actor.startswith("user:")


def test_what_waits_runs_or_failed_can_be_cancelled(archive, operator):
    dead = fail(archive, "dead", "ZeroDivisionError: a defect")
    later = add(archive, "later", not_before_us=now_us() + 60 * US_PER_MINUTE)
    running = add(archive, "now")
    with archive.database.transaction() as session:
        held = jobs.lease(session, now_us(), "one", {KIND})
        jobs.progress(session, held, 3, 1200)
    page = operator.get("/staff/jobs").text
    for told in ("Покажіть рядок нижче", "почнеться о", "3 з 1\u00a0200"):
        assert told in page
    for number in (dead, later, running):
        assert operator.form("/staff/jobs", f"/staff/jobs/{number}/cancel").status_code == 303
    assert [state(archive, each) for each in (dead, later, running)] == ["cancelled", "cancelled", "running"]
    assert "скасовується" in operator.get("/staff/jobs").text
    for number in (dead, 2**40):
        assert operator.form("/staff/jobs", f"/staff/jobs/{number}/cancel").status_code == 409


def test_what_a_dead_worker_left_is_told(archive, operator):
    add(archive, "killer", max_attempts=1)
    with archive.database.transaction() as session:
        assert jobs.lease(session, now_us(), "one", {KIND}, lease_us=0)
    assert "перервалося" in operator.get("/staff/jobs").text
    with archive.database.transaction() as session:
        assert jobs.lease(session, now_us() + 1, "two", {KIND}) is None
    assert "зупинявся посеред" in operator.get("/staff/jobs").text


def test_a_rebuilt_index_is_told_once_however_often_purge_was_refused(archive, operator):
    with archive.database.transaction() as session:
        session.add(ArchiveMark(name=HOLDS_UNCONFIRMED, value=str(now_us())))
    for hour in range(3):
        add(archive, f"hour {hour}")
        work(archive)
    board = operator.get("/staff/board").text
    assert "Знищення зупинено" in board
    assert "protokol hold confirm" in board
    assert "1 завдання не виконано" in board
    assert "не підтверджено заборони" in operator.get("/staff/jobs").text
    with archive.database.transaction() as session:
        session.delete(session.get(ArchiveMark, HOLDS_UNCONFIRMED))
    add(archive, "confirmed")
    work(archive)
    board = operator.get("/staff/board").text
    assert "Знищення зупинено" not in board
    assert "не виконано" not in board


def test_a_run_that_a_person_must_confirm_is_told_as_that(archive, operator):
    FakeAgent(archive).record(now_us() - 40 * US_PER_DAY)
    add(archive, "most of it")
    work(archive)
    assert "більше половини архіву" in operator.get("/staff/jobs").text


def test_it_is_for_those_whom_it_concerns(archive, url):
    number = fail(archive, "dead", "no")
    for role, seen in (("auditor", 200), ("admin", 200), ("clerk", 403), ("reviewer", 403)):
        with Client(base_url=url, timeout=30) as client:
            assert client.get("/staff/jobs").status_code == 303
            client.log_in(role)
            page = client.get("/staff/jobs")
            assert page.status_code == seen
            assert (f"/staff/jobs/{number}/retry" in page.text) == (role == "admin")
            assert ("Переглянути завдання" in client.get("/staff/board").text) == (seen == 200)
            assert client.post(f"/staff/jobs/{number}/retry").status_code == 403
            if role != "admin":
                form = client.form("/staff/board", f"/staff/jobs/{number}/cancel")
                assert form.status_code == 403
    assert state(archive, number) == "failed"


def test_thumbnails_that_wait_are_one_line_and_those_that_failed_say_why(archive, operator):
    for number in range(3):
        with archive.database.transaction() as session:
            jobs.enqueue(session, derive.KIND, f"derive:{number}", now_us())
    page = operator.get("/staff/jobs").text
    assert "Мініатюри і гучність: чекають 3 частини запису." in page
    assert "derive:" not in page
    with archive.database.transaction() as session:
        held = jobs.lease(session, now_us(), "one", {derive.KIND})
        error = MediaError("the decoding program was ended by SIGSEGV without an answer")
        failure = failure_of(error)
        jobs.fail(session, held, str(error), now_us(), chance=0, failure=failure, for_good=True)
    page = operator.get("/staff/jobs").text
    assert "чекають 2 частини запису" in page
    assert "зупинилася на ньому" in page
    assert "protokol archive derive" in page


def test_every_kind_of_job_has_words():
    assert {KIND, figures_job.KIND, derive.KIND} == set(job_wording.KINDS)
    assert job_wording.kind("of a later version").what


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_has_words_of_its_own(failure):
    words = job_wording.cause(failure)
    assert words.advice
    assert (words == job_wording.OTHER_CAUSE) == (failure == "other")
    assert job_wording.cause(None) == job_wording.cause("of a later version") == job_wording.OTHER_CAUSE


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (StoreAwayError("cannot read x: Input/output error"), "store_away"),
        (StoreFullError("no space left"), "no_space"),
        (MediaError("the decoding program said nothing"), "decoding_ended"),
        (MediaTimeOutError("the decoding program did not answer"), "decoding_slow"),
        (DatabaseFullError("no room left"), "no_space"),
        (OSError(errno.ENOSPC, "No space left on device"), "no_space"),
        (OperationalError("SELECT 1", {}, Exception("gone")), "database_away"),
        (DatabaseError("cannot open the database"), "database_away"),
        (HoldsUnconfirmedError("not confirmed"), "holds_unconfirmed"),
        (ConfirmationError("more than half"), "needs_confirmation"),
        (ClockError("an hour apart"), "clocks_differ"),
        (PurgeError("108: away", "store_away"), "store_away"),
        (AlteredError("108/x: altered"), "other"),
        (ZeroDivisionError(), "other"),
    ],
)
def test_a_failure_is_told_by_its_kind_and_not_by_its_text(error, failure):
    assert failure_of(error) == failure


def test_what_stopped_a_purge_is_on_the_page(archive, operator, monkeypatch):
    """A store that is away fails the days that hold something, each by itself: the job tells why."""
    agent = FakeAgent(archive, "228-a")
    agent.record(now_us() - 33 * US_PER_DAY)

    def away(self, names):
        raise StoreAwayError("cannot delete: Input/output error")

    monkeypatch.setattr(type(archive.store.raw), "delete", away)
    confirm = purge.plan(archive).digest
    report = purge.run(archive, actor="system", confirm=confirm)
    assert set(report.causes) == {"store_away"}
    add(archive, "away", max_attempts=1)
    work(archive)
    assert "Сховище не відповіло" in operator.get("/staff/jobs").text
