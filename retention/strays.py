"""Objects of purged room-days that no row names: uploads cut off between their rename and their row,
or that arrived again while their day was being purged. They are footage, and go with their day.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from archive import custody, room_days
from archive.derived import owner_of
from archive.models import Gap, Garbage, Quarantine, RoomDay, Segment
from archive.store import room_day_of
from archive.system import Archive
from recorder.errors import BadInstantError, UnknownRoomError
from retention.facts import batches, local_day


def find(archive: Archive, now_us: int) -> dict[tuple[str, str], list[str]]:
    """Strays by due room-day, as the store's names tell it (`room/date/…`); nothing is locked.

    What bears the name of no room or date is a stranger's: `protokol archive check` tells of it.
    """
    by_day: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in archive.store.names():
        by_day[room_day_of(name)].append(name)
    with archive.database.reading() as session:
        # Most days of the store are not due: one question for all of them, and not one each.
        kept = select(RoomDay.room, RoomDay.date).where(RoomDay.due_us > now_us)
        candidates = by_day.keys() - {(room, date) for room, date in session.execute(kept)}
        due = {day: by_day[day] for day in candidates if _is_due(session, archive, day, now_us)}
        strays = {day: _unknown(session, names) for day, names in due.items()}
    return {day: names for day, names in sorted(strays.items()) if names}


def bury(
    session: Session, archive: Archive, day: tuple[str, str], names: list[str], *, actor: str, now_us: int
) -> int:
    """List strays as garbage, in the caller's writing transaction; how many.

    Only of a purged day, where an upload under way can no longer become a row, and of which no hold
    keeps anything: what a stray shows is not known. An open day is made known by its lock, and is
    purged by the next run.
    """
    room, date = day
    row = room_days.lock(session, archive.configurations, [day])[day]
    if row.state != "purged":
        return 0
    if room_days.active_holds(session, room, local_day(date, archive.timezone(session))):
        return 0
    found = _unknown(session, names)
    if not found:
        return 0
    session.execute(
        insert(Garbage),
        [{"object_name": name, "room": room, "date": date, "created_us": now_us} for name in found],
    )
    event = custody.Event(
        "strays_purged", actor, now_us, room=room, date=date, details={"objects": len(found)}
    )
    custody.append(session, event)
    return len(found)


def _is_due(session: Session, archive: Archive, day: tuple[str, str], now_us: int) -> bool:
    try:
        return room_days.peek(session, archive.configurations, *day).due_us <= now_us
    except (UnknownRoomError, BadInstantError):
        return False


def _unknown(session: Session, names: list[str]) -> list[str]:
    """What was made of a segment is known as long as the segment is, and destroyed with it."""
    known: set[str] = set()
    for batch in batches({*names, *map(owner_of, names)}):
        for table in (Segment, Gap, Quarantine, Garbage):
            found = select(table.object_name).where(table.object_name.in_(batch))
            known.update(name for name in session.scalars(found) if name is not None)
    return [name for name in names if name not in known and owner_of(name) not in known]
