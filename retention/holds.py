"""Holds: what keeps an interval of a room from purge, until a decision ends it (invariant 7).

Every function works in the caller's writing transaction and takes locks in the one order: room-days
sorted, then the hold, the custody head last. The hold stands when that transaction commits.
Reasons and legal grounds are free text and may name a person: they stay in the `hold` row and never
enter the custody chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody, room_days
from archive.models import Hold, Request, RoomDay
from archive.system import Archive
from recorder.errors import UnknownRoomError
from recorder.instants import (
    US_PER_DAY,
    format_instant,
    local_date,
)
from recorder.intervals import Interval, intersect, merge
from recorder.manifest import MAX_SEGMENT_US
from retention.errors import DayGoneError, HoldError
from retention.facts import local_day

# A mistyped year must not lock centuries of room-days.
MAX_HOLD_DAYS = 400


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """A wish to keep an interval of a room (its id, or the label on its door).

    `author` is a custody actor (`user:3`, `request:К-…`, `cli:0`). `expires_us` only alarms.
    """

    room: str
    interval: Interval
    reason: str
    legal_ground: str
    author: str
    request_id: int | None = None
    expires_us: int | None = None


def place(session: Session, archive: Archive, orders: Sequence[HoldOrder], now_us: int) -> list[Hold]:
    """Place all orders or none; from the commit on, no purge destroys a segment that overlaps them.

    Where a local day of the interval is purged or due, only what another active hold keeps there can
    still be held: the order is then cut to the remaining pieces, one hold each, so compare the holds'
    intervals with what was asked. Raises DayGoneError where nothing of an order remains, HoldError
    for an order without reason or ground or of more than MAX_HOLD_DAYS, UnknownRoomError.
    """
    timezone = archive.timezone(session)
    named = [(order, _checked(session, archive, order)) for order in orders]
    wanted = {day for order, room in named for day in _days_to_lock(session, archive, room, order.interval)}
    locked = room_days.lock(session, archive.configurations, wanted)
    holds = []
    for order, room in named:
        for piece in _keepable(session, room, order.interval, timezone, locked, now_us):
            hold = Hold(
                room=room,
                start_us=piece.start_us,
                end_us=piece.end_us,
                reason=order.reason.strip(),
                legal_ground=order.legal_ground.strip(),
                author=order.author,
                request_id=order.request_id,
                created_us=now_us,
                expires_us=order.expires_us,
            )
            session.add(hold)
            session.flush()
            archive.records.keep(session, hold)
            holds.append(hold)
    events = [_event("hold_placed", hold, hold.author, timezone, now_us) for hold in holds]
    custody.append(session, *events)
    return holds


def narrow(
    session: Session,
    archive: Archive,
    hold_id: int,
    interval: Interval,
    *,
    actor: str,
    reason: str,
    now_us: int,
) -> Hold:
    """Cut a hold to a part of itself, by a decision; what it lets go is purged when it is due.

    The reason of the decision is appended to the hold's own. Raises HoldError for a hold that does
    not exist, is released, or would be widened. Narrowing to the same interval changes nothing.
    """
    hold = _take(session, archive, hold_id)
    if not (hold.start_us <= interval.start_us and interval.end_us <= hold.end_us):
        raise HoldError(f"hold {hold_id} can only be narrowed; place another hold for what lies outside it")
    if (hold.start_us, hold.end_us) == (interval.start_us, interval.end_us):
        return hold
    before = {"start_us": hold.start_us, "end_us": hold.end_us}
    hold.start_us, hold.end_us = interval.start_us, interval.end_us
    hold.reason = f"{hold.reason}; {_required(reason, 'a reason')}"
    session.flush()
    archive.records.keep(session, hold)
    event = _event("hold_narrowed", hold, actor, archive.timezone(session), now_us, before=before)
    custody.append(session, event)
    return hold


def release(
    session: Session, archive: Archive, hold_id: int, *, actor: str, reason: str, now_us: int
) -> Hold:
    """End a hold, by a decision: what it alone kept of due days is destroyed by the next run.

    The caller has the decision. Raises HoldError for a hold that does not exist or is released.
    """
    hold = _take(session, archive, hold_id)
    hold.released_us, hold.released_by = now_us, actor
    hold.release_reason = _required(reason, "a reason")
    session.flush()
    archive.records.keep(session, hold)
    custody.append(session, _event("hold_released", hold, actor, archive.timezone(session), now_us))
    return hold


def alarm_at(
    session: Session, archive: Archive, hold_id: int, expires_us: int | None, *, actor: str, now_us: int
) -> Hold:
    """Set (or take away) the instant from which a hold asks for a decision; it lets nothing go.

    Raises HoldError for a hold that does not exist or is released.
    """
    hold = _take(session, archive, hold_id)
    hold.expires_us = expires_us
    session.flush()
    archive.records.keep(session, hold)
    custody.append(session, _event("hold_expiry_set", hold, actor, archive.timezone(session), now_us))
    return hold


def lock_days(session: Session, archive: Archive, intervals: Iterable[tuple[str, Interval]]) -> None:
    """Lock the room-days of `(room id, interval)`s, for a transaction that will lock more than holds:
    room-days come first, whatever else a decision locks after them.
    """
    days = {day for room, interval in intervals for day in _days_to_lock(session, archive, room, interval)}
    room_days.lock(session, archive.configurations, days)


def require_decided(session: Session, archive: Archive, hold_id: int, now_us: int) -> None:
    """Refuses to end a request's hold by hand while invariant 7 protects it.

    Raises HoldError while the request is undecided, or refused with the appeal period still running.
    """
    hold = session.get(Hold, hold_id)
    request = session.get(Request, hold.request_id) if hold and hold.request_id is not None else None
    if request is None:
        return
    if request.status not in {"decided", "withdrawn"}:
        raise HoldError(
            f"hold {hold_id} stands for the undecided request {request.number}; decide the request first"
        )
    appeal_until_us = request.appeal_until_us
    if appeal_until_us is not None and now_us < appeal_until_us:
        until = format_instant(appeal_until_us, archive.timezone(session))
        raise HoldError(
            f"hold {hold_id} stands for the refused request {request.number} until the end of the "
            f"appeal period, {until}"
        )


def active(session: Session, room: str | None = None) -> list[Hold]:
    """Holds in force, oldest first; an expired one is in force."""
    statement = select(Hold).where(Hold.released_us.is_(None)).order_by(Hold.id)
    return list(session.scalars(statement if room is None else statement.where(Hold.room == room)))


def expired_alarms(session: Session, now_us: int) -> list[Hold]:
    """Holds in force whose expiry has passed: each still keeps, and wants a decision."""
    return [hold for hold in active(session) if hold.expires_us is not None and hold.expires_us <= now_us]


def _checked(session: Session, archive: Archive, order: HoldOrder) -> str:
    """The room's id; raises HoldError, UnknownRoomError."""
    _required(order.reason, "a reason")
    _required(order.legal_ground, "a legal ground")
    if order.interval.duration_us > MAX_HOLD_DAYS * US_PER_DAY:
        raise HoldError(f"a hold covers at most {MAX_HOLD_DAYS} days; check the years, or place several")
    try:
        return archive.configurations.current(session)[1].room(order.room).id
    except UnknownRoomError:
        # A room that has left the rooms file keeps its footage until it is due.
        if session.scalar(select(RoomDay.room).where(RoomDay.room == order.room).limit(1)) is None:
            raise
        return order.room


def _days_to_lock(
    session: Session, archive: Archive, room: str, interval: Interval
) -> Iterable[tuple[str, str]]:
    """Room-days that may have a segment which overlaps the interval.

    A segment belongs to the date of its start, so one of the evening before may reach into the
    interval: that day is locked too, where it exists. A room that is in no configuration any more
    has only the days it has.
    """
    timezone = archive.timezone(session)
    reached = Interval(interval.start_us - MAX_SEGMENT_US, interval.end_us)
    dates = set(room_days.days_of(reached, timezone))
    existing = set(
        session.scalars(select(RoomDay.date).where(RoomDay.room == room, RoomDay.date.in_(sorted(dates))))
    )
    try:
        archive.configurations.room(session, room)
    except UnknownRoomError:
        return {(room, date) for date in existing}
    return {(room, date) for date in existing | set(room_days.days_of(interval, timezone))}


def _keepable(
    session: Session,
    room: str,
    interval: Interval,
    timezone: str,
    locked: dict[tuple[str, str], RoomDay],
    now_us: int,
) -> tuple[Interval, ...]:
    """The parts of the interval that can still be held; raises DayGoneError where there are none."""
    pieces: list[Interval] = []
    gone = []
    for date in room_days.days_of(interval, timezone):
        day = locked.get((room, date))
        part = interval.intersection(local_day(date, timezone))
        if day is None or part is None:
            continue
        if day.state == "open" and now_us < day.due_us:
            pieces.append(part)
            continue
        gone.append(f"{date} ({'purged' if day.state == 'purged' else 'due'})")
        keeping = room_days.active_holds(session, room, part)
        pieces += intersect([part], [Interval(hold.start_us, hold.end_us) for hold in keeping])
    if not pieces:
        what = ", ".join(gone) or "nothing is kept of these days"
        raise DayGoneError(f"room {room}: the recording is gone and no hold keeps it: {what}")
    return merge(pieces)


def _take(session: Session, archive: Archive, hold_id: int) -> Hold:
    """An active hold, its room-days and itself locked; raises HoldError."""
    hold = session.get(Hold, hold_id)
    if hold is None:
        raise HoldError(f"there is no hold {hold_id}; `protokol hold list` names them")
    # Read before the lock: since then it can only have become narrower, so these days are enough.
    days = _days_to_lock(session, archive, hold.room, Interval(hold.start_us, hold.end_us))
    room_days.lock(session, archive.configurations, days)
    session.refresh(hold, with_for_update=True)
    if hold.released_us is not None:
        raise HoldError(f"hold {hold_id} was released already, by {hold.released_by}")
    return hold


def _required(text: str, what: str) -> str:
    if not text.strip():
        raise HoldError(f"a decision about a hold needs {what}; write one")
    return text.strip()


def _event(
    action: str,
    hold: Hold,
    actor: str,
    timezone: str,
    now_us: int,
    **details: object,
) -> custody.Event:
    """Filed under the first local date of the hold."""
    return custody.Event(
        action,
        actor,
        now_us,
        room=hold.room,
        date=local_date(hold.start_us, timezone).isoformat(),
        subject=f"hold:{hold.id}",
        details={
            "start_us": hold.start_us,
            "end_us": hold.end_us,
            "request": hold.request_id,
            "expires_us": hold.expires_us,
            **details,
        },
    )
