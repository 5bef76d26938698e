"""The notice for a room's door: who records, why, how long, and a QR code to ask for a recording."""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import Annotated
from urllib.parse import quote

import segno
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup

from recorder.hours_notation import days_of
from recorder.rooms import RoomConfiguration, RoomsFile
from retrieval_api import pages
from retrieval_api.i18n import Localizer
from retrieval_api.pages import ArchiveDep, localizer_of, rooms_of

router = APIRouter(include_in_schema=False)
_MONDAY = date(2024, 1, 1)


@router.get("/notice/{room}")
def notice(
    request: Request,
    room: str,
    archive: ArchiveDep,
    rooms: Annotated[RoomsFile, Depends(rooms_of)],
) -> Response:
    """One A4 page to print, open to everybody."""
    found = rooms.room(room)
    address = f"{archive.settings.public_url}/request?room={quote(found.id)}"
    configuration = rooms.configuration(found.id, 0)
    return pages.render(
        request,
        "notice.html",
        room=found,
        address=address,
        qr=qr_code(address),
        hours=_hours(configuration, localizer_of(request)),
        months=rooms.retention.months,
    )


def _hours(configuration: RoomConfiguration, texts: Localizer) -> list[tuple[str, str]]:
    """(`понеділок–четвер`, `08:00–12:00, 13:00–17:00`) for each line of the room's hours."""
    lines = []
    for key, times in configuration.hours.items():
        days = [texts.weekday(_MONDAY + timedelta(days=number)) for number in days_of(key)]
        spoken = days[0] if len(days) == 1 else f"{days[0]}–{days[-1]}"
        lines.append((spoken, ", ".join(each.replace("-", "–") for each in times)))
    return lines


def qr_code(text: str) -> Markup:
    """An SVG without size, colour or script: the page's style decides. Error correction M, quiet zone 4."""
    image = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        image, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=4, svgclass="qr", lineclass=None
    )
    return Markup(image.getvalue().decode())  # noqa: S704 (made here, of squares alone)
