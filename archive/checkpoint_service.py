"""The server's clock of checkpoints: looks every minute whether the new day has its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from archive import time_stamp
from archive.checkpoint import make_checkpoint
from archive.system import Archive
from recorder import instants
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE
from recorder.logging import get_logger

_LOOK_EVERY_S = 60
# An authority that is away, or answers wrongly, is not asked by the minute.
_ASK_EVERY_US = 15 * US_PER_MINUTE


class CheckpointService:
    """One thread. A missed minute or a second server does no harm: what there is, is not made again."""

    def __init__(self, archive: Archive, clock: Callable[[], int] = instants.now_us) -> None:
        self._archive, self._clock = archive, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._asked_us: int | None = None
        self._newest = 0
        self._log = get_logger()

    def start(self) -> None:
        """Raises ConfigurationError for settings of a time stamp authority that cannot work."""
        time_stamp.anchors(self._archive.settings)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended: at once, or when an answer of the authority has come."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def round(self) -> None:
        """What is due now, once. Raises nothing that is expected: the next minute tries again."""
        at_us = self._clock()
        try:
            made = make_checkpoint(self._archive, at_us)
            waited = self._asked_us is None or abs(at_us - self._asked_us) >= _ASK_EVERY_US
            if made.number != self._newest or waited:
                self._newest, self._asked_us = made.number, at_us
                time_stamp.stamp_missing(self._archive)
        except (ProtokolError, SQLAlchemyError, OSError) as error:
            self._log.critical("checkpoint_not_made", alarm=True, error=error)

    def _run(self) -> None:
        while True:
            self.round()
            if self._stop.wait(_LOOK_EVERY_S):
                return
