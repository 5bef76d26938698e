"""What the policy judges, read from the index: room-days, their items, the holds in force."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from archive.models import Gap, Hold, Quarantine, RoomDay, Segment
from recorder.instants import local_midnight_us, parse_date
from recorder.intervals import Interval
from recorder.manifest import ManifestError, decode
from retention.policy import Amount, DayFacts, HoldFacts, Item, Kind

# Well below the number of parameters that either database takes in one statement.
BATCH = 500


def read(
    session: Session, timezone: str, now_us: int, *, totals: bool = True
) -> tuple[list[DayFacts], list[HoldFacts]]:
    """Every room-day that is open or still has something, and every active hold.

    Items are listed for due days only: a month of footage is a hundred thousand rows, a due night
    a few thousand. Without `totals`, days that are not due count nothing, and no row of theirs is read.
    """
    amounts = _totals(session) if totals else {}
    days = []
    for room, date, due_us, state in session.execute(_DAYS):
        items: tuple[Item, ...] = ()
        total: Amount | None = amounts.get((room, date), Amount())
        if due_us <= now_us:
            items, total = items_of(session, room, date, timezone), None
        days.append(DayFacts(room, date, due_us, state == "purged", items, total))
    return days, holds_of(session)


def read_day(session: Session, day: RoomDay, timezone: str) -> DayFacts:
    """One room-day whole; the caller holds its lock, so that nothing changes under the decision."""
    items = items_of(session, day.room, day.date, timezone)
    return DayFacts(day.room, day.date, day.due_us, day.state == "purged", items)


def holds_of(session: Session, room: str | None = None) -> list[HoldFacts]:
    """Active holds, of one room or of all."""
    statement = select(Hold).where(Hold.released_us.is_(None)).order_by(Hold.id)
    if room is not None:
        statement = statement.where(Hold.room == room)
    # Rows read earlier in this transaction may be older than the lock it waited for.
    found = session.scalars(statement.execution_options(populate_existing=True))
    return [HoldFacts(hold.id, hold.room, Interval(hold.start_us, hold.end_us)) for hold in found]


def items_of(session: Session, room: str, date: str, timezone: str) -> tuple[Item, ...]:
    items = [
        Item(Kind.SEGMENT, row.id, Interval(row.start_us, row.end_us), row.size_bytes)
        for row in session.execute(
            select(Segment.id, Segment.start_us, Segment.end_us, Segment.size_bytes).where(
                Segment.room == room, Segment.date == date
            )
        )
    ]
    items += [
        Item(Kind.GAP, row.id, Interval(row.start_us, row.end_us))
        for row in session.execute(
            select(Gap.id, Gap.start_us, Gap.end_us).where(Gap.room == room, Gap.date == date)
        )
    ]
    items += [
        Item(Kind.QUARANTINE, str(row.id), _claimed(row.manifest, date, timezone), row.size_bytes)
        for row in session.execute(
            select(Quarantine.id, Quarantine.manifest, Quarantine.size_bytes).where(
                Quarantine.room == room, Quarantine.date == date
            )
        )
    ]
    # As items sort, by the parts that tell each from all others: the rest would be compared in Python.
    return tuple(sorted(items, key=lambda item: (item.kind, item.id)))


def local_day(date: str, timezone: str) -> Interval:
    """The local date from its first instant to the next one's; 23 or 25 hours at a change of the clock."""
    day = parse_date(date)
    return Interval(local_midnight_us(day, timezone), local_midnight_us(day + timedelta(days=1), timezone))


def batches(ids: Iterable[str]) -> Iterable[list[str]]:
    listed = list(ids)
    return (listed[start : start + BATCH] for start in range(0, len(listed), BATCH))


def _claimed(manifest: bytes, date: str, timezone: str) -> Interval:
    """When a quarantined object says it was recorded; its whole local day where it says nothing
    readable: a hold of any part of that day must then keep it.
    """
    try:
        return decode(manifest).manifest.interval
    except ManifestError:
        return local_day(date, timezone)


def _totals(session: Session) -> dict[tuple[str, str], Amount]:
    """Room-day → what is stored of it."""
    totals: dict[tuple[str, str], Amount] = {}
    for table in (Segment, Quarantine):
        counted = select(table.room, table.date, func.count(), func.sum(table.size_bytes))
        for room, date, count, size in session.execute(counted.group_by(table.room, table.date)):
            totals[room, date] = totals.get((room, date), Amount()) + Amount(count, int(size))
    return totals


def _has(table: type[Segment | Gap | Quarantine]) -> ColumnElement[bool]:
    return exists().where(table.room == RoomDay.room, table.date == RoomDay.date)


# One look into an index for each purged day that has nothing any more, which is nearly every one.
_DAYS = select(RoomDay.room, RoomDay.date, RoomDay.due_us, RoomDay.state).where(
    or_(RoomDay.state == "open", _has(Segment), _has(Gap), _has(Quarantine))
)
