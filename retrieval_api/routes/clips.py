"""A clip of a room as a URL: `[from, to)`, any byte range of it, for staff with a ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from archive import search
from archive.door import Ground
from archive.mp4.virtual import ClipTooLongError, CodecChangeError
from archive.system import Archive
from recorder.instants import format_exactly
from recorder.intervals import Interval
from retrieval_api import clip_plan, clip_problems, clip_response, grounds
from retrieval_api.auth import Staff
from retrieval_api.clip_plan import Opening
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.routes.rooms import FootageStaff, GroundQuery, parse_interval

router = APIRouter(prefix="/api/v1", tags=["archive"])
_PATH = "/rooms/{room}/clip.mp4"
_DESCRIPTION = "/rooms/{room}/clip.json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address names, and who asks: allowed to, as far as it can be told without the footage."""

    archive: Archive
    opening: Opening
    source: str | None
    zone: str

    def address(self, interval: Interval, path: str = _PATH) -> str:
        """Of the same room, source and ground."""
        query = {
            "from": format_exactly(interval.start_us, self.zone),
            "to": format_exactly(interval.end_us, self.zone),
            "ground": str(self.opening.ground),
            **({"source": self.source} if self.source else {}),
        }
        return f"{router.prefix}{path.format(room=self.opening.room_id)}?{urlencode(query)}"

    def in_parts(self, error: ClipTooLongError | CodecChangeError, now_us: int) -> Exception:
        """The problem that lists the clips that can be had."""
        parts = clip_plan.divide(self.archive, self.opening, now_us, self.source)
        return clip_problems.with_parts(error, parts, self.address, self.zone)


@dataclass(frozen=True, slots=True)
class ClipQuery:
    """What a reader has written, and by whom: not looked up yet."""

    archive: Archive
    staff: Staff
    room: str
    interval: Interval
    ground: Ground
    source: str | None

    def look_up(self) -> Asked:
        """Raises UnknownRoomError, GroundError, Problem 403."""
        with self.archive.database.reading() as session:
            room_id = search.room_id(session, self.archive.configurations, self.room)
            grounds.check_purpose(session, self.ground, room_id, self.interval)
            zone = self.archive.timezone(session)
        opening = Opening(self.staff.actor, room_id, self.interval, self.ground)
        return Asked(self.archive, opening, self.source, zone)


# A coroutine: a function would wait for a thread of its own, before the route does.
async def _clip_query(
    room: str,
    archive: ArchiveDep,
    staff: FootageStaff,
    start: Annotated[str, Query(alias="from", description="RFC 3339 with a zone")],
    end: Annotated[str, Query(alias="to", description="RFC 3339 with a zone, exclusive")],
    ground: GroundQuery = None,
    source: str | None = None,
) -> ClipQuery:
    interval = parse_interval(start, end)
    return ClipQuery(archive, staff, room, interval, grounds.of_visit(staff, ground), source)


ClipQueryDep = Annotated[ClipQuery, Depends(_clip_query)]


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
        422: {"description": "Too long, or the coding changes inside; `clips` lists those to be had"},
        428: {"description": "No ground was given; `grounds` lists them"},
    },
)
def clip(request: Request, query: ClipQueryDep, now_us: NowDep, download: bool = False) -> Response:
    """A progressive MP4. Its ends snap inward to keyframes; `Protokol-Start`, `Protokol-End` tell where.

    `Protokol-Coding: h265` is a picture as the camera sent it that not every browser plays; VLC does.
    `Protokol-Gaps` counts the stretches without picture or sound; the link `describedby` lists them.
    """
    asked = query.look_up()
    try:
        response = clip_response.answer(
            request, asked.archive, asked.opening, source=asked.source, download=download, zone=asked.zone
        )
    except (ClipTooLongError, CodecChangeError) as error:
        raise asked.in_parts(error, now_us) from error
    described = asked.address(asked.opening.interval, _DESCRIPTION)
    response.headers["Link"] = f'<{described}>; rel="describedby"; type="application/json"'
    return response


@router.get(_DESCRIPTION)
def description(query: ClipQueryDep, now_us: NowDep) -> dict[str, Any]:
    """What the clip of the same address holds, and where it freezes or is silent; no footage is opened by it.

    An instant of a run is shown at its `at_s` plus what has passed since its `from`.
    """
    asked = query.look_up()
    interval, zone = asked.opening.interval, asked.zone
    try:
        file = clip_plan.find(asked.archive, asked.opening, now_us, asked.source).file
    except (ClipTooLongError, CodecChangeError) as error:
        raise asked.in_parts(error, now_us) from error
    with asked.archive.database.reading() as session:
        known = search.gaps(session, asked.opening.room_id, interval)
    return {
        "url": asked.address(interval),
        "etag": file.etag,
        "size_bytes": file.size,
        "from": format_exactly(file.start_us, zone),
        "to": format_exactly(file.end_us, zone),
        "coding": file.coding,
        "stretched_sound": file.stretched_sound,
        "runs": [
            {
                "run": run.run,
                "from": format_exactly(run.start_us, zone),
                "to": format_exactly(run.end_us, zone),
                "at_s": run.at_us / 1e6,
            }
            for run in file.runs
        ],
        "gaps": [
            {
                "track": gap.track,
                "from": format_exactly(gap.start_us, zone),
                "to": format_exactly(gap.end_us, zone),
                "causes": sorted(
                    {
                        each.cause
                        for each in known
                        if gap.track in each.tracks
                        and each.start_us < gap.end_us
                        and each.end_us > gap.start_us
                        and asked.source in (None, each.source)
                    }
                ),
            }
            for gap in file.gaps
        ],
    }
