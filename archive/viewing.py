"""Viewings: the many range requests of one look at footage are one `view_opened` … `view_closed`.

`view_opened`, with its ground, is durable before the first byte; `view_closed` tells what was in
fact served.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive import custody, room_days
from archive.door import Ground
from archive.models import Viewing
from archive.system import Archive
from recorder.instants import US_PER_MINUTE
from recorder.intervals import Interval

# A player that is paused longer than this opens anew: it is another look.
IDLE_US = 5 * US_PER_MINUTE
# One that is taken up again after this long is kept from being closed as idle while its bytes go.
_TAKEN_UP_AFTER_US = US_PER_MINUTE // 2


def open_viewing(
    archive: Archive, actor: str, room: str, interval: Interval, ground: Ground, now_us: int
) -> int:
    """The viewing that a request for bytes belongs to; durable, with its custody event, on return.

    The same actor, interval and ground within IDLE_US are the same viewing; its idle time begins anew.
    """
    same = (
        select(Viewing.id, Viewing.last_served_us)
        .where(
            Viewing.actor == actor,
            Viewing.room == room,
            Viewing.start_us == interval.start_us,
            Viewing.end_us == interval.end_us,
            Viewing.ground == str(ground),
            Viewing.closed_us.is_(None),
            Viewing.last_served_us > now_us - IDLE_US,
        )
        .limit(1)
    )
    with archive.database.reading() as session:
        known = session.execute(same).one_or_none()
    if known is not None and (
        now_us - known.last_served_us <= _TAKEN_UP_AFTER_US or _taken_up(archive, known.id, now_us)
    ):
        return int(known.id)
    with archive.database.transaction() as session:
        # Two requests of one player at once are one viewing: the head, which the event needs, orders them.
        custody.append(session)
        known = session.execute(same).one_or_none()
        if known is not None:
            return int(known.id)
        viewing = Viewing(
            actor=actor,
            room=room,
            start_us=interval.start_us,
            end_us=interval.end_us,
            ground=str(ground),
            opened_us=now_us,
            last_served_us=now_us,
        )
        session.add(viewing)
        session.flush()
        _event(archive, session, "view_opened", viewing, now_us)
        return viewing.id


def _taken_up(archive: Archive, viewing_id: int, now_us: int) -> bool:
    """False where it was closed meanwhile. A transaction of its own: `close_idle` locks a viewing before the
    custody head.
    """
    with archive.database.transaction() as session:
        taken = session.execute(
            update(Viewing)
            .where(Viewing.id == viewing_id, Viewing.closed_us.is_(None))
            .values(last_served_us=now_us)
            .returning(Viewing.id)
        )
        return taken.one_or_none() is not None


def served(
    archive: Archive, viewing_id: int, interval: Interval | None, size_bytes: int, now_us: int
) -> None:
    """Add what was served to the viewing. `interval` is the wall time that those bytes can hold."""
    with archive.database.transaction() as session:
        viewing = session.get(Viewing, viewing_id, with_for_update=True)
        if viewing is None or viewing.closed_us is not None:
            return
        viewing.last_served_us = max(viewing.last_served_us, now_us)
        viewing.served_bytes += size_bytes
        if interval is not None:
            viewing.served_start_us = min(viewing.served_start_us or interval.start_us, interval.start_us)
            viewing.served_end_us = max(viewing.served_end_us or interval.end_us, interval.end_us)


def close_idle(archive: Archive, now_us: int, *, everything: bool = False) -> int:
    """Close viewings idle for IDLE_US (or all, at the server's start and stop); how many."""
    idle = select(Viewing).where(Viewing.closed_us.is_(None))
    if not everything:
        idle = idle.where(Viewing.last_served_us <= now_us - IDLE_US)
    with archive.database.reading() as session:
        if session.scalar(idle.with_only_columns(Viewing.id).limit(1)) is None:
            return 0
    with archive.database.transaction() as session:
        # Those that are being served right now, or closed by another server process, are not idle.
        viewings = session.scalars(idle.order_by(Viewing.id).with_for_update(skip_locked=True)).all()
        for viewing in viewings:
            session.execute(update(Viewing).where(Viewing.id == viewing.id).values(closed_us=now_us))
            _event(archive, session, "view_closed", viewing, now_us)
        return len(viewings)


def _event(archive: Archive, session: Session, action: str, viewing: Viewing, now_us: int) -> None:
    interval = Interval(viewing.start_us, viewing.end_us)
    details: dict[str, int | str | None] = {
        "ground": viewing.ground,
        "start_us": viewing.start_us,
        "end_us": viewing.end_us,
    }
    if action == "view_closed":
        details |= {
            "served_start_us": viewing.served_start_us,
            "served_end_us": viewing.served_end_us,
            "served_bytes": viewing.served_bytes,
        }
    custody.append(
        session,
        custody.Event(
            action,
            viewing.actor,
            now_us,
            room=viewing.room,
            date=room_days.days_of(interval, archive.timezone(session))[0],
            subject=f"viewing:{viewing.id}",
            details=details,
        ),
    )
