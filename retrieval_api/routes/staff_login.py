"""Staff log in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive.system import Archive
from recorder.instants import US_PER_MINUTE
from retrieval_api import accounts, pages, sessions
from retrieval_api.auth import Staff, require, staff_of
from retrieval_api.forms import Form
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import Problem
from retrieval_api.throttle import Throttle

router = APIRouter(include_in_schema=False)
# A whole office behind one address mistypes now and then; a guesser does little else.
_addresses = Throttle(limit=30, window_us=15 * US_PER_MINUTE)


@router.get("/staff/login")
def login_page(
    request: Request,
    archive: ArchiveDep,
    now_us: NowDep,
    next: str = "",  # noqa: A002 (the name in the address)
) -> Response:
    if staff_of(request, archive, now_us):
        return RedirectResponse(pages.own_staff_page(next), 303)
    return _form(request, archive, pages.own_staff_page(next))


@router.post("/staff/login")
def log_in(
    request: Request,
    form: Form,
    archive: ArchiveDep,
    now_us: NowDep,
) -> Response:
    sessions.check_anonymous_csrf(request, archive, form.get(sessions.CSRF_FIELD, ""))
    target = pages.own_staff_page(form.get("next", ""))
    address = request.client.host if request.client else "unknown"
    if _addresses.is_closed(address, now_us):
        raise Problem(429, "too_many_attempts", "too many failed log-ins from this address; wait 15 minutes")
    name = form.get("name", "").strip()
    entered = accounts.log_in(archive, name, form.get("password", ""), now_us)
    if entered is None:
        _addresses.failed(address, now_us)
        return _form(request, archive, target, name=name[: accounts.MAX_NAME], wrong=True)
    response = RedirectResponse(target, 303)
    sessions.set_cookie(response, archive, sessions.STAFF_COOKIE, entered.token)
    return response


@router.post("/staff/logout")
def log_out(
    request: Request,
    staff: Annotated[Staff, Depends(require())],
    archive: ArchiveDep,
    now_us: NowDep,
) -> Response:
    accounts.log_out(archive, request.cookies[sessions.STAFF_COOKIE], staff.id, now_us)
    response = RedirectResponse("/staff/login", 303)
    sessions.clear_cookie(response, archive, sessions.STAFF_COOKIE)
    return response


def _form(
    request: Request, archive: Archive, target: str, name: str = "", *, wrong: bool = False
) -> Response:
    token, fresh = sessions.anonymous_csrf(request, archive)
    response = pages.render(
        request,
        "login.html",
        status_code=401 if wrong else 200,
        csrf=token,
        next=target,
        name=name,
        wrong=wrong,
    )
    sessions.set_anonymous_cookie(response, archive, fresh)
    return response
