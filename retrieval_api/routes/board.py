"""The board of rooms: who is recorded right now and who is not, read in two seconds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from archive import jobs, marks, search
from archive.system import Archive
from retention import frozen
from retrieval_api import job_wording, pages, readiness_view, wording
from retrieval_api.auth import Staff, require
from retrieval_api.pages import archive_of, now_of
from retrieval_api.routes.extension import CHANGE_ROLES
from retrieval_api.routes.jobs import JOB_ROLES
from retrieval_api.routes.quarantine import QUARANTINE_ROLES, new_count
from retrieval_api.routes.rooms import FOOTAGE_ROLES

router = APIRouter(prefix="/staff", include_in_schema=False)
AnyStaff = Annotated[Staff, Depends(require())]


@router.get("")
def home(staff: AnyStaff) -> Response:
    del staff
    return RedirectResponse("/staff/board", 303)


@router.get("/board")
def board(
    request: Request,
    staff: AnyStaff,
    archive: Annotated[Archive, Depends(archive_of)],
    now_us: Annotated[int, Depends(now_of)],
) -> Response:
    """The whole page; for htmx, the part of it that changes."""
    with archive.database.reading() as session:
        states = search.room_states(session, archive.configurations, now_us)
        alerts = marks.going_on(session)
        refused = new_count(session, now_us) if staff.role in QUARANTINE_ROLES else 0
        dead = jobs.dead_letters(session) if staff.role in JOB_ROLES else {}
        is_frozen = staff.role in JOB_ROLES and frozen.is_frozen(session)
        version, rooms = archive.configurations.current(session)
    configurations = {room.id: rooms.configuration(room.id, version) for room in rooms.rooms}
    readiness = readiness_view.of_rooms(states, configurations, now_us)
    rooms_problem = archive.rooms_file_problem(now_us)
    fragment = "HX-Request" in request.headers
    return pages.render(
        request,
        "_board.html" if fragment else "board.html",
        faults=[state for state in states if state.state == "fault"],
        unready=[state for state in states if readiness.is_unready(state.room)],
        # What needs a look stands first.
        others=sorted(
            (state for state in states if state.state != "fault" and not readiness.is_unready(state.room)),
            key=lambda state: not state.conditions,
        ),
        warned=sum(bool(state.conditions) for state in states if state.state != "fault"),
        readiness=readiness,
        recording=sum(state.state == "recording" for state in states),
        cause_now=wording.cause_now,
        condition_now=wording.condition_now,
        closing=[state for state in states if state.closes_while_in_use(now_us)],
        rooms_problem=rooms_problem,
        refused=refused,
        dead=sum(dead.values()),
        dead_kinds=[job_wording.kind(each).what for each in dead],
        is_frozen=is_frozen,
        alerts=alerts,
        alarmed=any(mark.kind == "air_raid_alert" and mark.room is None for mark in alerts),
        mark_words=wording.MARKS,
        labels={state.room: state.label for state in states},
        may_change=staff.role in CHANGE_ROLES,
        may_open=staff.role in FOOTAGE_ROLES,
    )


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
