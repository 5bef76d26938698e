"""Retention in the server process: a clock that calls the purge, and alarms where it may not act.

The schedule only decides *when somebody looks*: what is due, the policy decides anew each time. With a
job worker it inserts a job, once for all server processes, and a run that could not be done is tried
again and shown; without one, or when the job cannot be inserted, it runs at once. Two runs at the same
time do no harm either way (the room-day's lock lets one of them act), nor does a missed or a doubled
call around a change of the clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from archive import jobs
from archive.job_worker import Handler, HopelessError, JobWorker, Work
from archive.system import Archive
from recorder import instants
from recorder.errors import ProtokolError
from recorder.instants import format_instant
from recorder.logging import get_logger
from retention import holds, purge
from retention.errors import ConfirmationError, PurgeError

ACTOR = "system"
KIND = "purge"
# After midnight, so that SQLite's clock of whole seconds has passed it too.
_AFTER_MIDNIGHT_S = 5


class RetentionService:
    """Runs the purge at start, five seconds after each local midnight, and each hour.

    The hour is what bounds destruction after a hold ends, after a failed run, and where a local
    midnight does not exist; the law's bound is 24 hours.
    """

    def __init__(self, archive: Archive, *, system_clock: Callable[[], int] = instants.now_us) -> None:
        self._archive = archive
        self._worker: JobWorker | None = None
        self._has_asked = False
        self._clock = system_clock
        self._running = threading.Lock()
        self._log = get_logger()
        # Memory store and UTC: a stored schedule runs twice with two processes, a local one twice in
        # autumn. Without a grace time, a call that comes late (suspended machine) is dropped silently.
        self._scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def start(self) -> None:
        """Returns at once; the first run is under way soon after. Raises ConfigurationError."""
        with self._archive.database.reading() as session:
            timezone = self._archive.timezone(session)
        midnight = CronTrigger(hour=0, minute=0, second=_AFTER_MIDNIGHT_S, timezone=timezone)
        self._scheduler.add_job(self._ask, midnight, args=["midnight"], id="midnight")
        self._scheduler.add_job(
            self._ask, IntervalTrigger(hours=1), args=["hour"], id="hourly", next_run_time=datetime.now(UTC)
        )
        self._scheduler.start()

    def handlers(self) -> dict[str, Handler]:
        """What a job worker needs to do this service's jobs; give it back by `use`, before `start`."""
        return {KIND: Handler(self._work, supersedes=True)}

    def use(self, worker: JobWorker) -> None:
        self._worker = worker

    def _ask(self, occasion: str) -> None:
        """Insert the run of this hour, or of this midnight; another process may have done so."""
        if self._worker is None:
            self.run_once()
            return
        try:
            with self._archive.database.transaction() as session:
                jobs.enqueue(session, KIND, self._key(occasion), self._clock())
        except SQLAlchemyError as error:
            # A full disk refuses the job's row: only a run, which unlinks first, can make room for it.
            self._log.error("purge_not_enqueued", error=str(error))
            self.run_once()
            return
        self._worker.wake()

    def _key(self, occasion: str) -> str:
        """One for each hour of UTC and each midnight; and one for each process, for its first run: that
        of the hour may be another one's, which has died.
        """
        at_us = self._clock()
        if not self._has_asked and self._worker is not None:
            self._has_asked = True
            return f"{KIND}:start:{self._worker.owner}"
        return f"{KIND}:{occasion}:{format_instant(at_us)[:13]}"

    def _work(self, work: Work) -> None:
        """The job's handler. Raises what tells the worker to try again, or, where a person must confirm
        first, not to.
        """
        del work
        report = self.run_once(raising=True)
        if report is not None and report.failures:
            raise PurgeError("; ".join(report.failures[:5]), report.causes[0])

    def stop(self) -> None:
        """Returns when no run is under way any more; does nothing where `start` was not called.

        A run takes seconds; one that is stopped by force loses nothing.
        """
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def run_once(self, *, raising: bool = False) -> purge.Report | None:
        """One run, and the alarms. None when it was not done: another is under way, or it was refused.

        Raises nothing that a purge is expected to: the next call tries again. With `raising`, a refused
        run is raised after its alarm: HopelessError where a person must confirm it.
        """
        if not self._running.acquire(blocking=False):
            return None
        try:
            self._alarm_expired()
            report = purge.run(self._archive, actor=ACTOR, system_clock=self._clock)
        except ConfirmationError as error:
            self._log.critical("purge_needs_confirmation", alarm=True, reason=str(error))
            if raising:
                raise HopelessError(str(error), error.failure) from error
            return None
        except (ProtokolError, SQLAlchemyError, OSError) as error:
            self._log.critical("purge_not_done", alarm=True, error=error)
            if raising:
                raise
            return None
        finally:
            self._running.release()
        if report.failures:
            self._log.critical("purge_incomplete", alarm=True, failures=report.failures)
        return report

    def _alarm_expired(self) -> None:
        with self._archive.database.reading() as session:
            expired = holds.expired_alarms(session, self._clock())
        for hold in expired:
            self._log.warning(
                "hold_expired",
                alarm=True,
                hold=hold.id,
                room=hold.room,
                expired=format_instant(hold.expires_us or 0),
            )
