"""A recording window is made longer while the room is still recorded: a question, and the change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive import extension
from recorder.errors import ConfigurationError
from recorder.rooms import RoomsFile
from recorder.working_hours import window_at
from retrieval_api import pages
from retrieval_api.auth import Staff, require
from retrieval_api.forms import Form
from retrieval_api.i18n import N_
from retrieval_api.pages import ArchiveDep, NowDep, rooms_of

router = APIRouter(prefix="/staff/rooms/{room}/extend", include_in_schema=False)
# What is recorded when is theirs to decide; a clerk at the desk and a reviewer decide on requests.
CHANGE_ROLES = ("operator", "admin")

ChangeStaff = Annotated[Staff, Depends(require(*CHANGE_ROLES))]
Rooms = Annotated[RoomsFile, Depends(rooms_of)]


@router.get("")
def ask(request: Request, room: str, staff: ChangeStaff, rooms: Rooms, now_us: NowDep) -> Response:
    del staff
    return _page(request, rooms, room, now_us)


@router.post("")
def extend(
    request: Request,
    room: str,
    form: Form,
    staff: ChangeStaff,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
) -> Response:
    """In force before the answer; the room's agent hears of it with its next heartbeat."""
    seen_end_us, minutes = _number(form, "seen_end_us"), _number(form, "minutes")
    try:
        extension.extend(archive, rooms.room(room).id, seen_end_us, minutes, staff.actor, now_us)
    except extension.ExtensionError:
        sentence = N_("Не подовжено: запис уже закінчився або його години змінили. Перевірте ще раз.")
        return _page(request, rooms_of(request), room, now_us, sentence)
    except ConfigurationError as error:
        sentence = N_("Не подовжено: файл кабінетів не вдалося змінити. Покажіть це адміністраторові.")
        return _page(request, rooms, room, now_us, sentence, str(error))
    return RedirectResponse("/staff/board", 303)


def _number(form: dict[str, str], name: str) -> int:
    """0 for what no page of ours sends."""
    text = form.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _page(
    request: Request, rooms: RoomsFile, room: str, now_us: int, problem: str = "", detail: str = ""
) -> Response:
    configuration = rooms.configuration(room, 0)
    return pages.render(
        request,
        "extend.html",
        status_code=409 if problem else 200,
        room=configuration.room,
        window=window_at(configuration, now_us),
        choices=extension.choices(configuration, now_us),
        problem=problem,
        detail=detail,
    )
