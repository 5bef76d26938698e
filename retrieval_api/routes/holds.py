"""Staff keep an interval of a room from destruction: one question, and the hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from archive import asking, search
from recorder.errors import BadInstantError
from recorder.intervals import Interval
from retention import holds
from retention.errors import DayGoneError
from retrieval_api import day_view, pages
from retrieval_api.auth import Staff, require
from retrieval_api.forms import Form
from retrieval_api.i18n import N_
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.routes.extension import CHANGE_ROLES
from retrieval_api.routes.rooms import RoomsDep

router = APIRouter(prefix="/staff/rooms/{room}/hold", include_in_schema=False)
HoldStaff = Annotated[Staff, Depends(require(*CHANGE_ROLES))]
# What a person writes into a form of two lines; a pasted book is none.
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form as it was filled in; shown again whatever comes of it."""

    day: date
    start: str
    end: str
    reason: str = ""
    legal_ground: str = ""
    # The camera that the day's page showed, to go back to it: a hold is of all of the room's.
    source: str = ""


@router.get("")
def ask(
    request: Request,
    room: str,
    archive: ArchiveDep,
    staff: HoldStaff,
    date_text: Annotated[str, Query(alias="date", max_length=20)],
    start: Annotated[str, Query(alias="from", max_length=20)] = "",
    end: Annotated[str, Query(alias="to", max_length=20)] = "",
    source: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    del staff
    return _page(request, archive, room, Wanted(asking.date_of(date_text), start, end, source=source))


@router.post("")
def place(
    request: Request,
    room: str,
    archive: ArchiveDep,
    staff: HoldStaff,
    rooms: RoomsDep,
    now_us: NowDep,
    form: Form,
) -> Response:
    """The hold stands before the answer. Nothing is placed for a form that lacks something."""
    wanted = Wanted(
        asking.date_of(form.get("date", "")),
        form.get("from", "")[:20],
        form.get("to", "")[:20],
        form.get("reason", "").strip(),
        form.get("legal_ground", "").strip(),
        form.get("source", "")[:40],
    )
    zone = rooms.council.timezone
    fault, interval = _checked(wanted, zone)
    if interval is None:
        return _page(request, archive, room, wanted, fault)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
    order = holds.HoldOrder(room_id, interval, wanted.reason, wanted.legal_ground, staff.actor)
    try:
        with archive.database.transaction() as session:
            placed = holds.place(session, archive, [order], now_us)
            # What was due already and nothing keeps cannot be held any more: the page shows what is.
            whole = [(hold.start_us, hold.end_us) for hold in placed] == [
                (interval.start_us, interval.end_us)
            ]
            number = placed[0].id
    except DayGoneError:
        return _page(
            request, archive, room, wanted, N_("Запису за цей час уже немає: строк його зберігання минув.")
        )
    texts = pages.localizer("uk", zone)
    told = {
        "date": wanted.day.isoformat(),
        "from": texts.time_seconds(interval.start_us),
        "to": texts.until(interval.end_us, seconds=True),
        "held": str(number),
    }
    if wanted.source:
        told["source"] = wanted.source
    if not whole:
        told["part"] = "1"
    return RedirectResponse(f"/staff/rooms/{room_id}/day?{urlencode(told)}", 303)


def _checked(wanted: Wanted, zone: str) -> tuple[str, Interval | None]:
    """What is wrong with the form, or the interval that it names."""
    if not wanted.reason or not wanted.legal_ground:
        return N_("Напишіть, чому не знищувати, і правову підставу."), None
    if max(len(wanted.reason), len(wanted.legal_ground)) > _MAX_TEXT:
        return N_("Задовгий текст: не більше 500 знаків у полі."), None
    try:
        return "", day_view.local_interval(wanted.day, wanted.start, wanted.end, zone)
    except BadInstantError:
        return N_("Час не зрозуміло, або кінець раніше за початок. Напишіть його так: 10:41:30."), None


def _page(request: Request, archive: ArchiveDep, room: str, wanted: Wanted, problem: str = "") -> Response:
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        configuration = archive.configurations.last_known(session, room_id)
    return pages.render(
        request,
        "hold.html",
        status_code=422 if problem else 200,
        room=configuration.room,
        wanted=wanted,
        problem=problem,
    )
