"""A room's day: what is recorded of it, what is missing and why, and a clip of it on a stated ground."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import select

from archive import asking, marks, search
from archive.door import GroundError
from archive.models import Mark
from archive.models import Request as Application
from archive.mp4.virtual import ClipTooLongError, CodecChangeError
from archive.search import Coverage
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND, format_instant, to_datetime
from recorder.intervals import Interval
from recorder.rooms import RoomConfiguration
from recorder.working_hours import windows
from retrieval_api import clip_plan, day_document, day_view, day_wording, grounds, pages, wording
from retrieval_api.auth import Staff
from retrieval_api.i18n import Localizer
from retrieval_api.pages import ArchiveDep, NowDep, localizer_of, today_of
from retrieval_api.problems import Problem, as_problem
from retrieval_api.routes.day_hls import day_interval
from retrieval_api.routes.extension import CHANGE_ROLES
from retrieval_api.routes.rooms import FootageStaff, RoomsDep

router = APIRouter(prefix="/staff", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """An interval of the day as it was asked for; shown again whatever comes of it.

    By itself it is a link to an interval, which the player marks; `opens` asks for a clip of it.
    """

    start: str = ""
    end: str = ""
    ground: str = ""
    reference: str = ""
    open: bool = False

    @property
    def opens(self) -> bool:
        return bool(self.start or self.end) and (self.open or bool(self.ground))

    @property
    def stated(self) -> str:
        return grounds.written(self.ground, self.reference)


@dataclass(frozen=True, slots=True)
class Part:
    """A clip that can be had of an interval that cannot be one, and its address on this page."""

    start_us: int
    end_us: int
    address: str


def _asked(
    start: Annotated[str, Query(alias="from", max_length=20)] = "",
    end: Annotated[str, Query(alias="to", max_length=20)] = "",
    ground: Annotated[str, Query(max_length=20)] = "",
    reference: Annotated[str, Query(max_length=40)] = "",
    *,
    open: bool = False,  # noqa: A002 (the name in the address)
) -> Asked:
    return Asked(start, end, ground, reference, open)


@dataclass(frozen=True, slots=True)
class _Day:
    """What the archive knows of a room's day. `request_numbers`: by the id of a request that holds it;
    `opened`: see `grounds.opened`; `footage`: the sources that recorded any of it.
    """

    room_id: str
    configuration: RoomConfiguration
    facts: Coverage
    beside: Sequence[Mark]
    request_numbers: dict[int, str]
    opened: list[Interval] | None
    footage: Collection[str]

    @property
    def cameras(self) -> tuple[str, ...]:
        """What there is to choose from: the room's of now, then those of that day that have another name."""
        return tuple(dict.fromkeys([*self.configuration.room.sources, *sorted(self.footage)]))

    def camera(self, asked: str) -> str:
        """The one that the page shows, by itself one of that day; empty where there is nothing to choose."""
        if len(self.cameras) == 1:
            return ""
        usual = next((each for each in self.cameras if each in self.footage), self.cameras[0])
        return asked if asked in self.cameras else usual


def _read(
    archive: Archive, staff: Staff, room: str, day: date, zone: str, now_us: int, source: str | None = None
) -> _Day:
    whole = day_interval(day, zone)
    with archive.database.reading() as session:
        room_id = search.room_id(session, archive.configurations, room)
        facts = search.coverage(session, archive.configurations, room_id, day.isoformat(), now_us, source)
        wanted = {hold.request_id for hold in facts.holds}
        numbers = session.execute(
            select(Application.id, Application.number).where(Application.id.in_(wanted))
        )
        return _Day(
            room_id,
            archive.configurations.last_known(session, room_id),
            facts,
            marks.of_day(session, room_id, day, zone),
            {row.id: row.number for row in numbers},
            grounds.opened(session, staff, room_id, whole),
            search.stored_time(session, room_id, whole).keys(),
        )


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
    source: Annotated[str, Query(max_length=40)] = "",
    placed: Annotated[int, Query(alias="held")] = 0,
    *,
    part: bool = False,
) -> Response:
    day = asking.date_of(date_text) if date_text else today
    zone = rooms.council.timezone
    texts = localizer_of(request)
    read = _read(archive, staff, room, day, zone, now_us)
    configuration, facts = read.configuration, read.facts
    source = read.camera(source)
    clip: dict[str, Any] | None = None
    problem: Problem | None = None
    parts: list[Part] = []
    if asked.opens:
        try:
            opening = _opening(archive, staff, read.room_id, day, asked, zone)
            try:
                clip = _clip(archive, opening, source, zone, now_us)
            except (ClipTooLongError, CodecChangeError):
                parts = _parts(archive, opening, asked, source, zone, now_us)
                raise
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
                for mark in read.beside
            ],
            None
            if read.opened is None
            else (
                read.opened,
                texts.gettext(day_wording.OPENED),
                texts.gettext(day_wording.UNOPENED),
            ),
        ),
        beside=read.beside,
        request_numbers=read.request_numbers,
        mark_words=wording.MARKS,
        asked=asked,
        grounds=grounds.allowed(staff.role),
        ground=_ground_in_force(staff, texts),
        source=source,
        cameras=read.cameras,
        opened=read.opened,
        may_hold=staff.role in CHANGE_ROLES,
        here=_address(request),
        weekdays=[date(2026, 11, 16) + timedelta(days=each) for each in range(7)],
        held=next((hold for hold in facts.holds if hold.id == placed), None),
        held_in_part=part,
        clip=clip,
        problem=problem.page if problem else None,
        parts=parts,
        cause_past=wording.cause_past,
        tracks=wording.TRACKS,
    )


@router.get("/rooms/{room}/day.json")
def day_facts(
    request: Request,
    room: str,
    archive: ArchiveDep,
    now_us: NowDep,
    rooms: RoomsDep,
    staff: FootageStaff,
    date_text: Annotated[str, Query(alias="date", max_length=20)],
    source: Annotated[str, Query(max_length=40)] = "",
) -> JSONResponse:
    """All that the strip of the day draws, with the words of the reader's language; no footage. Of one
    camera where one is named, as the player's day is.
    """
    day, texts = asking.date_of(date_text), localizer_of(request)
    read = _read(archive, staff, room, day, rooms.council.timezone, now_us, source or None)
    told = day_document.document(
        read.facts,
        read.beside,
        read.request_numbers,
        day,
        now_us,
        texts,
        names_sources=not source and len(read.cameras) > 1,
        opened=read.opened,
    )
    return JSONResponse(
        {**told, "words": day_wording.sentences(texts)}, headers={"Cache-Control": "no-store"}
    )


def _ground_in_force(staff: Staff, texts: Localizer) -> str:
    """On what ground this visit opens footage, in words; empty where it has to be stated first."""
    try:
        ground = grounds.of_visit(staff, None)
    except (Problem, GroundError):
        return ""
    return texts.gettext(wording.GROUNDS.get(ground.kind, ground.kind), reference=ground.reference or "")


def _of_camera(source: str) -> dict[str, str]:
    return {"source": source} if source else {}


def _address(request: Request) -> str:
    """This page's own, to come back to it."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _following(day: date, today: date, configuration: RoomConfiguration) -> date | None:
    """The next day with windows, until today."""
    if day >= today:
        return None
    following = day_view.neighbour(day, 1, lambda each: bool(windows(configuration, each)))
    return min(following, max(today, day + timedelta(days=1)))


def _opening(
    archive: Archive, staff: Staff, room_id: str, day: date, asked: Asked, zone: str
) -> clip_plan.Opening:
    interval = day_view.local_interval(day, asked.start, asked.end, zone)
    ground = grounds.of_visit(staff, asked.stated)
    with archive.database.reading() as session:
        grounds.check_purpose(session, ground, room_id, interval)
    return clip_plan.Opening(staff.actor, room_id, interval, ground)


def _parts(
    archive: Archive, opening: clip_plan.Opening, asked: Asked, source: str, zone: str, now_us: int
) -> list[Part]:
    """Links to what can be opened one by one. The form knows whole seconds: parts are cut inward to them."""
    texts = pages.localizer("uk", zone)
    links = []
    for each in clip_plan.divide(archive, opening, now_us, source or None).clips:
        start_us = -(-each.start_us // US_PER_SECOND) * US_PER_SECOND
        end_us = each.end_us // US_PER_SECOND * US_PER_SECOND
        if start_us < end_us:
            query = {
                "date": f"{to_datetime(start_us, zone):%Y-%m-%d}",
                "from": texts.time_seconds(start_us),
                "to": texts.until(end_us, seconds=True),
                "open": "true",
                "ground": asked.ground,
                "reference": asked.reference,
                **_of_camera(source),
            }
            links.append(Part(start_us, end_us, f"?{urlencode(query)}#player"))
    return links


def _clip(
    archive: Archive, opening: clip_plan.Opening, source: str, zone: str, now_us: int
) -> dict[str, Any]:
    """What the player needs. Nothing is opened yet: that is recorded when the first byte is asked for."""
    interval = opening.interval
    file = clip_plan.find(archive, opening, now_us, source or None).file
    query = urlencode(
        {
            "from": format_instant(interval.start_us, zone),
            "to": format_instant(interval.end_us, zone),
            "ground": str(opening.ground),
            **_of_camera(source),
        }
    )
    return {
        "url": f"/api/v1/rooms/{opening.room_id}/clip.mp4?{query}",
        "start_us": file.start_us,
        "end_us": file.end_us,
        "size": file.size,
        "gaps": file.gaps,
        "coding": file.coding,
        "zone": zone,
    }
