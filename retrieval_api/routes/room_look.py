"""A fault is looked at: clear pictures of a room for two minutes, for the session that asked, on record."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from archive import viewing
from archive.door import Ground
from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from recorder.working_hours import window_at
from retrieval_api import grounds, pages
from retrieval_api.auth import ROLES, Staff, require
from retrieval_api.i18n import N_
from retrieval_api.pages import ArchiveDep, NowDep, rooms_of
from retrieval_api.problems import Problem
from retrieval_api.room_pictures import LOOK_US, Look, RoomPictures

router = APIRouter(prefix="/staff/rooms/{room}", include_in_schema=False)
# Those who may open footage to check a fault.
LOOK_ROLES = tuple(role for role in ROLES if "fault_check" in grounds.allowed(role))
_GROUND = Ground("fault_check")


def pictures_of(request: Request) -> RoomPictures:
    """Dependency: what agents have shown to this process."""
    shown: RoomPictures = request.app.state.pictures
    return shown


LookStaff = Annotated[Staff, Depends(require(*LOOK_ROLES))]
LookingStaff = Annotated[Staff, Depends(require(*LOOK_ROLES, is_use=False))]
Pictures = Annotated[RoomPictures, Depends(pictures_of)]
Rooms = Annotated[RoomsFile, Depends(rooms_of)]


@router.get("/look")
def ask(
    request: Request, room: str, staff: LookStaff, pictures: Pictures, rooms: Rooms, now_us: NowDep
) -> Response:
    """A question; while a look lasts, what is seen."""
    return _page(request, rooms, room, staff, pictures, now_us)


@router.post("/look")
def look(
    request: Request,
    room: str,
    staff: LookStaff,
    pictures: Pictures,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
) -> Response:
    """On record before the agent is asked for the first clear picture."""
    room_id = rooms.room(room).id
    if pictures.look(room_id, staff.session, now_us) is None:
        window = window_at(rooms.configuration(room_id, 0), now_us)
        if window is None or not pictures.of_room(room_id, now_us):
            sentence = N_("Не показано: зараз від кабінету немає зображення.")
            return _page(request, rooms, room, staff, pictures, now_us, sentence)
        until_us = min(now_us + LOOK_US, window.end_us)
        interval = Interval(now_us, until_us)
        viewing_id = viewing.open_viewing(archive, staff.actor, room_id, interval, _GROUND, now_us)
        pictures.ask(room_id, staff.session, Look(viewing_id, until_us))
    return RedirectResponse(f"/staff/rooms/{room_id}/look", 303)


@router.get("/look.jpg")
def picture(
    room: str,
    staff: LookingStaff,
    pictures: Pictures,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
    source: Annotated[str, Query(max_length=32)],
) -> Response:
    """The latest clear picture, for the session whose look lasts; 204 while none has come. `Protokol-At`
    tells when it was taken.
    """
    room_id = rooms.room(room).id
    if pictures.look(room_id, staff.session, now_us) is None:
        raise Problem(404, "no_look", "no clear picture is shown to this session; ask for one first")
    found = pictures.clear(room_id, source, staff.session, now_us)
    if found is None:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    seen = Interval(found.received_us, found.received_us + 1)
    viewing.served(archive, found.viewing_id, seen, len(found.jpeg), now_us)
    at = pages.localizer("uk", rooms.council.timezone).iso(found.at_us)
    return Response(
        found.jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store", "Protokol-At": at}
    )


def _page(
    request: Request,
    rooms: RoomsFile,
    room: str,
    staff: Staff,
    pictures: RoomPictures,
    now_us: int,
    problem: str = "",
) -> Response:
    found = rooms.room(room)
    look = pictures.look(found.id, staff.session, now_us)
    return pages.render(
        request,
        "look.html",
        status_code=409 if problem else 200,
        room=found,
        until_us=look.until_us if look else None,
        sources=list(pictures.of_room(found.id, now_us)),
        look_us=LOOK_US,
        problem=problem,
    )
