"""A room's day: what is recorded of it, what is missing and why, and a clip of it on a stated ground."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from archive import asking, marks, search
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import format_instant
from recorder.intervals import Interval
from recorder.rooms import RoomConfiguration
from recorder.working_hours import windows
from retrieval_api import clip_response, day_view, grounds, pages, wording
from retrieval_api.auth import Staff
from retrieval_api.pages import localizer_of, today_of
from retrieval_api.problems import Problem, as_problem
from retrieval_api.routes.rooms import ArchiveDep, FootageStaff, NowDep, RoomsDep

router = APIRouter(prefix="/staff", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """The form under the strip, as it was filled in; shown again whatever comes of it."""

    start: str = ""
    end: str = ""
    ground: str = ""
    reference: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.start or self.end)

    @property
    def stated(self) -> str:
        return grounds.written(self.ground, self.reference)


def _asked(
    start: Annotated[str, Query(alias="from", max_length=20)] = "",
    end: Annotated[str, Query(alias="to", max_length=20)] = "",
    ground: Annotated[str, Query(max_length=20)] = "",
    reference: Annotated[str, Query(max_length=40)] = "",
) -> Asked:
    return Asked(start, end, ground, reference)


@router.get("/rooms/{room}/day")
def day_page(
    request: Request,
    room: str,
    archive: ArchiveDep,
    now_us: NowDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    asked: Annotated[Asked, Depends(_asked)],
    today: Annotated[date, Depends(today_of)],
    date_text: Annotated[str, Query(alias="date", max_length=20)] = "",
) -> Response:
    day = asking.date_of(date_text) if date_text else today
    zone = rooms.council.timezone
    texts = localizer_of(request)
    kept_ground, _, kept_reference = (staff.ground or "").partition(":")
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        configuration = archive.configurations.last_known(session, room_id)
        facts = search.coverage(session, archive.configurations, room_id, day.isoformat(), now_us)
        beside = marks.of_day(session, room_id, day, zone)
    clip: dict[str, Any] | None = None
    problem: Problem | None = None
    if not asked.is_empty:
        try:
            clip = _clip(archive, staff, room_id, day, asked, zone, now_us)
        except ProtokolError as error:
            problem = as_problem(error)
            if problem is None:
                raise
    return pages.render(
        request,
        "day.html",
        status_code=problem.status if problem else 200,
        room=configuration.room,
        rooms=rooms.rooms,
        day=day,
        previous=day_view.neighbour(day, -1, lambda each: bool(windows(configuration, each))),
        following=_following(day, today, configuration),
        facts=facts,
        strip=day_view.strip(
            facts,
            day,
            zone,
            lambda cause: texts.gettext(wording.cause_past(cause)),
            [
                (marks.interval(mark, now_us), texts.gettext(wording.MARKS.get(mark.kind, mark.kind)))
                for mark in beside
            ],
        ),
        beside=beside,
        mark_words=wording.MARKS,
        asked=asked,
        grounds=grounds.allowed(staff.role),
        kept_ground=kept_ground,
        kept_reference=kept_reference,
        clip=clip,
        problem=problem.page if problem else None,
        cause_past=wording.cause_past,
        tracks=wording.TRACKS,
    )


def _following(day: date, today: date, configuration: RoomConfiguration) -> date | None:
    """The next day with windows, until today."""
    if day >= today:
        return None
    following = day_view.neighbour(day, 1, lambda each: bool(windows(configuration, each)))
    return min(following, max(today, day + timedelta(days=1)))


def _clip(
    archive: Archive, staff: Staff, room_id: str, day: date, asked: Asked, zone: str, now_us: int
) -> dict[str, Any]:
    """What the player needs. Nothing is opened yet: that is recorded when the first byte is asked for."""
    interval: Interval = day_view.local_interval(day, asked.start, asked.end, zone)
    ground = grounds.of_visit(staff, asked.stated)
    with archive.database.reading() as session:
        grounds.check_purpose(session, ground, room_id, interval)
    opening = clip_response.Opening(staff.actor, room_id, interval, ground)
    file = clip_response.find(archive, opening, now_us).file
    query = urlencode(
        {
            "from": format_instant(interval.start_us, zone),
            "to": format_instant(interval.end_us, zone),
            "ground": str(ground),
        }
    )
    return {
        "url": f"/api/v1/rooms/{room_id}/clip.mp4?{query}",
        "start_us": file.start_us,
        "end_us": file.end_us,
        "size": file.size,
        "gaps": file.gaps,
        "coding": file.coding,
        "zone": zone,
    }
