"""A room's day through the door, for a player: its line, and the parts that the line is made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from archive import door
from archive.door import Ground, NoFootageError
from archive.mp4.boxes import Mp4Error
from archive.mp4.day import Day, DaySegment, Loan, Part, lay_out
from archive.mp4.groups import Groups
from archive.mp4.index import SegmentIndex
from archive.mp4.part import PartFile, Source, build, describe
from archive.mp4.stored import index_of, read_groups
from archive.search import StoredSegment
from archive.system import Archive
from recorder.intervals import Interval
from recorder.logging import get_logger

Value = TypeVar("Value")
_log = get_logger()
# Some 4 KB each: the days that staff look at, of seven rooms, over a week.
_KEPT_GROUPS = 8192
# A player asks for a segment's thirty parts one after another.
_KEPT_INDEXES = 32


class _Kept(Generic[Value]):
    """What was made of objects last, by the object's name: an object never changes under it."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()

    def get(self, name: str) -> Value | None:
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
            return self._values.get(name)

    def put(self, name: str, value: Value) -> None:
        with self._lock:
            self._values[name] = value
            if len(self._values) > self._size:
                self._values.popitem(last=False)


_groups: _Kept[Groups] = _Kept(_KEPT_GROUPS)
_indexes: _Kept[SegmentIndex] = _Kept(_KEPT_INDEXES)


def line(
    session: Session,
    archive: Archive,
    room: str,
    day: date,
    ground: Ground,
    now_us: int,
    source: str | None = None,
    limits: Sequence[Interval] | None = None,
) -> Day:
    """The line of what may be opened of the day on this ground, within `limits` if there are any.

    `room` is an id. Raises what `door.of_day` does.
    """
    rows = door.of_day(session, archive.configurations, room, day, ground, now_us, source)
    segments = _segments(session, archive, rows)
    laid = _laid_out(_Plan(segments, tuple(limits) if limits is not None else None))
    if not laid.stretches:
        raise NoFootageError("nothing", "nothing was recorded then that can be shown")
    return laid


def part(
    session: Session, archive: Archive, room: str, wanted: Part, ground: Ground, now_us: int
) -> tuple[StoredSegment, PartFile | bytes]:
    """The segment, and the part of it; a description of the tracks where `wanted` has no group. The door is
    asked for each segment that lends to it, too, and they are of the same day, as a line's are: a look at one
    day shows no picture of another.

    Raises what `door.of_segment` does, NoFootageError where no sample is left of it or the part is none.
    """

    def source_of(segment_id: str) -> tuple[StoredSegment, Source]:
        row = door.of_segment(session, archive.configurations, room, segment_id, ground, now_us)
        index = _indexes.get(row.object_name)
        if index is None:
            kept = door.indexes_of(session, archive.store, [row]).get(row.id)
            if kept is None:
                raise NoFootageError("nothing", f"segment {row.id} has no index; `protokol archive check`")
            index = index_of(kept)
            _indexes.put(row.object_name, index)
        return row, Source(row.object_name, index, row.start_us)

    row, own = source_of(wanted.segment_id)

    def lender(loan: Loan | None) -> Source | None:
        if loan is None:
            return None
        lends, source = source_of(loan.segment_id)
        if lends.date != row.date:
            raise NoFootageError("nothing", f"segment {lends.id} is of another day than {row.id}")
        return source

    still, hush = lender(wanted.still), lender(wanted.hush)
    if wanted.first == wanted.last:
        return row, describe(own, still, hush)
    try:
        made = build(wanted, own, still, hush)
    except (ValueError, OverflowError, Mp4Error) as error:
        raise NoFootageError("nothing", f"segment {row.id}: {error}") from error
    return row, made


def _segments(session: Session, archive: Archive, rows: Sequence[StoredSegment]) -> tuple[DaySegment, ...]:
    """With what is not kept already read from the index. One that is damaged must not hide the others."""
    known = [(row, _groups.get(row.object_name)) for row in rows]
    kept = door.indexes_of(session, archive.store, [row for row, groups in known if groups is None])
    for number, (row, groups) in enumerate(known):
        if groups is None and row.id in kept:
            try:
                groups = read_groups(kept[row.id])  # noqa: PLW2901
            except Mp4Error as error:
                _log.error("segment_not_shown", segment=row.id, error=error)
                continue
            _groups.put(row.object_name, groups)
            known[number] = row, groups
    return tuple(DaySegment(row.id, row.run, row.start_us, groups) for row, groups in known if groups)


class _Plan:
    """What decides a line: equal plans, equal lines."""

    def __init__(self, segments: tuple[DaySegment, ...], limits: tuple[Interval, ...] | None) -> None:
        self.segments, self.limits = segments, limits
        self._key = (tuple(each.id for each in segments), limits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8)
def _laid_out(plan: _Plan) -> Day:
    return lay_out(plan.segments, plan.limits)
