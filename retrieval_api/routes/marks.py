"""Marks beside the timeline: a webhook for alert systems, a button for staff. They stop no recording."""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from archive import asking, marks
from archive.marks import Beginning
from recorder.instants import US_PER_DAY, US_PER_MINUTE
from retrieval_api import pages
from retrieval_api.auth import Staff, require
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import Problem, translate
from retrieval_api.routes.extension import CHANGE_ROLES
from retrieval_api.routes.rooms import RoomsDep, mark_document

router = APIRouter()
ChangeStaff = Annotated[Staff, Depends(require(*CHANGE_ROLES))]
_WEBHOOK = "webhook:marks"
_ALERT = "air_raid_alert"

translate(marks.NoSuchMarkError, lambda error: Problem(404, "no_such_mark", str(error)))


class MarkMessage(BaseModel):
    """The beginning or the end of something. Without `external_id` a mark is known by kind and room while
    it goes on. `at` is RFC 3339; default: now.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["air_raid_alert", "evacuation", "power_cut", "other"]
    state: Literal["started", "ended"] = "started"
    room: Annotated[str, Field(max_length=60)] | None = None
    at: Annotated[str, Field(max_length=40)] | None = None
    note: Annotated[str, Field(max_length=300)] = ""
    external_id: Annotated[str, Field(min_length=1, max_length=80)] | None = None


@router.post("/api/v1/marks", tags=["marks"])
def mark(
    archive: ArchiveDep,
    now_us: NowDep,
    rooms: RoomsDep,
    message: MarkMessage,
    authorization: Annotated[str, Header()] = "",
) -> JSONResponse:
    """By an alert system, with the token of PROTOKOL_MARKS_TOKEN. The same message again changes nothing."""
    _authenticate(archive.settings.marks_token, authorization)
    room = None if message.room is None else rooms.room(message.room).id
    at_us = now_us if message.at is None else asking.instant_of(message.at)
    if not now_us - US_PER_DAY <= at_us <= now_us + US_PER_MINUTE:
        raise Problem(422, "bad_instant", "`at` must lie within the last day; leave it out for now")
    if message.state == "started":
        wanted = Beginning(message.kind, room, at_us, "webhook", message.note, message.external_id)
        found, changed = marks.begin(archive, wanted, _WEBHOOK, now_us)
    else:
        found, changed = marks.end(archive, message.kind, room, message.external_id, at_us, _WEBHOOK, now_us)
    return JSONResponse(mark_document(found, rooms.council.timezone), 201 if changed else 200)


def _authenticate(token: Any, authorization: str) -> None:
    scheme, _, given = authorization.partition(" ")
    known = token.get_secret_value() if token else ""
    if not known or scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), known.encode()):
        raise Problem(
            401, "unauthorized", "send the token of PROTOKOL_MARKS_TOKEN as: Authorization: Bearer TOKEN"
        )


@router.get("/staff/alert", include_in_schema=False)
def ask(request: Request, archive: ArchiveDep, staff: ChangeStaff) -> Response:
    """One question: shall an alert be marked, or ended, for all rooms?"""
    del staff
    with archive.database.reading() as session:
        going_on = [each for each in marks.going_on(session) if each.kind == _ALERT and each.room is None]
    return pages.render(request, "alert.html", alert=going_on[0] if going_on else None)


@router.post("/staff/alert/start", include_in_schema=False)
def start(archive: ArchiveDep, staff: ChangeStaff, now_us: NowDep) -> Response:
    marks.begin(archive, Beginning(_ALERT, None, now_us, "button"), staff.actor, now_us)
    return RedirectResponse("/staff/board", 303)


@router.post("/staff/alert/end", include_in_schema=False)
def end(archive: ArchiveDep, staff: ChangeStaff, now_us: NowDep) -> Response:
    """One that has ended meanwhile stays as it is."""
    with archive.database.reading() as session:
        open_ids = [m.external_id for m in marks.going_on(session) if m.kind == _ALERT and m.room is None]
    for external_id in open_ids:
        marks.end(archive, _ALERT, None, external_id, now_us, staff.actor, now_us)
    return RedirectResponse("/staff/board", 303)
