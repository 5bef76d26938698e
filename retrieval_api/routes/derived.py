"""What was made of footage, to find a moment in it: thumbnails, on a ground; loudness, numbers only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from archive import asking, derived, door, search
from archive.media.work import LOUDNESS_STEP_US, Thumbnail
from archive.search import StoredSegment
from archive.store import ObjectMissingError
from archive.system import Archive
from recorder.instants import US_PER_SECOND, format_instant, local_date, local_midnight_us
from recorder.intervals import Interval
from retrieval_api import grounds, ranges
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import Problem
from retrieval_api.routes import day_hls
from retrieval_api.routes.rooms import FootageStaff, GroundQuery, RoomsDep

router = APIRouter(prefix="/api/v1", tags=["archive"])

# An older one shows another moment than the one asked for.
_OLDEST_US = 15 * US_PER_SECOND
# As clips are: kept, and asked for anew each time, because the retention may have passed.
_CACHE = {"Cache-Control": "private, no-cache"}


@router.get("/rooms/{room}/loudness")
def loudness(
    room: str,
    date: str,
    archive: ArchiveDep,
    now_us: NowDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    response: Response,
    source: str | None = None,
) -> dict[str, Any]:
    """How loud it was, second by second: 0 is 60 dB below full scale or less, 100 full scale, null no sound.

    Newer minutes follow within a minute or two of their arrival. Empty where nothing was recorded.
    """
    del staff
    day = asking.date_of(date)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        door.require_open_day(session, archive.configurations, room_id, day.isoformat(), now_us)
        heard = derived.loudness_of_day(
            session,
            archive.store,
            room_id,
            day.isoformat(),
            source or door.usual_source(session, archive.configurations, room_id),
        )
    response.headers.update(_CACHE)
    return {
        "start_us": heard.start_us or local_midnight_us(day, rooms.council.timezone),
        "step_us": LOUDNESS_STEP_US,
        "values": heard.values,
    }


@router.get(
    "/rooms/{room}/thumbnail.jpg",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        304: {"description": "`If-None-Match` has this picture's ETag"},
        404: {"description": "No footage, for a `reason`; or `no_thumbnail`: none was made of it (yet)"},
        428: {"description": "No ground was given; `grounds` lists them"},
    },
)
def thumbnail(
    request: Request,
    room: str,
    archive: ArchiveDep,
    now_us: NowDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    at: Annotated[str, Query(description="RFC 3339 with a zone")],
    ground: GroundQuery = None,
    source: str | None = None,
) -> Response:
    """The newest small picture at or before `at`, at most 15 s older; `Protokol-At` tells its own time.

    All that somebody looks at of one day on one ground, played or as pictures, is one viewing.
    """
    at_us = asking.instant_of(at)
    stated = grounds.of_visit(staff, ground)
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        around = Interval(at_us - _OLDEST_US, at_us + 1)
        segments = door.of_interval(session, archive.configurations, room_id, around, stated, now_us, source)
        found = _newest(archive, segments, at_us)
        if found is None:
            raise Problem(404, "no_thumbnail", "no small picture of that moment was made (yet)")
        shown = Interval(found.at_us, found.at_us + 1)
        grounds.check_purpose(session, stated, room_id, shown)
        whole = day_hls.day_interval(local_date(found.at_us, zone), zone)
        look = day_hls.look_at(staff, room_id, whole, stated, grounds.limits(session, stated, room_id, whole))
    etag = f'"{hashlib.sha256(found.jpeg).hexdigest()}"'
    headers = {**_CACHE, "ETag": etag, "Protokol-At": format_instant(found.at_us, zone)}
    if ranges.select(request.headers, etag, len(found.jpeg)).status == 304:
        return Response(status_code=304, headers=headers)
    viewings = day_hls.viewings_of(request)
    viewings.open(look, now_us)
    viewings.served(look, shown, len(found.jpeg), now_us)
    return Response(found.jpeg, headers=headers, media_type="image/jpeg")


def _newest(archive: Archive, segments: Iterable[StoredSegment], at_us: int) -> Thumbnail | None:
    found: list[Thumbnail] = []
    for segment in segments:
        try:
            made = derived.read(archive.store, segment.object_name)
        except ObjectMissingError:
            continue
        found += (each for each in made.thumbnails if at_us - _OLDEST_US <= each.at_us <= at_us)
    return max(found, key=lambda each: each.at_us, default=None)
