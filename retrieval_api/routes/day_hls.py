"""A room's day for a player: its playlist, and the parts that the playlist names. For staff with a ground."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from archive import asking, day_line, search
from archive.door import Ground
from archive.mp4 import hls
from archive.mp4.part import PartFile
from recorder.instants import local_midnight_us
from recorder.intervals import Interval
from retrieval_api import grounds, sliced_response
from retrieval_api.auth import Staff
from retrieval_api.day_viewings import DayViewings, Look
from retrieval_api.pages import ArchiveDep, NowDep, now_of
from retrieval_api.problems import Problem
from retrieval_api.routes.rooms import FootageStaff, GroundQuery, RoomsDep

router = APIRouter(prefix="/api/v1/rooms/{room}", tags=["archive"])
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_PLAYLIST, _MEDIA = "/day.m3u8", "/media/{segment_id}.mp4"
# The browser may keep it while it plays and must ask again each time: retention may have passed.
_CACHING = {"Cache-Control": "private, no-cache"}


@router.head(_PLAYLIST, include_in_schema=False)
@router.get(
    _PLAYLIST,
    response_class=Response,
    responses={
        200: {"content": {PLAYLIST_TYPE: {}}},
        304: {"description": "`If-None-Match` has this day's ETag: nothing has come since"},
        403: {"description": "The ground's purpose covers nothing of the day"},
        404: {"description": "No footage; `reason` tells why"},
        428: {"description": "No ground was given; `grounds` lists them"},
    },
)
def playlist(
    request: Request,
    room: str,
    archive: ArchiveDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    now_us: NowDep,
    day: Annotated[str, Query(alias="date", description="A local date, 2026-11-20", max_length=20)],
    ground: GroundQuery = None,
    source: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """HLS: what is recorded of the day so far, gaps closed up. A day that still goes on is loaded anew for
    more; the times of what was there already stay unless footage has arrived before it.
    """
    stated = grounds.of_visit(staff, ground)
    wanted = asking.date_of(day)
    whole = day_interval(wanted, rooms.council.timezone)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        limits = grounds.limits(session, stated, room_id, whole)
        line = day_line.line(session, archive, room_id, wanted, stated, now_us, source, limits)
    more = "&" + urlencode({"ground": str(stated)})
    text = hls.render(line, lambda part: hls.relative_address(part, more))
    body = text.encode()
    headers = {
        **_CACHING,
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        "Protokol-Coding": line.coding,
    }
    unwanted = request.headers.get("If-None-Match", "")
    if headers["ETag"] in unwanted:
        return Response(status_code=304, headers=headers)
    if request.method != "HEAD":
        look = look_at(staff, room_id, whole, stated, limits)
        viewings_of(request).open(look, now_us)
    return Response(body, headers=headers, media_type=PLAYLIST_TYPE)


@router.head(_MEDIA, include_in_schema=False)
@router.get(_MEDIA, response_class=Response, include_in_schema=False)
def media(
    request: Request,
    room: str,
    segment_id: str,
    archive: ArchiveDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    now_us: NowDep,
    p: Annotated[str, Query(max_length=200)],
    ground: GroundQuery = None,
    still: Annotated[str | None, Query(max_length=60)] = None,
    hush: Annotated[str | None, Query(max_length=60)] = None,
) -> Response:
    """A part of a day, or the description of its tracks, by an address that a playlist gave."""
    stated = grounds.of_visit(staff, ground)
    try:
        wanted = hls.from_query(segment_id, p, still, hush)
    except ValueError as error:
        raise Problem(404, "no_such_part", f"no part of a day: {error}; load the playlist anew") from error
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        row, file = day_line.part(session, archive, room_id, wanted, stated, now_us)
        whole = day_interval(date.fromisoformat(row.date), rooms.council.timezone)
        limits = grounds.limits(session, stated, room_id, whole)
        if isinstance(file, PartFile):
            for interval in file.shown:
                grounds.check_purpose(session, stated, room_id, interval)
    if not isinstance(file, PartFile):
        return Response(file, headers=_CACHING, media_type=sliced_response.MEDIA_TYPE)
    journal = _PartJournal(request, look_at(staff, room_id, whole, stated, limits), file)
    return sliced_response.answer(request, archive.store, file, dict(_CACHING), journal)


def viewings_of(request: Request) -> DayViewings:
    return cast("DayViewings", request.app.state.day_viewings)


@dataclass(slots=True)
class _PartJournal:
    """A part is short: what was sent of it is told once, at its end."""

    request: Request
    look: Look
    file: PartFile

    def open(self) -> None:
        viewings_of(self.request).open(self.look, now_of(self.request))

    def is_due(self) -> bool:
        return False

    def tell(self, start: int, end: int) -> None:
        if end > start:
            viewings, at_us = viewings_of(self.request), now_of(self.request)
            viewings.served(self.look, self.file.shown[0], end - start, at_us)
            # A picture that is lent is of another instant.
            for lent in self.file.shown[1:]:
                viewings.served(self.look, lent, 0, at_us)


def day_interval(day: date, zone: str) -> Interval:
    return Interval(local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone))


def look_at(
    staff: Staff, room_id: str, whole: Interval, ground: Ground, limits: list[Interval] | None
) -> Look:
    """One look at the day on one ground: from the first instant that it may show to the last."""
    if limits is not None:
        whole = Interval(limits[0].start_us, limits[-1].end_us)
    return Look(staff.actor, room_id, whole, ground)
