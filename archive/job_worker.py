"""The worker: a thread that leases jobs, runs their handlers one at a time, and keeps their leases."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from archive import jobs
from archive.job_failure import Failure, failure_of
from archive.jobs import JobCancelledError, Lease, LeaseLostError
from archive.system import Archive
from recorder import instants
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.logging import get_logger

_log = get_logger()
# A job that becomes due by itself, or that another process inserted, waits this long at most.
_POLL_S = 5.0


class HopelessError(ProtokolError):
    """A handler's word that trying again is of no use: the job becomes a dead letter at once."""

    def __init__(self, message: str, failure: Failure = "other") -> None:
        super().__init__(message)
        self.failure = failure


class LaterError(ProtokolError):
    """A handler's word that what it needs is away: it says nothing about the job, which waits for it, and for
    its next attempt, however long that takes.
    """


class StoppingError(ProtokolError):
    """The worker stops: the handler leaves, and the job is done later, by this process or another."""


class Work:
    """What a handler is given: the job, and the way to tell how far it is."""

    def __init__(self, archive: Archive, held: Lease, stopping: threading.Event) -> None:
        self.lease = held
        self._archive, self._stopping = archive, stopping
        self.lost: ProtokolError | None = None

    def look(self) -> None:
        """Call it where the work may be left. Raises JobCancelledError, LeaseLostError, StoppingError: let
        them through.
        """
        if self.lost is not None:
            raise self.lost
        if self._stopping.is_set():
            raise StoppingError("the server stops")

    def progress(self, done: int, total: int) -> None:
        """As `look`, and tell how far it is."""
        self.look()
        with self._archive.database.transaction() as session:
            jobs.progress(session, self.lease, done, total)


@dataclass(frozen=True, slots=True)
class Handler:
    """What does a kind of job. `supersedes`: the end of one, good or bad, settles every earlier failure of
    the kind. Without `is_kept`, a job that is done leaves no row.
    """

    run: Callable[[Work], None]
    supersedes: bool = False
    is_kept: bool = True


class JobWorker:
    """Leases jobs of the kinds it has handlers for. Several workers, in any number of processes, share them.

    While a handler runs its lease is renewed, however long it takes: only a process that has died is taken
    over. What a handler raises, a defect included, fails that job and never the worker.
    """

    def __init__(
        self,
        archive: Archive,
        handlers: Mapping[str, Handler],
        *,
        clock: Callable[[], int] = instants.now_us,
        lease_us: int = jobs.LEASE_US,
    ) -> None:
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._archive, self._handlers = archive, dict(handlers)
        self._clock, self._lease_us = clock, lease_us
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something was enqueued: look now."""
        self._wake.set()

    def stop(self) -> None:
        """Returns when the handler under way has ended, or left at its next progress call."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def run_one(self) -> bool:
        """Lease one job and run it, in this thread; False when none may begin. Raises SQLAlchemyError when
        the database is away.
        """
        kinds = self._handlers.keys()
        with self._archive.database.reading() as session:
            # Looking costs no write lock.
            if not jobs.is_waiting(session, self._clock(), kinds):
                return False
        with self._archive.database.transaction() as session:
            held = jobs.lease(session, self._clock(), self.owner, kinds, self._lease_us)
        if held is None:
            return False
        work = Work(self._archive, held, self._stopping)
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(work, ended), name="lease", daemon=True)
        keeper.start()
        try:
            end = self._handled(work)
        finally:
            ended.set()
            keeper.join()
        try:
            with self._archive.database.transaction() as session:
                end(session)
        except LeaseLostError as error:
            _log.warning("job_lease_lost", job=held.id, kind=held.kind, reason=str(error))
        return True

    def _handled(self, work: Work) -> Callable[[Session], object]:
        """Run the handler; what is to be written of its end."""
        held, handler = work.lease, self._handlers[work.lease.kind]
        log = _log.bind(job=held.id, kind=held.kind, key=held.key, attempt=held.attempt)
        try:
            handler.run(work)
        except JobCancelledError:
            log.info("job_cancelled")
            return lambda session: jobs.end_cancelled(session, held, self._clock())
        except StoppingError:
            return lambda session: jobs.give_back(session, held, self._clock())
        except LaterError as error:
            reason, failure = str(error), failure_of(error.__cause__ or error)
            log.warning("job_waits", reason=reason)
            return lambda session: jobs.put_off(session, held, reason, self._clock(), failure=failure)
        except Exception as error:
            # Whatever it is: the next job must find its worker alive.
            for_good = isinstance(error, HopelessError)
            expected = isinstance(error, ProtokolError | SQLAlchemyError | OSError)
            log.exception("job_failed", error=str(error), exc_info=None if expected else error)
            reason = f"{type(error).__name__}: {error}" if not expected else str(error)
            failure = failure_of(error)
            return lambda session: self._fail(session, held, reason, failure, handler, for_good=for_good)
        if not handler.is_kept:
            return lambda session: jobs.drop(session, held)
        return lambda session: jobs.finish(session, held, self._clock(), supersedes=handler.supersedes)

    def _fail(
        self,
        session: Session,
        held: Lease,
        reason: str,
        failure: Failure,
        handler: Handler,
        *,
        for_good: bool,
    ) -> None:
        state = jobs.fail(
            session,
            held,
            reason,
            self._clock(),
            chance=random.random(),
            failure=failure,
            for_good=for_good,
            supersedes=handler.supersedes,
        )
        if state == "failed":
            _log.critical("job_dead", alarm=True, job=held.id, kind=held.kind, key=held.key, reason=reason)

    def _keep(self, work: Work, ended: threading.Event) -> None:
        while not ended.wait(self._lease_us / US_PER_SECOND / 3):
            try:
                with self._archive.database.transaction() as session:
                    jobs.renew(session, work.lease, self._clock(), self._lease_us)
            except (LeaseLostError, JobCancelledError) as error:
                work.lost = error
                return
            except SQLAlchemyError as error:
                # The database may be back before the lease has run out.
                _log.warning("job_lease_not_renewed", job=work.lease.id, error=str(error))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                worked = self.run_one()
            except Exception as error:  # noqa: BLE001 (a database that is away must not end the worker)
                _log.error("job_worker_failed", error=str(error))
                worked = False
            if not worked:
                self._wake.wait(_POLL_S)
                self._wake.clear()
