"""The board of rooms: who is recorded right now and who is not, read in two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive.system import Archive
from retrieval_api import board_view, pages, readiness_view, sessions, wording
from retrieval_api.auth import Staff, require
from retrieval_api.board_view import Kind
from retrieval_api.event_stream import EventStream
from retrieval_api.live_board import LiveBoard, Session
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import Problem
from retrieval_api.room_pictures import RoomPictures

router = APIRouter(prefix="/staff", include_in_schema=False)
AnyStaff = Annotated[Staff, Depends(require())]
# A board left open logs nobody in for ever.
Watching = Annotated[Staff, Depends(require(is_use=False))]


def live_board(archive: Archive, pictures: RoomPictures, clock: Callable[[], int]) -> LiveBoard:
    """The board of this process, for `events`."""

    def draw(kinds: Iterable[Kind]) -> Mapping[Kind, str]:
        return board_view.draw(archive, pictures, clock(), kinds)

    def ended(asked: frozenset[Session]) -> frozenset[Session]:
        with archive.database.reading() as session:
            alive = sessions.still_alive(session, {each.token_sha256 for each in asked}, clock())
        return frozenset(each for each in asked if alive.get(each.token_sha256) != each.role)

    return LiveBoard(draw, ended)


@router.get("")
def home(staff: AnyStaff) -> Response:
    del staff
    return RedirectResponse("/staff/board", 303)


@router.get("/board")
def board(
    request: Request,
    staff: AnyStaff,
    archive: ArchiveDep,
    now_us: NowDep,
) -> Response:
    """The whole page; for htmx, the part of it that changes."""
    facts = board_view.look(archive, request.app.state.pictures, now_us)
    template = "_board.html" if "HX-Request" in request.headers else "board.html"
    return pages.render(
        request, template, **board_view.context(facts, staff.role, pages.localizer_of(request))
    )


@router.get("/board/events")
async def events(request: Request, staff: Watching) -> Response:
    """The part that changes, whenever it has changed, as server-sent events."""
    live: LiveBoard = request.app.state.live_board
    if live.is_full:
        raise Problem(503, "too_many_boards", "too many boards are open; ask for /staff/board now and then")
    kind = Kind(pages.language_of(request), staff.role)
    return EventStream(live.follow(kind, Session(staff.session, staff.role)))


@router.get("/faults")
def faults(request: Request, staff: AnyStaff) -> Response:
    """What each cause of a gap and each condition means, and what a person can do about it."""
    del staff
    return pages.render(
        request,
        "faults.html",
        causes=wording.CAUSES,
        reasons=readiness_view.REASONS,
        conditions=wording.CONDITIONS,
    )
