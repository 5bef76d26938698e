"""What the archive refused, shown to staff: when, from which room, why, and what to do about it.

Nothing leaves quarantine by this page, neither into the archive nor into a browser: what is in it may be
footage, and opening footage has a door of its own.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from archive.models import Quarantine
from recorder.instants import US_PER_MINUTE
from retrieval_api import pages
from retrieval_api.auth import Staff, require
from retrieval_api.pages import ArchiveDep, rooms_of
from retrieval_api.quarantine_wording import words

router = APIRouter(prefix="/staff", include_in_schema=False)

QUARANTINE_ROLES = ("operator", "admin", "auditor")
_PAGE_ROWS = 50
_NEW_US = 24 * 60 * US_PER_MINUTE


def new_count(session: Session, now_us: int) -> int:
    """How much was refused within the last 24 hours."""
    recent = select(func.count()).select_from(Quarantine).where(Quarantine.received_us > now_us - _NEW_US)
    return session.scalar(recent) or 0


@router.get("/quarantine")
def quarantine(
    request: Request,
    staff: Annotated[Staff, Depends(require(*QUARANTINE_ROLES))],
    archive: ArchiveDep,
    before: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
) -> Response:
    """The newest first; `before` is the last id of the page before."""
    del staff
    statement = select(Quarantine).options(defer(Quarantine.manifest)).order_by(Quarantine.id.desc())
    if before is not None:
        statement = statement.where(Quarantine.id < before)
    with archive.database.reading() as session:
        rows = list(session.scalars(statement.limit(_PAGE_ROWS + 1)))
    shown = rows[:_PAGE_ROWS]
    return pages.render(
        request,
        "quarantine.html",
        rows=shown,
        older=shown[-1].id if len(rows) > _PAGE_ROWS else None,
        is_first=before is None,
        words=words,
        labels={room.id: room.label for room in rooms_of(request).rooms},
    )
