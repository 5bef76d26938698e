"""The archive's own work, shown to staff: what failed for good and why, what runs, what waits.

What a person does here is what `protokol archive jobs` does, and stands in the custody log alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from archive import derive, jobs
from archive.jobs import JobError
from archive.system import Archive
from retrieval_api import job_wording, pages
from retrieval_api.auth import Staff, require
from retrieval_api.pages import ArchiveDep, NowDep

router = APIRouter(prefix="/staff/jobs", include_in_schema=False)

CHANGE_ROLES = ("operator", "admin")
JOB_ROLES = (*CHANGE_ROLES, "auditor")

_OVER_ROWS = 10

ChangeStaff = Annotated[Staff, Depends(require(*CHANGE_ROLES))]
JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("")
def jobs_page(
    request: Request, staff: Annotated[Staff, Depends(require(*JOB_ROLES))], archive: ArchiveDep
) -> Response:
    return _page(request, archive, staff)


@router.post("/{job_id}/retry")
def retry(
    request: Request, job_id: JobId, staff: ChangeStaff, archive: ArchiveDep, now_us: NowDep
) -> Response:
    """Queued anew before the answer; a worker of any server process takes it within seconds."""
    return _change(request, archive, staff, lambda session: jobs.retry(session, job_id, staff.actor, now_us))


@router.post("/{job_id}/cancel")
def cancel(
    request: Request, job_id: JobId, staff: ChangeStaff, archive: ArchiveDep, now_us: NowDep
) -> Response:
    """A running one ends when its worker looks next."""
    return _change(request, archive, staff, lambda session: jobs.cancel(session, job_id, staff.actor, now_us))


def _change(
    request: Request, archive: Archive, staff: Staff, change: Callable[[Session], object]
) -> Response:
    """Done, and the list again; or the page with what stood in the way, where the job is another by now."""
    try:
        with archive.database.transaction() as session:
            change(session)
    except JobError as error:
        return _page(request, archive, staff, str(error))
    return RedirectResponse("/staff/jobs", 303)


def _page(request: Request, archive: Archive, staff: Staff, problem: str = "") -> Response:
    """`problem`: why nothing was done, where the job has changed since the page was shown."""
    with archive.database.reading() as session:
        rows = jobs.shown(session)
    # A segment a minute and room waits for its thumbnails now and then: one line says so.
    first_thumbnails = [
        row for row in rows if (row.kind, row.state, row.attempts) == (derive.KIND, "queued", 0)
    ]
    rows = [row for row in rows if row not in first_thumbnails]
    of_state = {state: [row for row in rows if row.state == state] for state in jobs.STATES}
    return pages.render(
        request,
        "jobs.html",
        status_code=409 if problem else 200,
        problem=problem,
        failed=of_state["failed"],
        running=of_state["running"],
        queued=of_state["queued"],
        thumbnails_waiting=len(first_thumbnails),
        over=[row for row in rows if row.state in {"done", "cancelled"}][:_OVER_ROWS],
        kind=job_wording.kind,
        cause=job_wording.cause,
        may_change=staff.role in CHANGE_ROLES,
    )
