"""Room-days: made when first needed, locked in one order by everybody (invariant 7), and the one
place of the rule for how long their footage may be read (invariant 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.configuration import Configurations, encode_windows
from archive.inserting import insert_missing
from archive.models import Hold, RoomDay
from recorder.instants import local_date, parse_date
from recorder.intervals import Interval
from recorder.working_hours import due_us


def days_of(interval: Interval, timezone: str) -> tuple[str, ...]:
    """The local ISO dates that the interval touches, in order."""
    day, last = local_date(interval.start_us, timezone), local_date(interval.end_us - 1, timezone)
    out = []
    while day <= last:
        out.append(day.isoformat())
        day += timedelta(days=1)
    return tuple(out)


def lock(
    session: Session, configurations: Configurations, days: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], RoomDay]:
    """Lock `(room, ISO date)` rows until the transaction ends, in sorted order; makes missing ones.

    A new row freezes the windows as they were in force, and the due midnight by the last configuration
    that knew the room. Must be the transaction's first locks. Raises UnknownRoomError for a room that is
    in no configuration.
    """
    locked: dict[tuple[str, str], RoomDay] = {}
    for room, date in sorted(set(days)):
        # What this transaction read before it waited for the lock counts no more.
        statement = (
            select(RoomDay)
            .where(RoomDay.room == room, RoomDay.date == date)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        row = session.scalars(statement).one_or_none()
        if row is None:
            # Another transaction may be making it at this moment: this waits for it, and then finds its row.
            insert_missing(session, _fresh(session, configurations, room, date))
            row = session.scalars(statement).one()
        locked[room, date] = row
    return locked


def peek(session: Session, configurations: Configurations, room: str, date: str) -> RoomDay:
    """The room-day as it is, or as it would be made; neither locked nor written."""
    row = session.get(RoomDay, (room, date))
    return row if row is not None else _fresh(session, configurations, room, date)


def _fresh(session: Session, configurations: Configurations, room: str, date: str) -> RoomDay:
    configuration = configurations.last_known(session, room)
    day = parse_date(date)
    return RoomDay(
        room=room,
        date=date,
        state="open",
        revision=0,
        configuration_version=configuration.version,
        windows=encode_windows(configurations.windows_in_force(session, room, day)),
        due_us=due_us(day, configuration.retention_months, configuration.timezone),
        purged_us=None,
    )


def active_holds(session: Session, room: str, interval: Interval) -> list[Hold]:
    """Holds in force that overlap the interval, oldest first."""
    return list(
        session.scalars(
            select(Hold)
            .where(
                Hold.room == room,
                Hold.released_us.is_(None),
                Hold.start_us < interval.end_us,
                Hold.end_us > interval.start_us,
            )
            .order_by(Hold.id)
            .execution_options(populate_existing=True)
        )
    )


def may_keep(session: Session, day: RoomDay, interval: Interval, now_us: int) -> bool:
    """Whether footage of the interval may (still) be in the archive: not due, or covered by a hold.

    A purged day takes nothing in any more: its destruction has been certified.
    """
    if day.state == "purged":
        return False
    return now_us < day.due_us or bool(active_holds(session, day.room, interval))
