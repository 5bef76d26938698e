"""A month: each day of a room for programs and calendars, and all rooms on one page for people."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from archive import asking, day_figures, month, search
from retrieval_api import month_view, pages, wording
from retrieval_api.pages import ArchiveDep, NowDep, today_of
from retrieval_api.routes.rooms import FootageStaff

router = APIRouter()
MonthText = Annotated[str, Query(alias="month", max_length=20)]


@router.get("/api/v1/rooms/{room}/month", tags=["archive"])
def room_month(
    room: str, archive: ArchiveDep, now_us: NowDep, staff: FootageStaff, month_text: MonthText
) -> dict[str, Any]:
    """Each day of a room: planned = recorded + gap + pending + unknown, in microseconds."""
    del staff
    wanted = asking.month_of(month_text)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        (found,) = month.read(session, archive.configurations, wanted, now_us, [room_id])
    return {
        "room": room_id,
        "month": f"{wanted:%Y-%m}",
        "days": [_day(each) for each in found.days],
    }


@router.get("/staff/month", include_in_schema=False)
def month_page(
    request: Request,
    archive: ArchiveDep,
    now_us: NowDep,
    staff: FootageStaff,
    today: Annotated[date, Depends(today_of)],
    month_text: MonthText = "",
) -> Response:
    del staff
    wanted = asking.month_of(month_text) if month_text else today.replace(day=1)
    with archive.database.reading() as session:
        rooms = month.read(session, archive.configurations, wanted, now_us)
        first = day_figures.first_date(session, archive.configurations)
    previous, following = month.previous(wanted), month.following(wanted)
    return pages.render(
        request,
        "month.html",
        month=wanted,
        previous=previous if month.following(previous) > first else None,
        following=following if following <= today else None,
        table=month_view.table(rooms, month.days(wanted)),
        cause_past=wording.cause_past,
    )


def _day(each: month.Day) -> dict[str, Any]:
    figures = each.figures
    return {
        "date": each.date.isoformat(),
        "state": each.state,
        "planned_us": figures.planned_us,
        "recorded_us": figures.recorded_us,
        "gap_us": figures.missing_us,
        "pending_us": figures.pending_us,
        "unknown_us": figures.unknown_us,
        "no_picture_us": figures.no_picture_us,
        "no_sound_us": figures.no_sound_us,
        "gaps_by_cause": {code: cause.missing_us for code, cause in figures.causes.items()},
        "holds": each.holds,
        "requests": each.requests,
    }
