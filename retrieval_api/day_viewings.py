"""The viewings of whole days: a player asks for a part every two seconds, and all of that is one look.

A viewing is opened durably before the first byte. What was served is gathered here and written down now and
then, so that a part costs no write of its own: a process that is killed forgets at most the last of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from archive import viewing
from archive.door import Ground
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from recorder.intervals import Interval
from recorder.logging import get_logger

_log = get_logger()
_WRITE_EVERY_S = 20
_WRITE_EVERY_US = _WRITE_EVERY_S * US_PER_SECOND
# A viewing of which nothing was written for five minutes is closed as idle, whatever is asked meanwhile.
_REOPEN_AFTER_US = US_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks at which time of which room (an id), on what ground."""

    actor: str
    room_id: str
    interval: Interval
    ground: Ground


@dataclass(slots=True)
class _Open:
    """`written_us`: when the database was last told that it is looked at; `seen_us`: when it was."""

    viewing_id: int
    seen_us: int
    written_us: int
    served: Interval | None = None
    served_bytes: int = 0

    def add(self, interval: Interval | None, size_bytes: int) -> None:
        self.served_bytes += size_bytes
        if interval is not None:
            before = self.served or interval
            self.served = Interval(
                min(before.start_us, interval.start_us), max(before.end_us, interval.end_us)
            )


class DayViewings:
    """Of one process; safe to share between threads."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lock = threading.Lock()
        self._open: dict[Look, _Open] = {}
        self._timer: threading.Timer | None = None

    def open(self, look: Look, now_us: int) -> None:
        """Durable, with its custody event, on return."""
        with self._lock:
            known = self._open.get(look)
            if known is not None and 0 <= now_us - known.written_us <= _REOPEN_AFTER_US:
                known.seen_us = now_us
                return
        self.write(now_us)
        viewing_id = viewing.open_viewing(
            self._archive, look.actor, look.room_id, look.interval, look.ground, now_us
        )
        with self._lock:
            known = self._open.get(look)
            if known is not None and known.viewing_id == viewing_id:
                # Taken up again, or opened by two requests at once: what one of them has served stays.
                known.seen_us = known.written_us = now_us
            else:
                self._open[look] = _Open(viewing_id, now_us, now_us)

    def served(self, look: Look, interval: Interval | None, size_bytes: int, now_us: int) -> None:
        """To be written down within 20 s, or at `write`."""
        with self._lock:
            known = self._open.get(look)
            if known is None:
                return
            known.seen_us = max(known.seen_us, now_us)
            known.add(interval, size_bytes)
            due = now_us - known.written_us >= _WRITE_EVERY_US
            if not due and self._timer is None:
                self._timer = threading.Timer(_WRITE_EVERY_S, self._write_later)
                self._timer.daemon = True
                self._timer.start()
        if due:
            self.write(now_us)

    def write(self, now_us: int | None = None) -> None:
        """All that was served so far is in the database on return; what could not be written stays due."""
        with self._lock:
            taken = [
                (each, each.served, each.served_bytes) for each in self._open.values() if each.served_bytes
            ]
            for each, _, _ in taken:
                each.served, each.served_bytes = None, 0
                each.written_us = each.seen_us if now_us is None else now_us
            if now_us is not None:
                self._open = {
                    look: each
                    for look, each in self._open.items()
                    if now_us - each.seen_us <= _REOPEN_AFTER_US or each.served_bytes
                }
        while taken:
            each, interval, size_bytes = taken[-1]
            try:
                viewing.served(self._archive, each.viewing_id, interval, size_bytes, each.seen_us)
            except BaseException:
                with self._lock:
                    for unwritten, its_interval, its_bytes in taken:
                        unwritten.add(its_interval, its_bytes)
                raise
            taken.pop()

    def close(self) -> None:
        """At the end of the process."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._write_later()

    def _write_later(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.write()
        except (ProtokolError, SQLAlchemyError) as error:
            _log.error("served_not_written", error=error)
