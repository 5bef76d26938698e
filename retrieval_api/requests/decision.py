"""What staff and the resident do to a request: each step one transaction, with its holds and events.

Locks are taken in the one order: the room-days of the request's holds, then the request, then the
holds, the custody head last. The pure rules are in `states`; here they meet rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import Hold, Request
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import local_date, local_midnight_us
from recorder.intervals import Interval
from retention import holds
from retrieval_api.requests import journal
from retrieval_api.requests.matching import require_within_reach
from retrieval_api.requests.registration import LEGAL_GROUND
from retrieval_api.requests.states import Event, Outcome, State, Status, transition

MAX_NOTE = 300
MAX_REASON = 2000
# Six digits in a row, blanks or not, are a document's number sooner than anything a note needs.
_DOCUMENT_NUMBER = re.compile(r"(?:\d[\s-]?){6,}")


class Basis(StrEnum):
    """How it was established who asks, and that they were at the meeting."""

    DOCUMENT = "document"
    BOOKING = "booking"
    AUTHORITY = "authority"
    KNOWN = "known"


class UnknownRequestError(ProtokolError):
    """No request bears that number."""


class DecisionError(ProtokolError):
    """A step that lacks something. `code` is stable; the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def state_of(request: Request) -> State:
    return State(
        Status.CLOSED if request.closed_us is not None else Status(request.status),
        Outcome(request.outcome) if request.outcome else None,
        matched=request.matched_room is not None,
        interval_set=request.start_us is not None,
        identity_recorded=request.identity_basis is not None,
    )


def holds_of(session: Session, request: Request) -> list[Hold]:
    """The request's holds in force, oldest first."""
    statement = select(Hold).where(Hold.request_id == request.id, Hold.released_us.is_(None))
    return list(session.scalars(statement.order_by(Hold.id)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decider had before them: the same times of another room are another meeting."""

    room: str
    interval: Interval


@dataclass(frozen=True, slots=True)
class Desk:
    """Steps of one archive's requests. `actor` is a custody actor (`user:3`, `request:NUMBER`)."""

    archive: Archive

    def match(self, number: str, room: str, actor: str, now_us: int) -> None:
        """The meeting was in `room` (an id). Where the request holds nothing there yet, it does now.

        Raises DayGoneError when that room's recording is gone.
        """
        with self._step(number, Event.MATCHED, other_room=room) as (session, request):
            request.matched_room = room
            request.start_us = request.end_us = None
            self._cover(
                session, request, Interval(request.asked_start_us, request.asked_end_us), actor, now_us
            )
            custody.append(session, journal.event("request_matched", request, actor, now_us))

    def set_interval(self, number: str, interval: Interval, actor: str, now_us: int) -> None:
        """In and out. What reaches beyond the request's holds is held from now on too.

        Raises OutOfReachError for an interval that is not near what was asked.
        """
        with self._step(number, Event.INTERVAL_SET) as (session, request):
            require_within_reach(request, interval, self.archive.timezone(session))
            request.start_us, request.end_us = interval.start_us, interval.end_us
            self._cover(session, request, interval, actor, now_us)
            custody.append(
                session,
                journal.event(
                    "interval_set", request, actor, now_us, start_us=interval.start_us, end_us=interval.end_us
                ),
            )

    def record_identity(self, number: str, basis: Basis, note: str, actor: str, now_us: int) -> None:
        """How identity and presence were established. The note stays in the request alone.

        Raises DecisionError for a note that looks as if it held a document's number.
        """
        note = note.strip()
        if len(note) > MAX_NOTE:
            raise DecisionError("note_too_long", f"the note has {len(note)} characters; {MAX_NOTE} fit")
        if _DOCUMENT_NUMBER.search(note):
            raise DecisionError("document_number", "the note seems to hold a document's number; remove it")
        with self._step(number, Event.IDENTITY_RECORDED) as (session, request):
            request.identity_basis, request.identity_note = basis.value, note
            custody.append(
                session, journal.event("identity_recorded", request, actor, now_us, basis=basis.value)
            )

    def approve(
        self, number: str, seen: Seen, actor: str, now_us: int, *, reason: str = "", partial: bool = False
    ) -> None:
        """The resident may receive the interval; everything else of the request's holds is let go.

        `seen` is what the decider looked at: DecisionError when room or interval have been changed
        since. A partial approval needs a reason. The hold of the interval itself stays until `close`.
        """
        reason = _checked_reason(reason, required=partial)
        event = Event.APPROVED_IN_PART if partial else Event.APPROVED
        with self._step(number, event) as (session, request):
            approved = Interval(request.start_us or 0, request.end_us or 0)
            if seen != Seen(request.matched_room or "", approved):
                raise DecisionError("changed", "room or interval were changed meanwhile; look at them again")
            self._keep_only(session, request, approved, actor, now_us)
            self._decide(session, request, reason, actor, now_us)
            request.link_until_us = self._end_of_day_in(session, self.archive.settings.link_days, now_us)
            custody.append(
                session,
                journal.event(
                    "request_approved",
                    request,
                    actor,
                    now_us,
                    partial=partial,
                    **_bounds(approved),
                ),
            )

    def refuse(self, number: str, reason: str, actor: str, now_us: int, *, not_found: bool = False) -> None:
        """No recording is handed out, for a reason that the resident reads.

        The holds stay: from the end of the appeal period on they ask for a decision (`close`).
        """
        reason = _checked_reason(reason, required=True)
        with self._step(number, Event.NOT_FOUND if not_found else Event.REFUSED) as (
            session,
            request,
        ):
            request.appeal_until_us = self._end_of_day_in(session, self.archive.settings.appeal_days, now_us)
            for hold in holds_of(session, request):
                holds.alarm_at(
                    session, self.archive, hold.id, request.appeal_until_us, actor=actor, now_us=now_us
                )
            self._decide(session, request, reason, actor, now_us)
            action = "request_not_found" if not_found else "request_refused"
            custody.append(
                session,
                journal.event(action, request, actor, now_us, appeal_until_us=request.appeal_until_us),
            )

    def withdraw(self, number: str, now_us: int) -> None:
        """By the resident. The holds stay until staff end them: a stolen PIN must not destroy evidence."""
        actor = f"request:{number}"
        with self._step(number, Event.WITHDRAWN) as (session, request):
            for hold in holds_of(session, request):
                holds.alarm_at(session, self.archive, hold.id, now_us, actor=actor, now_us=now_us)
            custody.append(session, journal.event("request_withdrawn", request, actor, now_us))

    def reopen(self, number: str, reason: str, actor: str, now_us: int) -> None:
        """An appeal has come: the request is reviewed again, and nothing is let go meanwhile."""
        reason = _checked_reason(reason, required=True)
        with self._step(number, Event.REOPENED) as (session, request):
            for hold in holds_of(session, request):
                holds.alarm_at(session, self.archive, hold.id, None, actor=actor, now_us=now_us)
            request.decision_reason, request.decided_by, request.decided_us = reason, None, None
            request.appeal_until_us = None
            custody.append(session, journal.event("request_reopened", request, actor, now_us))

    def close(self, number: str, reason: str, actor: str, now_us: int) -> None:
        """End the request's holds: nothing is handed out any more, and due footage goes next night.

        Raises DecisionError while the appeal period of a refusal is running.
        """
        reason = _checked_reason(reason, required=True)
        with self._step(number, Event.CLOSED) as (session, request):
            if request.appeal_until_us is not None and now_us < request.appeal_until_us:
                raise DecisionError(
                    "appeal_running", "the appeal period is running; the hold stays until its end"
                )
            request.closed_us = now_us
            for hold in holds_of(session, request):
                holds.release(session, self.archive, hold.id, actor=actor, reason=reason, now_us=now_us)
            custody.append(session, journal.event("request_closed", request, actor, now_us))

    # --- what the steps have in common

    @contextmanager
    def _step(
        self, number: str, event: Event, other_room: str | None = None
    ) -> Iterator[tuple[Session, Request]]:
        """A transaction in which the request is locked and has made its transition.

        Raises UnknownRequestError, IllegalTransition.
        """
        with self.archive.database.transaction() as session:
            request = session.scalar(select(Request).where(Request.number == number))
            if request is None:
                raise UnknownRequestError(f"no request bears the number {number[:20]}")
            self._lock_days(session, request, other_room)
            session.refresh(request, with_for_update=True)
            after = transition(state_of(request), event)
            if after.status is not Status.CLOSED:
                request.status = after.status.value
            request.outcome = after.outcome.value if after.outcome else None
            yield session, request

    def _lock_days(self, session: Session, request: Request, other_room: str | None) -> None:
        """Everything that the step may hold, narrow or release lies within these."""
        asked = Interval(request.asked_start_us, request.asked_end_us)
        wanted = [(hold.room, Interval(hold.start_us, hold.end_us)) for hold in holds_of(session, request)]
        wanted += [(room, asked) for room in (other_room, request.matched_room) if room]
        holds.lock_days(session, self.archive, wanted)

    def _cover(self, session: Session, request: Request, interval: Interval, actor: str, now_us: int) -> None:
        """Hold the interval in the matched room, unless a hold of this request covers it already."""
        room = request.matched_room or ""
        for hold in holds_of(session, request):
            if hold.room == room and hold.start_us <= interval.start_us and interval.end_us <= hold.end_us:
                return
        order = holds.HoldOrder(
            room=room,
            interval=interval,
            reason=f"request:{request.number}",
            legal_ground=LEGAL_GROUND,
            author=actor,
            request_id=request.id,
        )
        holds.place(session, self.archive, [order], now_us)

    def _keep_only(
        self, session: Session, request: Request, approved: Interval, actor: str, now_us: int
    ) -> None:
        """Narrow the matched room's holds to the approved interval and release what lies outside it."""
        reason = f"request:{request.number} approved"
        for hold in holds_of(session, request):
            kept = approved.intersection(Interval(hold.start_us, hold.end_us))
            if hold.room == request.matched_room and kept is not None:
                holds.narrow(session, self.archive, hold.id, kept, actor=actor, reason=reason, now_us=now_us)
            else:
                holds.release(session, self.archive, hold.id, actor=actor, reason=reason, now_us=now_us)

    def _decide(self, session: Session, request: Request, reason: str, actor: str, now_us: int) -> None:
        request.decision_reason, request.decided_by, request.decided_us = reason, actor, now_us
        session.flush()

    def _end_of_day_in(self, session: Session, days: int, now_us: int) -> int:
        """The midnight that ends the local date `days` after today."""
        zone = self.archive.timezone(session)
        return local_midnight_us(local_date(now_us, zone) + timedelta(days=days + 1), zone)


def _checked_reason(reason: str, *, required: bool) -> str:
    reason = reason.strip()
    if required and not reason:
        raise DecisionError("no_reason", "write the reason; the resident reads it")
    if len(reason) > MAX_REASON:
        raise DecisionError("reason_too_long", f"the reason has {len(reason)} characters; {MAX_REASON} fit")
    return reason


def _bounds(interval: Interval) -> dict[str, int]:
    return {"start_us": interval.start_us, "end_us": interval.end_us}
