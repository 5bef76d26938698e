"""A resident's request after it was sent: its state by number + PIN, and the released recording."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive import models
from archive.door import NoFootageError
from archive.mp4.virtual import NothingRecordedError
from archive.system import Archive
from recorder.rooms import RoomsFile
from retrieval_api import clip_response, pages, sessions
from retrieval_api.forms import Form
from retrieval_api.i18n import N_, Localizer
from retrieval_api.pages import ArchiveDep, NowDep, localizer_of, rooms_of
from retrieval_api.problems import PageText, Problem
from retrieval_api.release.recording import NotReleasedError, Release, release_of
from retrieval_api.requests import story
from retrieval_api.requests.access import ThrottledError, WrongPinError
from retrieval_api.requests.decision import state_of
from retrieval_api.requests.keys import PIN_DIGITS, plain_pin
from retrieval_api.requests.numbers import parse_number
from retrieval_api.requests.services import RequestServices, address_of, services_of
from retrieval_api.requests.states import IllegalTransition
from retrieval_api.wording import ROLES

router = APIRouter(include_in_schema=False)

Services = Annotated[RequestServices, Depends(services_of)]
Texts = Annotated[Localizer, Depends(localizer_of)]

_LOG_IN = "/status"
_MINE = "/my"
_RECORDING = "/my/recording.mp4"


class NoResidentError(Problem):
    """No number + PIN stands behind this cookie (any more)."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "no_request_session",
            "enter the number and the PIN at /status",
            page=PageText(
                N_("Потрібні номер і PIN-код"),
                N_("Ви давно нічого не натискали, або вхід завершено. Введіть номер і PIN-код ще раз."),
            ),
        )


class Visitor:
    """A resident who has entered number and PIN."""

    def __init__(self, request: models.Request, csrf: str) -> None:
        self.request = request
        self.csrf = csrf

    @property
    def actor(self) -> str:
        return f"request:{self.request.number}"


def visitor_of(request: Request, archive: ArchiveDep, now_us: NowDep) -> Visitor | None:
    row = sessions.find(archive, request.cookies.get(sessions.REQUEST_COOKIE), now_us)
    if row is None or row.request_id is None:
        return None
    with archive.database.reading() as session:
        found = session.get(models.Request, row.request_id)
    return Visitor(found, row.csrf) if found else None


def required_visitor(
    request: Request, form: Form, visitor: Annotated[Visitor | None, Depends(visitor_of)]
) -> Visitor:
    """Raises NoResidentError; Problem 403 for a form that this session did not make."""
    if visitor is None:
        raise NoResidentError
    if request.method == "POST":
        sessions.check_csrf(visitor.csrf, form.get(sessions.CSRF_FIELD, ""))
    return visitor


SomeVisitor = Annotated[Visitor, Depends(required_visitor)]


@router.get(_LOG_IN)
def log_in_page(request: Request, archive: ArchiveDep, number: str = "") -> Response:
    return _log_in_form(request, archive, number[:32], {})


@router.post(_LOG_IN)
def log_in(
    request: Request,
    form: Form,
    archive: ArchiveDep,
    services: Services,
    now_us: NowDep,
    texts: Texts,
    address: Annotated[str, Depends(address_of)],
) -> Response:
    sessions.check_anonymous_csrf(request, archive, form.get(sessions.CSRF_FIELD, ""))
    number, pin = form.get("number", "").strip(), form.get("pin", "")
    errors = _slips(number, pin)
    if not errors:
        try:
            found = services.gate.admit(number, pin, address, now_us)
        except ThrottledError as error:
            raise Problem(429, "too_many_attempts", str(error)) from error
        except WrongPinError:
            errors = {
                "pin": N_(
                    "Номер і PIN-код не підходять. Перевірте їх. Після десяти помилок номер блокується: "
                    "тоді прийдіть з документом до центру надання адміністративних послуг."
                )
            }
    if errors:
        told = {field: texts.gettext(message) for field, message in errors.items()}
        return _log_in_form(request, archive, number[:32], told)
    with archive.database.transaction() as session:
        token = sessions.begin(session, archive, now_us, request_id=found.id)
    response = RedirectResponse(_MINE, 303)
    sessions.set_cookie(response, archive, sessions.REQUEST_COOKIE, token)
    return response


@router.get(_MINE)
def mine(
    request: Request,
    archive: ArchiveDep,
    rooms: Annotated[RoomsFile, Depends(rooms_of)],
    now_us: NowDep,
    visitor: Annotated[Visitor | None, Depends(visitor_of)],
) -> Response:
    """The request's state. Who has no session is asked for number and PIN, not scolded."""
    if visitor is None:
        return RedirectResponse(_LOG_IN, 303)
    found = visitor.request
    with archive.database.reading() as session:
        looks = story.looks(session, found)
        steps = story.steps(found, story.happened(session, found.number))
    release, missing, coding = _release(archive, found, now_us)
    labels = {room.id: room.label for room in rooms.rooms}
    state = state_of(found)
    return pages.render(
        request,
        "resident/mine.html",
        csrf=visitor.csrf,
        found=found,
        state=state,
        is_late=state.is_open and now_us >= found.answer_due_us,
        steps=steps,
        looks=looks,
        roles=ROLES,
        release=release,
        missing=missing,
        coding=coding,
        room_label=labels.get(found.room or "", ""),
    )


@router.head(_RECORDING)
@router.get(_RECORDING)
def recording(
    request: Request,
    archive: ArchiveDep,
    rooms: Annotated[RoomsFile, Depends(rooms_of)],
    visitor: SomeVisitor,
    now_us: NowDep,
    download: bool = False,
) -> Response:
    """Exactly the approved interval; who opens it stands in «Хто переглядав» too."""
    try:
        release = release_of(visitor.request, now_us)
    except NotReleasedError as error:
        page = PageText(
            N_("Запис недоступний"),
            N_("Рішення надати запис немає, або строк перегляду минув. Подивіться стан запиту."),
        )
        raise Problem(404, error.code, str(error), page=page) from error
    opening = release.opening(visitor.actor)
    return clip_response.answer(request, archive, opening, download=download, zone=rooms.council.timezone)


@router.get("/my/withdraw")
def withdraw_page(request: Request, visitor: SomeVisitor) -> Response:
    if not state_of(visitor.request).is_open:
        return RedirectResponse(_MINE, 303)
    return pages.render(request, "resident/withdraw.html", csrf=visitor.csrf, found=visitor.request)


@router.post("/my/withdraw")
def withdraw(services: Services, visitor: SomeVisitor, now_us: NowDep) -> Response:
    try:
        services.desk.withdraw(visitor.request.number, now_us)
    except IllegalTransition as error:
        page = PageText(N_("Відкликати вже не можна"), N_("Рішення вже прийнято. Подивіться стан запиту."))
        raise Problem(409, error.reason, str(error), page=page) from error
    return RedirectResponse(_MINE, 303)


@router.post("/my/leave")
def leave(request: Request, archive: ArchiveDep, visitor: SomeVisitor) -> Response:
    del visitor
    with archive.database.transaction() as session:
        sessions.end(session, request.cookies[sessions.REQUEST_COOKIE])
    response = RedirectResponse("/", 303)
    sessions.clear_cookie(response, archive, sessions.REQUEST_COOKIE)
    return response


def _slips(number: str, pin: str) -> dict[str, str]:
    """What cannot be right whatever is registered: told without asking, so it costs no attempt."""
    errors = {}
    if not number:
        errors["number"] = N_("Введіть реєстраційний номер.")
    elif parse_number(number) is None:
        errors["number"] = N_("У номері помилка. Перевірте кожну цифру, наприклад 2026-000123-4.")
    typed = plain_pin(pin)
    if not typed:
        errors["pin"] = N_("Введіть PIN-код.")
    elif len(typed) != PIN_DIGITS or not (typed.isascii() and typed.isdigit()):
        errors["pin"] = N_("PIN-код — це вісім цифр. Перевірте їх.")
    return errors


def _log_in_form(request: Request, archive: Archive, number: str, errors: dict[str, str]) -> Response:
    csrf, fresh = sessions.anonymous_csrf(request, archive)
    response = pages.render(
        request,
        "resident/status_login.html",
        status_code=422 if errors else 200,
        csrf=csrf,
        errors=errors,
        values={"number": number, "pin": ""},
    )
    sessions.set_anonymous_cookie(response, archive, fresh)
    return response


def _release(archive: Archive, found: models.Request, now_us: int) -> tuple[Release | None, bool, str]:
    """What can be received now, whether it is missing although it was released, how its picture is coded."""
    try:
        release = release_of(found, now_us)
    except NotReleasedError:
        return None, False, ""
    try:
        clip = clip_response.find(archive, release.opening(f"request:{found.number}"), now_us)
    except (NoFootageError, NothingRecordedError):
        return None, True, ""
    return release, False, clip.file.coding
