"""The steps of a review, one form each. A form that is wrong shows the request's page again, with the
sentence in its section and everything that was typed.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive import search
from recorder.errors import UnknownRoomError
from recorder.instants import local_date
from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from retention.errors import DayGoneError
from retrieval_api import pages
from retrieval_api.auth import Staff, require
from retrieval_api.forms import Form
from retrieval_api.i18n import N_
from retrieval_api.pages import ArchiveDep, NowDep, rooms_of
from retrieval_api.requests import queue, review_page
from retrieval_api.requests.access import Document, reissue_pin
from retrieval_api.requests.asked_interval import typed_interval
from retrieval_api.requests.decision import Basis, DecisionError, Seen
from retrieval_api.requests.matching import OutOfReachError
from retrieval_api.requests.receipts import SHOWN_FOR_SECONDS, Receipt
from retrieval_api.requests.review_page import REVIEWERS
from retrieval_api.requests.services import RequestServices, services_of
from retrieval_api.requests.states import IllegalTransition

router = APIRouter(prefix="/staff/requests/{number}", include_in_schema=False)

AtDesk = Annotated[Staff, Depends(require("clerk", *REVIEWERS))]
Reviewer = Annotated[Staff, Depends(require(*REVIEWERS))]
Rooms = Annotated[RoomsFile, Depends(rooms_of)]
Services = Annotated[RequestServices, Depends(services_of)]

_PIN_COOKIE = "protokol_new_pin"
_NOT_YET = {
    "no_room": N_("Спершу виберіть кабінет."),
    "no_interval": N_("Спершу задайте початок і кінець."),
    "no_identity": N_("Спершу запишіть, як підтверджено особу."),
    "already_decided": N_("Рішення вже прийнято. Подивіться, що змінилося."),
    "not_decided": N_("Рішення ще не прийнято."),
    "not_refused": N_("Переглянути можна лише відмову."),
    "no_reason": N_("Напишіть причину: її прочитає мешканець."),
    "reason_too_long": N_("Причина задовга. Вміщується 2000 знаків."),
    "note_too_long": N_("Примітка задовга. Вміщується 300 знаків."),
    "document_number": N_("Схоже, у примітці номер документа. Приберіть його: його не можна зберігати."),
    "changed": N_("Межі запису щойно змінено. Перегляньте їх ще раз, перш ніж вирішувати."),
    "appeal_running": N_("Строк оскарження ще триває. До його кінця заборону знищення не знімають."),
}


@router.post("/match")
def match(
    request: Request, number: str, form: Form, staff: Reviewer, services: Services, now_us: NowDep
) -> Response:
    """The meeting was in this room."""
    try:
        room = _room_id(services, form.get("room", ""))
        services.desk.match(number, room, staff.actor, now_us)
    except UnknownRoomError:
        return _again(request, staff, number, "match", N_("Виберіть кабінет."), form)
    except DayGoneError:
        return _again(
            request, staff, number, "match", N_("Запис цього кабінету за той день уже знищено."), form
        )
    except (IllegalTransition, DecisionError) as error:
        return _again(request, staff, number, "match", _words(error), form)
    return _back(number, "watch")


@router.post("/interval")
def interval(
    request: Request,
    number: str,
    form: Form,
    staff: Reviewer,
    services: Services,
    rooms: Rooms,
    now_us: NowDep,
) -> Response:
    """In and out, typed or taken from the player."""
    zone = rooms.council.timezone
    with services.archive.database.reading() as session:
        day = date.fromisoformat(queue.case(session, number, now_us, zone).request.date)
    chosen = typed_interval(day, form.get("in", ""), form.get("out", ""), zone)
    if chosen is None:
        sentence = N_("Напишіть початок і кінець так: 10:02:14. Початок має бути раніше за кінець.")
        return _again(request, staff, number, "interval", sentence, form)
    try:
        services.desk.set_interval(number, chosen, staff.actor, now_us)
    except OutOfReachError:
        sentence = N_("Цей час не належить до запиту: задайте час із запиту або годину навколо.")
        return _again(request, staff, number, "interval", sentence, form)
    except (IllegalTransition, DayGoneError) as error:
        return _again(request, staff, number, "interval", _words(error), form)
    return _back(number, "interval")


@router.post("/identity")
def identity(
    request: Request, number: str, form: Form, staff: AtDesk, services: Services, now_us: NowDep
) -> Response:
    """How identity and presence were established. Clerks do it at the service centre's desk."""
    basis = form.get("basis", "")
    if basis not in set(Basis):
        return _again(request, staff, number, "identity", N_("Виберіть, як підтверджено особу."), form)
    try:
        services.desk.record_identity(number, Basis(basis), form.get("note", ""), staff.actor, now_us)
    except (IllegalTransition, DecisionError) as error:
        return _again(request, staff, number, "identity", _words(error), form)
    return _back(number, "identity")


@router.post("/decision")
def decision(
    request: Request, number: str, form: Form, staff: Reviewer, services: Services, now_us: NowDep
) -> Response:
    desk, reason, outcome = services.desk, form.get("reason", ""), form.get("outcome", "")
    try:
        if outcome in {"released", "partial"}:
            seen = _seen(form)
            empty = _nothing_to_hand_out(request, number, staff, seen)
            if empty:
                return _again(request, staff, number, "decision", empty, form)
            desk.approve(number, seen, staff.actor, now_us, reason=reason, partial=outcome == "partial")
        elif outcome in {"refused", "not_found"}:
            desk.refuse(number, reason, staff.actor, now_us, not_found=outcome == "not_found")
        else:
            return _again(request, staff, number, "decision", N_("Виберіть рішення."), form)
    except (IllegalTransition, DecisionError) as error:
        return _again(request, staff, number, "decision", _words(error), form)
    return _back(number, "decision")


@router.post("/close")
def close(
    request: Request, number: str, form: Form, staff: Reviewer, services: Services, now_us: NowDep
) -> Response:
    """Access and hold end here, by an act of staff."""
    try:
        services.desk.close(number, form.get("reason", ""), staff.actor, now_us)
    except (IllegalTransition, DecisionError) as error:
        return _again(request, staff, number, "close", _words(error), form)
    return _back(number, "decision")


@router.post("/reopen")
def reopen(
    request: Request, number: str, form: Form, staff: Reviewer, services: Services, now_us: NowDep
) -> Response:
    """An appeal has come."""
    try:
        services.desk.reopen(number, form.get("reason", ""), staff.actor, now_us)
    except (IllegalTransition, DecisionError) as error:
        return _again(request, staff, number, "reopen", _words(error), form)
    return _back(number, "decision")


@router.post("/pin")
def new_pin(
    request: Request,
    number: str,
    form: Form,
    staff: AtDesk,
    services: Services,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
) -> Response:
    """A new PIN against a document; only its kind is recorded."""
    document = form.get("document", "")
    if document not in set(Document):
        return _again(request, staff, number, "pin", N_("Виберіть, який документ показано."), form)
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        found = queue.case(session, number, now_us, zone).request
    pin = reissue_pin(archive, services.secrets, number, Document(document), staff.actor, now_us)
    answer_date = local_date(found.answer_due_us - 1, zone)
    path = f"/staff/requests/{number}/pin"
    response = RedirectResponse(path, 303)
    response.set_cookie(
        _PIN_COOKIE,
        services.receipts.seal(Receipt(number, pin, answer_date), now_us),
        max_age=SHOWN_FOR_SECONDS,
        path=path,
        httponly=True,
        samesite="strict",
        secure=archive.settings.secure_cookies,
    )
    return response


@router.get("/pin")
def show_pin(request: Request, number: str, staff: AtDesk, services: Services, now_us: NowDep) -> Response:
    """The new PIN, to be printed for the resident; for some minutes only."""
    del staff
    issued = services.receipts.open(request.cookies.get(_PIN_COOKIE, ""), now_us)
    if issued is None or issued.number != number:
        return _back(number, "pin")
    return pages.render(request, "review/pin.html", section="requests", receipt=issued)


def _room_id(services: RequestServices, name: str) -> str:
    """Of a room in force, or of one that has left the rooms file and whose footage is still kept."""
    archive = services.archive
    with archive.database.reading() as session:
        return search.room_id(session, archive.configurations, name)


def _seen(form: dict[str, str]) -> Seen:
    """What the decider looked at; without an interval, what cannot be anybody's."""
    start, end = form.get("seen_start_us", ""), form.get("seen_end_us", "")
    room = form.get("seen_room", "")
    if len(start) < 20 and len(end) < 20 and start.isdecimal() and end.isdecimal() and int(start) < int(end):
        return Seen(room, Interval(int(start), int(end)))
    return Seen(room, Interval(0, 1))


def _nothing_to_hand_out(request: Request, number: str, staff: Staff, seen: Seen) -> str:
    archive, now_us = pages.archive_of(request), pages.now_of(request)
    with archive.database.reading() as session:
        case = queue.case(session, number, now_us, archive.timezone(session))
    if review_page.set_interval(case) != seen.interval or not case.row.state.is_open:
        # What is wrong is not the footage: the decision itself will say it.
        return ""
    return review_page.why_not_receivable(request, staff, case, seen.interval)


def _words(error: IllegalTransition | DecisionError | DayGoneError) -> str:
    if isinstance(error, DayGoneError):
        return N_("Запису за цей час уже немає: строк зберігання минув.")
    code = error.reason if isinstance(error, IllegalTransition) else error.code
    return _NOT_YET.get(code, N_("Так зробити вже не можна."))


def _again(
    request: Request, staff: Staff, number: str, section: str, sentence: str, form: dict[str, str]
) -> Response:
    typed = {name: value[:4000] for name, value in form.items()}
    return review_page.show(request, staff, number, errors={section: sentence}, typed=typed)


def _back(number: str, section: str) -> Response:
    return RedirectResponse(f"/staff/requests/{number}#{section}", 303)
