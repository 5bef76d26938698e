"""Marks: what happened beside the recording (an air-raid alert, an evacuation), by button or by webhook.

They lie beside the timeline and stop nothing. Whoever sends the same message twice, or presses twice,
makes one mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import CustodyHead, Mark
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import US_PER_DAY, local_midnight_us
from recorder.intervals import Interval

KINDS = ("air_raid_alert", "evacuation", "power_cut", "other")
# An alert that lasts longer was never ended; the strip of a day looks this far back for its start.
_LONGEST_US = 3 * US_PER_DAY


class NoSuchMarkError(ProtokolError):
    """Nothing that began is known under this name."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """`room` is an id, None for all rooms."""

    kind: str
    room: str | None
    start_us: int
    source: Literal["button", "webhook"]
    note: str = ""
    external_id: str | None = None


def begin(archive: Archive, wanted: Beginning, actor: str, now_us: int) -> tuple[Mark, bool]:
    """The mark, and whether it is new. The same external id, or without one the same kind and room while
    it goes on, is the same mark. Durable on return.
    """
    with archive.database.transaction() as session:
        _serialise(session)
        known = _known(session, wanted.kind, wanted.room, wanted.external_id)
        if known is not None:
            return known, False
        mark = Mark(
            external_id=wanted.external_id,
            kind=wanted.kind,
            room=wanted.room,
            start_us=wanted.start_us,
            end_us=None,
            note=wanted.note,
            author=actor,
            source=wanted.source,
            created_us=now_us,
        )
        session.add(mark)
        session.flush()
        _tell(session, "mark_started", mark, actor, now_us)
    return mark, True


def end(
    archive: Archive,
    kind: str,
    room: str | None,
    external_id: str | None,
    end_us: int,
    actor: str,
    now_us: int,
) -> tuple[Mark, bool]:
    """The mark, and whether it ended now; one that has ended stays as it is. Durable on return.

    Raises NoSuchMarkError for one that never began.
    """
    with archive.database.transaction() as session:
        _serialise(session)
        mark = _known(session, kind, room, external_id)
        if mark is None:
            raise NoSuchMarkError("no such mark has begun; send its beginning first")
        if mark.end_us is not None:
            return mark, False
        mark.end_us = max(end_us, mark.start_us + 1)
        session.flush()
        _tell(session, "mark_ended", mark, actor, now_us)
    return mark, True


def going_on(session: Session) -> Sequence[Mark]:
    return session.scalars(select(Mark).where(Mark.end_us.is_(None)).order_by(Mark.start_us)).all()


def of_day(session: Session, room: str, day: date, zone: str) -> Sequence[Mark]:
    """Of a room or of all rooms, that touch the local date, by start."""
    start_us, end_us = local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone)
    return session.scalars(
        select(Mark)
        .where(
            or_(Mark.room.is_(None), Mark.room == room),
            Mark.start_us >= start_us - _LONGEST_US,
            Mark.start_us < end_us,
            or_(Mark.end_us.is_(None), Mark.end_us > start_us),
        )
        .order_by(Mark.start_us, Mark.id)
    ).all()


def interval(mark: Mark, now_us: int) -> Interval:
    """What goes on lasts until now."""
    end_us = now_us if mark.end_us is None else mark.end_us
    return Interval(mark.start_us, max(end_us, mark.start_us + 1))


def _serialise(session: Session) -> None:
    """Two presses at once are one mark: the custody head, which an event needs anyway, orders them."""
    session.execute(select(CustodyHead).where(CustodyHead.id == 1).with_for_update())


def _known(session: Session, kind: str, room: str | None, external_id: str | None) -> Mark | None:
    if external_id is not None:
        return session.scalars(select(Mark).where(Mark.external_id == external_id)).one_or_none()
    same_room = Mark.room.is_(None) if room is None else Mark.room == room
    return session.scalars(
        select(Mark).where(Mark.kind == kind, same_room, Mark.end_us.is_(None)).order_by(Mark.id).limit(1)
    ).one_or_none()


def _tell(session: Session, action: str, mark: Mark, actor: str, now_us: int) -> None:
    details = {"kind": mark.kind, "start_us": mark.start_us, "source": mark.source}
    if mark.end_us is not None:
        details["end_us"] = mark.end_us
    event = custody.Event(action, actor, now_us, room=mark.room, subject=f"mark:{mark.id}", details=details)
    custody.append(session, event)
