"""Staff state why they open footage, once for the visit: a question, and what the session keeps of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from archive.door import GroundError, holds_for
from retrieval_api import grounds, pages, sessions
from retrieval_api.auth import Staff
from retrieval_api.forms import Form
from retrieval_api.pages import ArchiveDep
from retrieval_api.problems import PageText, as_problem
from retrieval_api.routes.rooms import FootageStaff

router = APIRouter(prefix="/staff/ground", include_in_schema=False)


@router.get("")
def ask(
    request: Request,
    staff: FootageStaff,
    next: Annotated[str, Query(max_length=500)] = "",  # noqa: A002 (the name in the address)
) -> Response:
    kind, _, reference = (staff.ground or "").partition(":")
    return _page(request, staff, kind, reference, pages.own_staff_page(next))


@router.post("")
def state(request: Request, staff: FootageStaff, archive: ArchiveDep, form: Form) -> Response:
    """Kept on return. A ground of another role, or one that does not exist, changes nothing."""
    kind, reference = form.get("ground", ""), form.get("reference", "")[:40]
    target = pages.own_staff_page(form.get("next", ""))
    try:
        ground = grounds.of_role(staff.role, grounds.written(kind, reference))
        with archive.database.transaction() as session:
            holds_for(session, ground)
            sessions.keep_ground(session, request.cookies[sessions.STAFF_COOKIE], str(ground))
    except GroundError as error:
        problem = as_problem(error)
        return _page(request, staff, kind, reference, target, problem.page if problem else None)
    return RedirectResponse(target, 303)


def _page(
    request: Request, staff: Staff, kind: str, reference: str, target: str, problem: PageText | None = None
) -> Response:
    return pages.render(
        request,
        "ground.html",
        status_code=422 if problem else 200,
        grounds=grounds.allowed(staff.role),
        ground=kind,
        reference=reference,
        next=target,
        problem=problem,
    )
