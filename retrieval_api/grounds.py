"""On what ground staff may open which footage: stated, of the role, and no wider than its purpose.

Stated once a visit (`/staff/ground`, kept in the session) or with a request of its own (`ground=`).
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from archive.door import Ground, GroundError, holds_for
from recorder.intervals import Interval, intersect, merge, subtract
from retrieval_api.auth import Staff
from retrieval_api.i18n import N_
from retrieval_api.problems import PageText, Problem

_BY_ROLE = {
    "operator": ("request", "hold", "fault_check"),
    "auditor": ("audit", "request", "hold"),
    "admin": ("fault_check", "hold", "request", "audit"),
}


def allowed(role: str) -> tuple[str, ...]:
    """Kinds of ground that the role may state, the usual one first; empty for roles without footage."""
    return _BY_ROLE.get(role, ())


def written(kind: str, reference: str) -> str:
    """What a form's two fields state; a number that the kind does not bear is left out."""
    number = reference.strip().removeprefix("№").strip()
    return f"{kind}:{number}" if number and kind in ("request", "hold") else kind


def of_role(role: str, text: str | None) -> Ground:
    """The stated ground. An auditor's is audit unless another is stated.

    Raises Problem 428 where none is stated, 403 for one of another role; GroundError for no ground at all.
    """
    if not text:
        if role == "auditor":
            return Ground("audit")
        raise Problem(
            428,
            "ground_required",
            "say why the footage is opened: add ground=request:NUMBER, ground=hold:ID or ground=fault_check",
            page=PageText(N_("Вкажіть підставу"), N_("Виберіть, навіщо відкриваєте запис.")),
            grounds=list(allowed(role)),
        )
    ground = Ground.parse(text)
    if ground.kind not in allowed(role):
        raise Problem(
            403,
            "ground_not_yours",
            f"the role {role} may not open footage for {ground.kind}; it may for {', '.join(allowed(role))}",
            grounds=list(allowed(role)),
        )
    return ground


def of_visit(staff: Staff, text: str | None) -> Ground:
    """The ground stated with this request, else the one that the visit keeps; raises as `of_role`.

    The role is asked in either case: what a session keeps opens no more than it would if stated anew.
    """
    return of_role(staff.role, text or staff.ground)


def limits(session: Session, ground: Ground, room_id: str, interval: Interval) -> list[Interval] | None:
    """What of the interval may be shown for the purpose of the ground; None where it knows no limits.

    Raises Problem 403 where that is nothing, GroundError where there is no such request or hold.
    """
    if ground.kind in ("audit", "fault_check"):
        return None
    held = _held(session, ground, room_id)
    within = intersect(merge(held), [interval])
    if not within:
        raise _outside(ground, room_id)
    return list(within)


def opened(session: Session, staff: Staff, room_id: str, interval: Interval) -> list[Interval] | None:
    """What of the interval the ground of the visit may open, empty for nothing, to be told to its staff; None
    where it knows no limits or none is stated yet.
    """
    try:
        return limits(session, of_visit(staff, None), room_id, interval)
    except GroundError:
        return []
    except Problem as problem:
        return [] if problem.code == "outside_purpose" else None


def check_purpose(session: Session, ground: Ground, room_id: str, interval: Interval) -> None:
    """Footage opened for a request or a hold lies inside what is held for it: no browsing beside it.

    Raises Problem 403 where it does not, GroundError where there is no such request or hold.
    """
    if ground.kind in ("audit", "fault_check"):
        return
    if subtract([interval], _held(session, ground, room_id)):
        raise _outside(ground, room_id)


def _held(session: Session, ground: Ground, room_id: str) -> list[Interval]:
    holds = holds_for(session, ground)
    return [Interval(hold.start_us, hold.end_us) for hold in holds if hold.room == room_id]


def _outside(ground: Ground, room_id: str) -> Problem:
    return Problem(
        403,
        "outside_purpose",
        f"the interval is not within what {ground} holds of room {room_id}",
        page=PageText(
            N_("Цей проміжок не належить до підстави"),
            N_("Відкрити можна лише те, що заборонено знищувати за цією підставою. Звузьте проміжок."),
        ),
    )
