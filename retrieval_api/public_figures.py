"""What everybody may know of a month: hours recorded against planned, gaps by cause, answers on time.

Numbers of whole days up to yesterday, by month and by room; no day, no time, no request of anybody. They are
kept in memory, so that however many ask, the database is asked once in ten minutes, by one of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from archive import day_figures, month
from archive.figures import Figures
from archive.system import Archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, local_date, local_midnight_us
from recorder.intervals import Interval
from retrieval_api.requests.timeliness import Timeliness, registered_in

_FRESH_US = 10 * US_PER_MINUTE
# Of a month whose days are all destroyed nothing changes any more.
_OLD_DAYS = 62
_OLD_FRESH_US = US_PER_DAY
_KEPT_MONTHS = 600


@dataclass(frozen=True, slots=True)
class RoomFigures:
    room: str
    label: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """`through` is the last day that is counted; `pending_us` of all figures is 0: what is still on its way
    was not planned yet.
    """

    month: date
    through: date
    rooms: tuple[RoomFigures, ...]
    requests: Timeliness

    @property
    def is_complete(self) -> bool:
        return self.through == month.bounds(self.month)[1]

    @property
    def figures(self) -> Figures:
        return sum((each.figures for each in self.rooms), Figures())


class PublicFigures:
    """Months of one archive. Safe to share between threads: one reads, the others wait for it."""

    def __init__(self, archive: Archive, clock: Callable[[], int]) -> None:
        self._archive, self._clock = archive, clock
        self._lock = threading.Lock()
        self._first: tuple[int, date] | None = None
        self._months: OrderedDict[date, tuple[int, MonthFigures]] = OrderedDict()

    def months(self) -> list[date]:
        """The months of which there is a day to be counted, the newest first."""
        with self._lock:
            now_us = self._clock()
            if self._first is None or not 0 <= now_us - self._first[0] < _FRESH_US:
                with self._archive.database.reading() as session:
                    first = day_figures.first_date(session, self._archive.configurations)
                self._first = now_us, first
            last = self._yesterday(now_us)
            found = []
            each = last.replace(day=1)
            while last >= self._first[1] and each >= self._first[1].replace(day=1):
                found.append(each)
                each = month.previous(each)
            return found

    def of(self, wanted: date) -> MonthFigures:
        """Of one of `months`, by its first day; at most ten minutes old."""
        with self._lock:
            now_us = self._clock()
            made_us, kept = self._months.get(wanted, (0, None))
            yesterday = self._yesterday(now_us)
            is_old = yesterday - month.bounds(wanted)[1] > timedelta(days=_OLD_DAYS)
            if kept is None or not 0 <= now_us - made_us < (_OLD_FRESH_US if is_old else _FRESH_US):
                kept = self._read(wanted, yesterday, now_us)
                self._months[wanted] = now_us, kept
            self._months.move_to_end(wanted)
            while len(self._months) > _KEPT_MONTHS:
                self._months.popitem(last=False)
            return kept

    def _yesterday(self, now_us: int) -> date:
        with self._archive.database.reading() as session:
            return local_date(now_us, self._archive.timezone(session)) - timedelta(days=1)

    def _read(self, wanted: date, yesterday: date, now_us: int) -> MonthFigures:
        first, last = month.bounds(wanted)
        through = min(last, yesterday)
        configurations = self._archive.configurations
        with self._archive.database.reading() as session:
            zone = self._archive.timezone(session)
            midnight_us = local_midnight_us(through + timedelta(days=1), zone)
            sums: dict[str, Figures] = {}
            for day in day_figures.read(session, configurations, first, through, now_us):
                sums[day.room] = sums.get(day.room, Figures()) + day.figures
            rooms = tuple(
                RoomFigures(
                    room, configurations.last_known(session, room).room.label, figures.without_pending()
                )
                for room, figures in sums.items()
            )
            period = Interval(local_midnight_us(first, zone), midnight_us)
            as_of_us = local_midnight_us(yesterday + timedelta(days=1), zone)
            requests = registered_in(session, period, as_of_us)
        return MonthFigures(first, through, rooms, requests)
