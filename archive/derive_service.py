"""The server's clock of thumbnails: looks every few seconds for segments that have none, and has a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from archive import derive
from archive.job_worker import JobWorker
from archive.system import Archive
from recorder import instants
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE, local_date
from recorder.logging import get_logger

_LOOK_EVERY_S = 10
# What arrives late, and what an older version took in: the whole index is asked less often.
_LOOK_AT_ALL_EVERY_US = 15 * US_PER_MINUTE
_RECENT_DAYS = 2
_BEGINNING = "0000-00-00"


class DeriveService:
    """Two threads: one that looks, one that works. A second server shares the work: jobs are leased."""

    def __init__(self, archive: Archive, clock: Callable[[], int] = instants.now_us) -> None:
        self._archive, self._clock = archive, clock
        self._worker = JobWorker(archive, derive.handlers(archive, clock), clock=clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="derive", daemon=True)
        self._looked_at_all_us: int | None = None
        self._log = get_logger()

    def start(self) -> None:
        self._worker.start()
        self._thread.start()

    def stop(self) -> None:
        """Returns when both threads have ended; a program under way is ended, its job done later."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._worker.stop()

    def round(self) -> None:
        """Look once. Raises nothing that is expected: the next round tries again."""
        at_us = self._clock()
        try:
            looks_at_all = (
                self._looked_at_all_us is None or abs(at_us - self._looked_at_all_us) >= _LOOK_AT_ALL_EVERY_US
            )
            with self._archive.database.reading() as session:
                zone = self._archive.timezone(session)
            today = local_date(at_us, zone)
            since = (today - timedelta(days=_RECENT_DAYS - 1)).isoformat()
            if looks_at_all:
                derive.forget_gone(self._archive)
            found = derive.enqueue_missing(self._archive, _BEGINNING if looks_at_all else since, at_us)
            if looks_at_all and found < derive.MAX_WAITING:
                # Else there is more: the next round goes on.
                self._looked_at_all_us = at_us
            if found:
                self._worker.wake()
        except (ProtokolError, SQLAlchemyError) as error:
            self._log.error("derive_not_looked", error=error)

    def _run(self) -> None:
        while True:
            self.round()
            if self._stop.wait(_LOOK_EVERY_S):
                return
