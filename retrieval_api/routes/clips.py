"""A clip of a room as a URL: `[from, to)`, any byte range of it, for staff with a ground."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from archive import search
from retrieval_api import clip_response, grounds
from retrieval_api.routes.rooms import (
    ArchiveDep,
    FootageStaff,
    GroundQuery,
    RoomsDep,
    parse_interval,
)

router = APIRouter(prefix="/api/v1", tags=["archive"])
_PATH = "/rooms/{room}/clip.mp4"


@router.head(_PATH, include_in_schema=False)
@router.get(
    _PATH,
    response_class=Response,
    responses={
        200: {"content": {"video/mp4": {}}},
        206: {"description": "The bytes of `Range`", "content": {"video/mp4": {}}},
        304: {"description": "`If-None-Match` has this clip's ETag"},
        404: {"description": "No footage; `reason` tells why"},
        416: {"description": "`Range` begins after the end"},
        428: {"description": "No ground was given; `grounds` lists them"},
    },
)
def clip(
    request: Request,
    room: str,
    archive: ArchiveDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    start: Annotated[str, Query(alias="from", description="RFC 3339 with a zone")],
    end: Annotated[str, Query(alias="to", description="RFC 3339 with a zone, exclusive")],
    ground: GroundQuery = None,
    source: str | None = None,
    download: bool = False,
) -> Response:
    """A progressive MP4. Its ends snap inward to keyframes; `Protokol-Start`, `Protokol-End` tell where.

    `Protokol-Coding: h265` is a picture as the camera sent it that not every browser plays; VLC does.
    """
    interval = parse_interval(start, end)
    stated = grounds.of_visit(staff, ground)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        grounds.check_purpose(session, stated, room_id, interval)
    opening = clip_response.Opening(staff.actor, room_id, interval, stated)
    return clip_response.answer(
        request, archive, opening, source=source, download=download, zone=rooms.council.timezone
    )
