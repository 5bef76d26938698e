"""Who is asking: dependencies that let staff in by role, and check the token of every form they send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from archive.system import Archive
from retrieval_api import sessions
from retrieval_api.forms import Form
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import NotLoggedInError, Problem

ROLES = ("clerk", "operator", "reviewer", "auditor", "admin")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff who is logged in. `session`: the hash of the session's token; `ground`: that on which
    this visit opens footage, if stated.
    """

    id: int
    name: str
    role: str
    csrf: str
    session: str
    ground: str | None = None

    @property
    def actor(self) -> str:
        """As custody events name them."""
        return f"user:{self.id}"


def staff_of(request: Request, archive: Archive, now_us: int, *, is_use: bool = True) -> Staff | None:
    """Who the cookie says is asking; None when nobody is logged in, or the user has been disabled.

    Requests of a page that refreshes itself (by htmx, or with `refresh` in its address) do not count as use:
    a board left open logs nobody in for ever.
    """
    refreshes = "HX-Request" in request.headers or "refresh" in request.query_params
    found = sessions.find_user(
        archive,
        request.cookies.get(sessions.STAFF_COOKIE),
        now_us,
        extend=is_use and not refreshes,
    )
    if found is None or found[1].disabled_us is not None:
        return None
    row, user = found
    return Staff(user.id, user.name, user.role, row.csrf, row.token_sha256, row.ground)


def require(*roles: str, is_use: bool = True) -> Callable[..., Staff]:
    """A dependency: staff in one of these roles (none named: any), and a right `csrf` field in a form.
    Without `is_use`, what a page asks for by itself: the session's idle time goes on.

    Raises NotLoggedInError (a page goes to the log-in), Problem 403 for another role or a stale form.
    """
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise ValueError(f"unknown roles: {unknown}")

    def dependency(
        request: Request,
        form: Form,
        archive: ArchiveDep,
        now_us: NowDep,
    ) -> Staff:
        staff = staff_of(request, archive, now_us, is_use=is_use)
        if staff is None:
            raise NotLoggedInError
        # Set first: an error page for staff keeps their menu.
        request.state.staff = staff
        if request.method not in _SAFE_METHODS:
            sessions.check_csrf(staff.csrf, form.get(sessions.CSRF_FIELD, ""))
        if roles and staff.role not in roles:
            raise Problem(
                403, "forbidden", f"the role {staff.role} may not do this; it is for {_any_of(roles)}"
            )
        return staff

    return dependency


def _any_of(roles: tuple[str, ...]) -> str:
    return roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} or {roles[-1]}"
