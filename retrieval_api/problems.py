"""Errors at the edge: RFC 9457 problem documents for programs, pages that say what to do for people.

A route raises `Problem` (or any ProtokolError of the lower floors) and never writes an error answer
itself: programs read `code`, which is stable, and `detail`, which is English; a page is in the
reader's language.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from recorder.errors import BadInstantError, ProtokolError, UnknownRoomError
from recorder.logging import get_logger
from retrieval_api import pages
from retrieval_api.i18n import N_

_log = get_logger()
MEDIA_TYPE = "application/problem+json"
# Programs live here; everything else is read by people.
_PROGRAM_PATHS = ("/api/", "/ingest/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/static/")


@dataclass(frozen=True, slots=True)
class PageText:
    """What a person reads: message ids (Ukrainian) and the values of their placeholders."""

    title: str
    advice: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Problem(ProtokolError):  # noqa: N818 (RFC 9457: an answer, not a failure)
    """An answer that is not success. `code` is stable; `extensions` are members of the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        page: PageText | None = None,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.page = page or _PAGES.get(status) or _PAGES[500 if status >= 500 else 400]
        self.headers = dict(headers or {})
        self.extensions = extensions

    def document(self) -> dict[str, Any]:
        return {
            "type": f"urn:protokol:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extensions,
        }


class AwayProblem(Problem):
    """The database cannot be asked: the page that tells it must not ask it either."""


class NotLoggedInError(Problem):
    """The page or the API is for staff; a browser is sent to the log-in and comes back after it."""

    def __init__(self) -> None:
        super().__init__(401, "not_logged_in", "log in at /staff/login; the session may have ended")


_PAGES: dict[int, PageText] = {
    400: PageText(N_("Запит не зрозумілий"), N_("Поверніться на попередню сторінку і спробуйте ще раз.")),
    401: PageText(N_("Потрібно увійти"), N_("Увійдіть і спробуйте ще раз.")),
    403: PageText(
        N_("Немає доступу"),
        N_("Ваша роль не дозволяє відкрити цю сторінку. Зверніться до адміністратора."),
    ),
    404: PageText(
        N_("Такої сторінки немає"),
        N_("Перевірте адресу або почніть з головної сторінки."),
    ),
    405: PageText(N_("Так цю сторінку не відкривають"), N_("Почніть з головної сторінки.")),
    413: PageText(
        N_("Забагато тексту"),
        N_("Поверніться назад: написане збереглося у браузері. Скоротіть текст і надішліть ще раз."),
    ),
    415: PageText(N_("Форму надіслано в іншому вигляді"), N_("Поверніться назад і надішліть форму ще раз.")),
    422: PageText(N_("Дані не підходять"), N_("Поверніться назад, виправте позначене і надішліть ще раз.")),
    429: PageText(N_("Забагато спроб"), N_("Зачекайте 15 хвилин і спробуйте ще раз.")),
    500: PageText(
        N_("У нас сталася помилка"),
        N_("Спробуйте ще раз за кілька хвилин. Якщо повториться, назвіть нам код: %(reference)s."),
    ),
    503: PageText(N_("Сервіс тимчасово недоступний"), N_("Спробуйте ще раз за кілька хвилин.")),
}
CSRF_PAGE = PageText(
    N_("Сторінка застаріла"),
    N_("Нічого не змінено. Поверніться назад, оновіть сторінку і надішліть форму ще раз."),
)

_UNKNOWN_ROOM = PageText(N_("Такого кабінету немає"), N_("Перевірте номер кабінету на дверях і в адресі."))
_BAD_TIME = PageText(N_("Час або дату не зрозуміло"), N_("Поверніться назад і виберіть дату й час ще раз."))

# Errors of the lower floors → problems; the most specific class wins. Features add theirs.
_translators: dict[type[ProtokolError], Callable[[Any], Problem]] = {
    UnknownRoomError: lambda error: Problem(404, "unknown_room", str(error), page=_UNKNOWN_ROOM),
    BadInstantError: lambda error: Problem(400, "bad_time", str(error), page=_BAD_TIME),
}


def translate(kind: type[ProtokolError], translator: Callable[[Any], Problem]) -> None:
    """Says how an error of a lower floor is answered; subclasses follow unless they have their own."""
    _translators[kind] = translator


def as_problem(error: ProtokolError) -> Problem | None:
    """The problem that answers an expected error, or None for one that no reader can mend."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        if kind in _translators:
            return _translators[kind](error)
    return None


def wants_page(request: Request) -> bool:
    return not request.url.path.startswith(_PROGRAM_PATHS)


def respond(request: Request, problem: Problem) -> Response:
    """The answer in the form that the path's readers understand; never raises."""
    if not wants_page(request):
        return JSONResponse(
            problem.document(), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
        )
    if isinstance(problem, NotLoggedInError):
        return _to_login(request)
    if not isinstance(problem, AwayProblem):
        with contextlib.suppress(ProtokolError, SQLAlchemyError):
            return _page(request, problem)
    return _page(request, problem, knows_council=False)


def _page(request: Request, problem: Problem, *, knows_council: bool = True) -> Response:
    return pages.render(
        request,
        "error.html",
        status_code=problem.status,
        headers=problem.headers,
        knows_council=knows_council,
        title=problem.page.title,
        advice=problem.page.advice,
        values={**problem.page.values, "reference": problem.extensions.get("reference", "")},
        status=problem.status,
    )


def install(app: FastAPI) -> None:
    """Every error of the application leaves through here."""
    app.add_exception_handler(ProtokolError, _on_protokol_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, on_defect)


def _to_login(request: Request) -> Response:
    # A fragment that htmx asked for must not put the log-in page into the middle of the old one.
    # The log-in leads back to the page that asked for it.
    if request.headers.get("HX-Request"):
        try:
            page = urlsplit(request.headers.get("HX-Current-URL", ""))
        except ValueError:
            page = urlsplit("")
        return Response(status_code=204, headers={"HX-Redirect": _login_for(page.path, page.query)})
    if request.method != "GET":
        return RedirectResponse("/staff/login", status_code=303)
    return RedirectResponse(_login_for(request.url.path, request.url.query), status_code=303)


def _login_for(path: str, query: str) -> str:
    came_from = f"{path}?{query}" if query else path
    return f"/staff/login?next={quote(came_from, safe='')}" if path else "/staff/login"


def _on_protokol_error(request: Request, error: Exception) -> Response:
    problem = as_problem(error) if isinstance(error, ProtokolError) else None
    return respond(request, problem) if problem else on_defect(request, error)


def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return on_defect(request, error)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return respond(request, Problem(error.status_code, code, str(error.detail), headers=error.headers))


def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return on_defect(request, error)
    faults = [
        {"where": ".".join(map(str, fault["loc"])), "message": str(fault["msg"])[:200]}
        for fault in error.errors()[:20]
    ]
    detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults)
    return respond(request, Problem(422, "invalid_input", detail, faults=faults))


def on_defect(request: Request, error: Exception) -> Response:
    """What nobody expected: logged whole under a reference, which is all that the reader sees of it."""
    reference = secrets.token_hex(4)
    _log.error("defect", reference=reference, path=request.url.path, exc_info=error)
    detail = f"an unexpected error; the server's log has it under {reference}"
    return respond(request, Problem(500, "internal_error", detail, reference=reference))
