"""The public page of how much is recorded, and the same as open data. Open to everybody, from memory."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from archive import asking
from retrieval_api import month_view, open_data, pages, wording
from retrieval_api.problems import Problem
from retrieval_api.public_figures import MonthFigures, PublicFigures
from retrieval_api.routes.rooms import RoomsDep

router = APIRouter(tags=["figures"])
_CACHED = {"Cache-Control": "public, max-age=600"}


def figures_of(request: Request) -> PublicFigures:
    """Dependency: the figures that this application keeps."""
    return cast("PublicFigures", request.app.state.public_figures)


FiguresDep = Annotated[PublicFigures, Depends(figures_of)]


@router.get("/figures", include_in_schema=False)
def figures_page(
    request: Request, kept: FiguresDep, month: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    months = kept.months()
    wanted = asking.month_of(month) if month else (months[0] if months else None)
    if month and wanted not in months:
        raise Problem(404, "no_figures", f"there are no figures of {month} (yet)")
    found = kept.of(wanted) if wanted else None
    return pages.render(
        request,
        "figures.html",
        found=found,
        causes=month_view.causes(found.figures) if found else (),
        months=months,
        cause_past=wording.cause_past,
    )


@router.get("/figures.json")
def figures_json(kept: FiguresDep, rooms: RoomsDep) -> Response:
    """Every month: hours by room, gaps by cause, requests. See the HTTP guide for the members."""
    return JSONResponse(open_data.document(_all(kept), rooms.council.timezone), headers=_CACHED)


@router.get("/figures/recording.csv")
def recording_csv(kept: FiguresDep) -> Response:
    """By month and room: planned, recorded, missing."""
    return _csv(open_data.recording_csv(_all(kept)), "recording.csv")


@router.get("/figures/gaps.csv")
def gaps_csv(kept: FiguresDep) -> Response:
    """By month, room and cause: how often, how long."""
    return _csv(open_data.gaps_csv(_all(kept)), "gaps.csv")


@router.get("/figures/requests.csv")
def requests_csv(kept: FiguresDep) -> Response:
    """By month: requests registered, and how they were answered in time."""
    return _csv(open_data.requests_csv(_all(kept)), "requests.csv")


def _all(kept: PublicFigures) -> list[MonthFigures]:
    """Oldest first: what is added comes at the end."""
    return [kept.of(each) for each in reversed(kept.months())]


def _csv(content: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **_CACHED}
    return Response(content, media_type="text/csv; charset=utf-8; header=present", headers=headers)
