"""What a request's resident reads: its steps with dates, and who has opened the footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from archive.models import CustodyEvent, Request, User, Viewing
from retrieval_api.i18n import N_
from retrieval_api.requests.decision import state_of
from retrieval_api.requests.states import State, Status


@dataclass(frozen=True, slots=True)
class StoryStep:
    """`when_us` is None for a step that has not been made; `now` marks the one that is awaited."""

    title: str
    when_us: int | None = None
    now: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """One opening. `role` is a staff role, `resident` (of this request), `applicant` (of another one) or
    `other`; `kind` the kind of its ground.
    """

    role: str
    kind: str
    own: bool
    opened_us: int


def steps(request: Request, happened: dict[str, int]) -> list[StoryStep]:
    """`happened`: action of a custody event → when it happened last."""
    state = state_of(request)
    if state.status is Status.WITHDRAWN or request.outcome == "withdrawn":
        return [
            StoryStep(N_("Запит зареєстровано"), request.created_us),
            StoryStep(N_("Запит відкликано"), happened.get("request_withdrawn"), now=True),
        ]
    review_us = happened.get("request_matched")
    identity_us = happened.get("identity_recorded")
    decided = not state.is_open
    plan = [
        StoryStep(N_("Запит зареєстровано, запис зберігається"), request.created_us),
        StoryStep(N_("Пошук Вашої зустрічі"), review_us if state.matched or decided else None),
        StoryStep(N_("Підтвердження Вашої особи"), identity_us if state.identity_recorded else None),
        StoryStep(N_("Рішення"), request.decided_us if decided else None),
        _last(request, state),
    ]
    return _with_the_next_one_marked(plan, state)


def happened(session: Session, number: str) -> dict[str, int]:
    rows = session.execute(
        select(CustodyEvent.action, CustodyEvent.at_us)
        .where(CustodyEvent.subject == f"request:{number}")
        .order_by(CustodyEvent.sequence)
    )
    return {action: at_us for action, at_us in rows}  # noqa: C416 (a Row is no pair to dict)


def looks(session: Session, request: Request) -> Sequence[Look]:
    """Who has opened footage of this request, oldest first: roles and grounds, no names.

    Before the release only what was opened *for* this request is told: until the meeting is known to
    be the resident's, who looks at a room is somebody else's business. After it, every opening that
    overlaps the approved interval is.
    """
    own = Viewing.ground == f"request:{request.number}"
    where = own
    if state_of(request).is_released:
        overlapping = (
            (Viewing.room == request.matched_room)
            & (Viewing.start_us < request.end_us)
            & (Viewing.end_us > request.start_us)
        )
        where = or_(own, overlapping)
    rows = session.scalars(select(Viewing).where(where).order_by(Viewing.opened_us)).all()
    roles = {f"user:{user.id}": user.role for user in session.scalars(select(User))}
    return [
        Look(
            _role(row.actor, request, roles),
            row.ground.partition(":")[0],
            row.ground == f"request:{request.number}",
            row.opened_us,
        )
        for row in rows
    ]


def _role(actor: str, request: Request, roles: dict[str, str]) -> str:
    if actor == f"request:{request.number}":
        return "resident"
    return "applicant" if actor.startswith("request:") else roles.get(actor, "other")


def _last(request: Request, state: State) -> StoryStep:
    if state.status is Status.CLOSED:
        return StoryStep(N_("Розгляд завершено"), request.closed_us)
    if state.is_released:
        return StoryStep(N_("Доступ до запису"), request.decided_us)
    if state.is_refused:
        return StoryStep(N_("Оскарження, якщо Ви не згодні"))
    return StoryStep(N_("Відповідь Вам"))


def _with_the_next_one_marked(plan: list[StoryStep], state: State) -> list[StoryStep]:
    marked = False
    out = []
    for step in plan:
        awaited = step.when_us is None and not marked
        # A refusal may come before the meeting was found: what was skipped is not awaited any more.
        if not state.is_open and step is not plan[-1] and step.when_us is None:
            continue
        marked = marked or awaited
        out.append(StoryStep(step.title, step.when_us, now=awaited))
    return out
