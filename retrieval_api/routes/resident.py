"""A resident's way to a request: the notice, three short pages, a check, and the receipt. No JavaScript.

What has been filled in travels in hidden fields and is checked again at the end: nothing of a person
is kept before they send the request.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from recorder.errors import UnknownRoomError
from recorder.rooms import RoomsFile
from retention.errors import DayGoneError
from retrieval_api import pages, sessions
from retrieval_api.forms import Form
from retrieval_api.i18n import N_, Localizer
from retrieval_api.pages import ArchiveDep, NowDep, archive_of, localizer_of, rooms_of
from retrieval_api.requests.application import (
    ALL_FIELDS,
    FIELDS,
    Application,
    Circumstances,
    Problem,
    Step,
    clean,
    complete,
    problems,
    shown_again,
)
from retrieval_api.requests.asked_interval import About, parse_day
from retrieval_api.requests.receipts import SHOWN_FOR_SECONDS
from retrieval_api.requests.registration import TooManyOpenError
from retrieval_api.requests.services import RequestServices, address_of, services_of
from retrieval_api.routes import resident_status
from retrieval_api.routes.notice import qr_code

router = APIRouter(include_in_schema=False)
router.include_router(resident_status.router)

RECEIPT_COOKIE = "protokol_receipt"
RECEIPT_PATH = "/request/receipt"
_STEPS = list(Step)

Rooms = Annotated[RoomsFile, Depends(rooms_of)]
Services = Annotated[RequestServices, Depends(services_of)]
Address = Annotated[str, Depends(address_of)]


@router.get("/")
@router.get("/request")
def notice(request: Request, rooms: Rooms, archive: ArchiveDep, now_us: NowDep, room: str = "") -> Response:
    """Who records, why, how long, and a resident's rights. The door's QR code opens it with the room."""
    found = _room_id(rooms, room)
    return pages.render(
        request,
        "resident/notice.html",
        room=found,
        room_label=rooms.room(found).label if found else "",
        rooms=rooms.rooms,
        months=rooms.retention.months,
        earliest=_earliest(Circumstances(rooms, now_us)),
        answer_days=archive.settings.answer_days,
    )


@router.get("/request/new")
def begin(request: Request, rooms: Rooms, now_us: NowDep, room: str = "") -> Response:
    values = {**clean({}), "about": About.HOUR.value, "room": _room_id(rooms, room)}
    return _page(request, Step.WHEN, values, Circumstances(rooms, now_us), secrets.token_urlsafe(16))


@router.post("/request/new")
def go_on(
    request: Request,
    form: Form,
    rooms: Rooms,
    archive: ArchiveDep,
    services: Services,
    now_us: NowDep,
    address: Address,
) -> Response:
    """One page sent: the next one, the same one with what is wrong, or the receipt."""
    sessions.check_anonymous_csrf(request, archive, form.get(sessions.CSRF_FIELD, ""))
    world = Circumstances(rooms, now_us)
    values = clean(form)
    token = form.get("form", "")[:64] or secrets.token_urlsafe(16)
    step, go = _step(form.get("step", "")), form.get("go", "next")
    if step is Step.CHECK and go == "send":
        return _send(request, services, values, world, token, address)
    target, found = _turn(step, go, values, world)
    return _page(request, target, values, world, token, found)


@router.get(RECEIPT_PATH)
def receipt(request: Request, services: Services, now_us: NowDep) -> Response:
    opened = services.receipts.open(request.cookies.get(RECEIPT_COOKIE, ""), now_us)
    if opened is None:
        return pages.render(request, "resident/receipt_gone.html", status_code=410)
    status_url = f"{services.archive.settings.public_url}/status"
    # The code bears the number at most: a photograph of the receipt's code opens nothing.
    return pages.render(
        request,
        "resident/receipt.html",
        receipt=opened,
        status_url=status_url,
        qr=qr_code(f"{status_url}?number={opened.number}"),
    )


def _turn(step: Step, go: str, values: dict[str, str], world: Circumstances) -> tuple[Step, list[Problem]]:
    """The page that comes after a button: going on needs a page that is right, going back does not."""
    if go == "back":
        return _STEPS[max(0, _STEPS.index(step) - 1)], []
    if go.startswith("to-"):
        return _step(go.removeprefix("to-")), []
    found = problems(step, values, world)
    return (step, found) if found else (_STEPS[min(len(_STEPS) - 1, _STEPS.index(step) + 1)], [])


def _send(
    request: Request,
    services: RequestServices,
    values: dict[str, str],
    world: Circumstances,
    token: str,
    address: str,
) -> Response:
    application = complete(values, world, pages.language_of(request))
    if not isinstance(application, Application):
        return _page(request, _page_of(application[0]), values, world, token, application)
    try:
        sealed = _register(services, application, token, address, world.now_us)
    except TooManyOpenError as error:
        return _page(request, Step.CHECK, values, world, token, [_too_many(error)])
    except DayGoneError:
        gone = [Problem("date", N_("Запис за цю дату щойно знищено: минув строк зберігання."))]
        return _page(request, Step.WHEN, values, world, token, gone)
    response = RedirectResponse(RECEIPT_PATH, 303)
    response.set_cookie(
        RECEIPT_COOKIE,
        sealed,
        max_age=SHOWN_FOR_SECONDS,
        path=RECEIPT_PATH,
        httponly=True,
        samesite="lax",
        secure=services.archive.settings.secure_cookies,
    )
    return response


def _register(
    services: RequestServices, application: Application, token: str, address: str, now_us: int
) -> str:
    """The sealed receipt; a double click gets the one of the first click."""
    with services.resubmissions.form(token) as earlier:
        if earlier is not None:
            return earlier
        sealed = services.receipts.seal(services.registrar.register(application, address, now_us), now_us)
        services.resubmissions.remember(token, sealed)
        return sealed


def _page(
    request: Request,
    step: Step,
    values: dict[str, str],
    world: Circumstances,
    token: str,
    found: list[Problem] | None = None,
) -> Response:
    """A page of the form. Reaching the check with something missing leads to where it is missing."""
    application: Application | None = None
    if step is Step.CHECK:
        completed = complete(values, world)
        if isinstance(completed, Application):
            application = completed
        else:
            step, found = _page_of(completed[0]), completed
    archive = archive_of(request)
    csrf, fresh = sessions.anonymous_csrf(request, archive)
    # A page shows the errors of its own fields; the check shows those that belong to none.
    own = [each for each in found or [] if step is Step.CHECK or each.field in FIELDS[step]]
    response = pages.render(
        request,
        f"resident/{step.value}.html",
        status_code=422 if own else 200,
        csrf=csrf,
        form_token=token,
        step=step.value,
        number=_STEPS.index(step) + 1 if step is not Step.CHECK else None,
        errors=_sentences(own, localizer_of(request)),
        carried={name: values[name] for name in ALL_FIELDS if name not in FIELDS[step]},
        **_fields(step, values, world, application),
    )
    sessions.set_anonymous_cookie(response, archive, fresh)
    return response


def _fields(
    step: Step, values: dict[str, str], world: Circumstances, application: Application | None
) -> dict[str, Any]:
    """What the page's own fields need."""
    shown = shown_again(values)
    day = parse_day(values["date"])
    if step is Step.WHEN and day is not None:
        shown["date"] = day.isoformat()
    context: dict[str, Any] = {
        "values": shown,
        "rooms": world.rooms.rooms,
        "earliest": _earliest(world),
        # A date input would drop what is no date: such text goes back into a text field.
        "date_is_iso": day is not None or not values["date"],
        "application": application,
    }
    if application is not None:
        context["room_label"] = world.rooms.room(application.room).label if application.room else ""
    return context


def _sentences(found: list[Problem], texts: Localizer) -> Mapping[str, str]:
    """The first sentence of each field."""
    sentences: dict[str, str] = {}
    for problem in found:
        sentences.setdefault(problem.field, texts.gettext(problem.message, **problem.values))
    return sentences


def _too_many(error: TooManyOpenError) -> Problem:
    if error.whose == "contact":
        message = N_(
            "За цим контактом більше відкритих запитів подати не можна: їх уже %(limit)s. "
            "Дочекайтеся відповіді або прийдіть до центру надання адміністративних послуг."
        )
    else:
        message = N_(
            "З Вашої мережі більше запитів подати не можна: їх уже %(limit)s. Спробуйте з іншої мережі "
            "або прийдіть до центру надання адміністративних послуг."
        )
    return Problem("main", message, {"limit": error.limit})


def _page_of(problem: Problem) -> Step:
    return next((step for step in _STEPS if problem.field in FIELDS[step]), Step.WHEN)


def _step(text: str) -> Step:
    return Step(text) if text in set(Step) else Step.WHEN


def _room_id(rooms: RoomsFile, name: str) -> str:
    """The id of a room named in an address, or nothing for what is no room."""
    try:
        return rooms.room(name[:60]).id if name else ""
    except UnknownRoomError:
        return ""


def _earliest(world: Circumstances) -> date:
    """The oldest date whose recordings are not due yet."""
    day = world.today
    while world.destroyed_us(day - timedelta(days=1)) > world.now_us:
        day -= timedelta(days=1)
    return day
