"""A request's page for staff: what it shows, and what of the footage it may open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from archive.door import Ground, NoFootageError
from archive.mp4.virtual import ClipTooLongError, CodecChangeError, NothingRecordedError
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, to_datetime
from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from retrieval_api import clip_response, pages
from retrieval_api.auth import Staff
from retrieval_api.clip_response import Clip, Opening
from retrieval_api.i18n import N_
from retrieval_api.problems import PageText, Problem, as_problem, translate
from retrieval_api.requests import matching, queue, story
from retrieval_api.requests.access import Document, is_locked
from retrieval_api.requests.asked_interval import typed_interval
from retrieval_api.requests.decision import Basis, DecisionError, UnknownRequestError
from retrieval_api.requests.matching import OutOfReachError
from retrieval_api.requests.states import IllegalTransition
from retrieval_api.wording import ROLES

REVIEWERS = ("operator", "reviewer", "admin")

BASES = {
    Basis.DOCUMENT: N_("Документ показано у центрі обслуговування"),
    Basis.BOOKING: N_("Запис на прийом"),
    Basis.AUTHORITY: N_("Повноваження представника"),
    Basis.KNOWN: N_("Особу знає працівник, з яким була зустріч"),
}
DOCUMENTS = {
    Document.PASSPORT: N_("Паспорт-книжечка"),
    Document.ID_CARD: N_("ID-картка"),
    Document.DIIA: N_("Документ у Дії"),
    Document.RESIDENCE_PERMIT: N_("Посвідка на проживання"),
    Document.DRIVING_LICENCE: N_("Посвідчення водія"),
    Document.AUTHORITY: N_("Довіреність представника"),
}
OUTCOMES = {
    "released": N_("надано"),
    "partial": N_("надано частково"),
    "refused": N_("відмовлено"),
    "not_found": N_("запису немає"),
    "withdrawn": N_("відкликано"),
}
STATUSES = {
    "registered": N_("новий"),
    "in_review": N_("розглядається"),
    "decided": N_("рішення прийнято"),
    "withdrawn": N_("відкликано"),
    "closed": N_("закрито"),
}
# Before and after the interval that was set: enough to see who comes in next.
_AROUND_US = 2 * US_PER_MINUTE
# Fields of the page's forms that are shown again after an error.
_TYPED = ("in", "out", "basis", "note", "outcome", "reason", "document")


def show(
    request: Request,
    staff: Staff,
    number: str,
    *,
    look: tuple[str, str] = ("", ""),
    errors: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """The page. `look` (HH:MM, HH:MM) chooses what the player opens; `errors` maps a section to its
    sentence (a message id), `typed` is what stood in the form that was wrong.

    Raises UnknownRequestError.
    """
    archive, rooms, now_us = pages.archive_of(request), pages.rooms_of(request), pages.now_of(request)
    may_review = staff.role in REVIEWERS
    with archive.database.reading() as session:
        case = queue.case(session, number, now_us, rooms.council.timezone)
        looks = story.looks(session, case.request)
        candidates = matching.candidates(session, case.request, rooms) if may_review else ()
    player: dict[str, Any] = {}
    if may_review and case.request.matched_room:
        player = _player(archive, case, staff, rooms, now_us, look)
    return pages.render(
        request,
        "review/request.html",
        status_code=422 if errors else 200,
        section="requests",
        case=case,
        found=case.request,
        state=case.row.state,
        may_review=may_review,
        may_end=queue.may_end(case.request, case.row.state, now_us),
        locked=is_locked(case.request),
        candidates=candidates,
        labels={room.id: room.label for room in rooms.rooms},
        looks=looks,
        roles=ROLES,
        bases=BASES,
        documents=DOCUMENTS,
        outcomes=OUTCOMES,
        statuses=STATUSES,
        interval=set_interval(case),
        player=player,
        errors=dict(errors or {}),
        typed={**dict.fromkeys(_TYPED, ""), **(typed or {})},
    )


def opening(case: queue.Case, staff: Staff, interval: Interval, zone: str, *, exact: bool = False) -> Opening:
    """What of the matched room may be opened for this request, by whom and on what ground.

    Raises OutOfReachError; Problem where no room has been matched: nothing is opened before that.
    """
    room = case.request.matched_room
    if room is None:
        raise Problem(409, "no_room", "match the request with a room first", page=_NO_ROOM)
    matching.require_within_reach(case.request, interval, zone)
    return Opening(staff.actor, room, interval, Ground("request", case.request.number), exact=exact)


def why_not_receivable(request: Request, staff: Staff, case: queue.Case, interval: Interval) -> str:
    """Why the resident would receive nothing of the interval (a message id), or nothing.

    An approval of what cannot be handed out would be an empty promise.
    """
    zone = pages.rooms_of(request).council.timezone
    try:
        wanted = opening(case, staff, interval, zone, exact=True)
        clip_response.find(pages.archive_of(request), wanted, pages.now_of(request))
    except CodecChangeError:
        return N_("Посеред цих меж змінилося налаштування камери. Задайте межі до зміни або після неї.")
    except (NoFootageError, NothingRecordedError):
        return N_("У цих межах запису немає. Змініть межі або виберіть «Запису немає».")
    return ""


def set_interval(case: queue.Case) -> Interval | None:
    start_us, end_us = case.request.start_us, case.request.end_us
    return None if start_us is None or end_us is None else Interval(start_us, end_us)


def _player(
    archive: Archive, case: queue.Case, staff: Staff, rooms: RoomsFile, now_us: int, typed: tuple[str, str]
) -> dict[str, Any]:
    """`look`: what is opened. `clip`, `applied`: the file of it, and the one that would be handed out,
    or None, and then `wrong` or `why` says why. Nothing is opened by it.
    """
    zone, interval = rooms.council.timezone, set_interval(case)
    player: dict[str, Any] = {"look": None, "clip": None, "applied": None, "wrong": "", "why": None}
    try:
        player["look"] = look = _look(case, typed, interval, zone)
        player["clip"] = clip = _laid_out(archive, opening(case, staff, look, zone), now_us).file
        player["zone_offset_us"] = _zone_offset_us(clip.start_us, zone)
        if interval is not None:
            exact = opening(case, staff, interval, zone, exact=True)
            player["applied"] = _laid_out(archive, exact, now_us).file
    except OutOfReachError:
        player["wrong"] = _TOO_FAR.advice
    except Problem as problem:
        player["why"] = problem.page
    return player


def _zone_offset_us(instant_us: int, zone: str) -> int:
    """Local time minus UTC at that instant: scripts have no time zones but the reader's own."""
    offset = to_datetime(instant_us, zone).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def _look(case: queue.Case, typed: tuple[str, str], interval: Interval | None, zone: str) -> Interval:
    """What was typed; else the interval that was set with its edges, where a neighbour would be seen;
    else what was asked.
    """
    if not any(typed):
        if interval is None:
            return matching.default_look(case.request, zone)
        around = Interval(interval.start_us - _AROUND_US, interval.end_us + _AROUND_US)
        around = around.intersection(matching.reach(case.request, zone)) or interval
        return around if around.duration_us <= matching.MAX_LOOK_US else interval
    look = typed_interval(date.fromisoformat(case.request.date), *typed, zone)
    if look is None:
        raise OutOfReachError("not a time")
    return look


def _laid_out(archive: Archive, wanted: Opening, now_us: int) -> Clip:
    """Raises Problem with the words for a page."""
    try:
        return clip_response.find(archive, wanted, now_us)
    except (NoFootageError, NothingRecordedError, ClipTooLongError, CodecChangeError) as error:
        raise (as_problem(error) or error) from error


_NO_ROOM = PageText(N_("Спершу виберіть кабінет"), N_("Поверніться до запиту і виберіть кабінет."))
_TOO_FAR = PageText(
    N_("Цей час не належить до запиту"),
    N_("Відкрити можна лише час із запиту і годину навколо, не більше трьох годин за раз."),
)
_ALREADY = PageText(
    N_("Так зробити вже не можна"),
    N_("Стан запиту змінився. Поверніться до запиту і подивіться, що зроблено."),
)
_UNKNOWN = PageText(N_("Такого запиту немає"), N_("Перевірте реєстраційний номер."))

translate(UnknownRequestError, lambda error: Problem(404, "unknown_request", str(error), page=_UNKNOWN))
translate(OutOfReachError, lambda error: Problem(403, "out_of_reach", str(error), page=_TOO_FAR))
translate(IllegalTransition, lambda error: Problem(409, error.reason, str(error), page=_ALREADY))
translate(DecisionError, lambda error: Problem(422, error.code, str(error)))
