"""Staff review requests: the queue, a request's page, and the footage that may be opened for it."""

from __future__ import annotations

from typing import Annotated, cast, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from retrieval_api import clip_response, pages
from retrieval_api.auth import Staff, require
from retrieval_api.i18n import N_
from retrieval_api.pages import ArchiveDep, NowDep, rooms_of
from retrieval_api.problems import PageText, Problem
from retrieval_api.requests import queue, review_page
from retrieval_api.requests.matching import OutOfReachError
from retrieval_api.requests.numbers import parse_number
from retrieval_api.requests.review_page import REVIEWERS
from retrieval_api.routes import review_steps

router = APIRouter(include_in_schema=False)
router.include_router(review_steps.router)

AtDesk = Annotated[Staff, Depends(require("clerk", *REVIEWERS))]
Reviewer = Annotated[Staff, Depends(require(*REVIEWERS))]
Rooms = Annotated[RoomsFile, Depends(rooms_of)]
_ONE = "/staff/requests/{number}"
_NO_INTERVAL = PageText(N_("Спершу задайте початок і кінець"), N_("Поверніться до запиту і задайте їх."))


@router.get("/staff/requests")
def all_requests(
    request: Request,
    staff: AtDesk,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
    shelf: str = "open",
    number: str = "",
) -> Response:
    """The queue. A number that was typed or scanned leads to its request at once."""
    del staff
    wanted = parse_number(number)
    if wanted:
        return RedirectResponse(f"/staff/requests/{wanted}", 303)
    which = cast("queue.Shelf", shelf if shelf in get_args(queue.Shelf) else "open")
    with archive.database.reading() as session:
        rows = queue.shelf(session, which, now_us, rooms.council.timezone)
    return pages.render(
        request,
        "review/queue.html",
        section="requests",
        shelf=which,
        rows=rows,
        labels={room.id: room.label for room in rooms.rooms},
        outcomes=review_page.OUTCOMES,
        statuses=review_page.STATUSES,
        number=number[:32],
    )


@router.get(_ONE)
def one(request: Request, number: str, staff: AtDesk, start: str = "", end: str = "") -> Response:
    """A request's page. `start`, `end` (HH:MM) choose what of its time is opened in the player."""
    return review_page.show(request, staff, number, look=(start, end))


@router.head(f"{_ONE}/recording.mp4")
@router.get(f"{_ONE}/recording.mp4")
def recording(
    request: Request,
    number: str,
    staff: Reviewer,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
    start_us: int,
    end_us: int,
) -> Response:
    """Footage of the matched room, near what was asked; the ground of the opening is the request."""
    if end_us <= start_us:
        raise OutOfReachError("the end must be after the beginning")
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        case = queue.case(session, number, now_us, zone)
    opening = review_page.opening(case, staff, Interval(start_us, end_us), zone)
    return clip_response.answer(request, archive, opening, zone=zone)


@router.head(f"{_ONE}/released.mp4")
@router.get(f"{_ONE}/released.mp4")
def released(
    request: Request,
    number: str,
    staff: Reviewer,
    archive: ArchiveDep,
    rooms: Rooms,
    now_us: NowDep,
    download: bool = False,
) -> Response:
    """Byte for byte what the resident receives, or will when the interval is approved as it is."""
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        case = queue.case(session, number, now_us, zone)
    interval = review_page.set_interval(case)
    if interval is None:
        raise Problem(409, "no_interval", "set the beginning and the end first", page=_NO_INTERVAL)
    opening = review_page.opening(case, staff, interval, zone, exact=True)
    return clip_response.answer(request, archive, opening, download=download, zone=zone)
