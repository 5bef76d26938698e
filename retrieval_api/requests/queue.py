"""What staff see of requests: the queue, and one request with the person behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import Hold, Request, RequestPerson
from recorder.instants import local_date
from retrieval_api.requests.decision import UnknownRequestError, holds_of, state_of
from retrieval_api.requests.states import State, Status

Shelf = Literal["open", "ending", "done"]
# Done requests are looked up by number; the list shows the newest.
_DONE_AT_MOST = 200
_IS_OPEN = Request.status.in_((Status.REGISTERED.value, Status.IN_REVIEW.value))


@dataclass(frozen=True, slots=True)
class Row:
    """A request in a list. `days_left` counts calendar days to the last day of an answer on time;
    negative when it is late. `wants_end`: its hold may, and should, be ended by staff now.
    """

    request: Request
    official: str
    state: State
    days_left: int
    open_of_contact: int
    holds: int
    wants_end: bool

    @property
    def without_room(self) -> bool:
        return self.request.room is None and self.request.matched_room is None


@dataclass(frozen=True, slots=True)
class Case:
    """One request for its page."""

    row: Row
    person: RequestPerson
    holds: tuple[Hold, ...]

    @property
    def request(self) -> Request:
        return self.row.request


def shelf(session: Session, which: Shelf, now_us: int, zone: str) -> Sequence[Row]:
    """`open`: to be decided, the late ones first, then those without a room (they hold every room); of each
    the oldest due.
    `ending`: decided or withdrawn, with holds that still stand. `done`: the rest, newest first.
    """
    statement = select(Request, RequestPerson).join(RequestPerson)
    if which == "open":
        statement = statement.where(_IS_OPEN).order_by(Request.answer_due_us, Request.id)
    elif which == "ending":
        statement = statement.where(~_IS_OPEN, Request.closed_us.is_(None)).order_by(
            Request.decided_us.nulls_first(), Request.id
        )
    else:
        statement = statement.where(Request.closed_us.is_not(None)).order_by(Request.closed_us.desc())
        statement = statement.limit(_DONE_AT_MOST)
    found = session.execute(statement).all()
    contacts = _open_by_contact(session)
    rows = [_row(session, request, person, contacts, now_us, zone) for request, person in found]
    return (
        sorted(rows, key=lambda row: (row.days_left >= 0, not row.without_room)) if which == "open" else rows
    )


def overdue_count(session: Session, now_us: int) -> int:
    """How many wait for an answer whose last day is over; the open shelf has them first."""
    late = select(func.count()).select_from(Request).where(_IS_OPEN, Request.answer_due_us <= now_us)
    return session.scalar(late) or 0


def case(session: Session, number: str, now_us: int, zone: str) -> Case:
    """Raises UnknownRequestError."""
    wanted = select(Request, RequestPerson).join(RequestPerson).where(Request.number == number)
    found = session.execute(wanted).one_or_none()
    if found is None:
        raise UnknownRequestError(f"no request bears the number {number[:20]}")
    request, person = found
    row = _row(session, request, person, _open_by_contact(session), now_us, zone)
    return Case(row, person, tuple(holds_of(session, request)))


def may_end(request: Request, state: State, now_us: int) -> bool:
    """Whether staff may end the request's holds now."""
    if state.status not in {Status.DECIDED, Status.WITHDRAWN}:
        return False
    return request.appeal_until_us is None or now_us >= request.appeal_until_us


def _row(
    session: Session,
    request: Request,
    person: RequestPerson,
    contacts: Counter[str],
    now_us: int,
    zone: str,
) -> Row:
    state = state_of(request)
    last_day = local_date(request.answer_due_us - 1, zone)
    link_is_over = request.link_until_us is None or now_us >= request.link_until_us
    return Row(
        request,
        person.official,
        state,
        (last_day - local_date(now_us, zone)).days,
        contacts[person.contact_sha256],
        len(holds_of(session, request)),
        may_end(request, state, now_us) and (link_is_over or not state.is_released),
    )


def _open_by_contact(session: Session) -> Counter[str]:
    """Open requests of each contact; there are few open requests, so one query does for a list."""
    statement = select(RequestPerson.contact_sha256).join(Request).where(_IS_OPEN)
    return Counter(session.scalars(statement))
