"""For auditors: the custody log, its exports, and the certificates of purge."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sqlalchemy import select

from archive import asking, custody, search
from archive.models import Certificate
from archive.system import Archive
from recorder.rooms import RoomsFile
from retention.rendering import certificate_document
from retrieval_api import custody_view, pages
from retrieval_api.auth import Staff, require
from retrieval_api.pages import ArchiveDep, NowDep, localizer_of
from retrieval_api.problems import Problem
from retrieval_api.routes.rooms import RoomsDep

router = APIRouter(prefix="/staff", include_in_schema=False)
Auditor = Annotated[Staff, Depends(require("auditor", "admin"))]
_CERTIFICATES_SHOWN = 500
# Beyond what either database can keep.
_MAX_NUMBER = 2**63 - 1
Number = Annotated[int, Path(ge=1, le=_MAX_NUMBER)]


def _filter(
    archive: ArchiveDep,
    day: Annotated[str, Query(alias="date", max_length=20)] = "",
    room: Annotated[str, Query(max_length=60)] = "",
    footage: Annotated[str, Query(max_length=20)] = "",
    subject: Annotated[str, Query(max_length=80)] = "",
    machines: str = "",
) -> custody_view.Filter:
    room_id = None
    if room:
        with archive.database.reading() as session:
            room_id = search.room_id(session, archive.configurations, room)
    return custody_view.Filter(
        day=asking.date_of(day) if day else None,
        room=room_id,
        footage=asking.date_of(footage) if footage else None,
        subject=subject.strip(),
        machines=bool(machines),
    )


Wanted = Annotated[custody_view.Filter, Depends(_filter)]


@router.get("/custody")
def custody_page(
    request: Request,
    archive: ArchiveDep,
    rooms: RoomsDep,
    staff: Auditor,
    wanted: Wanted,
    before: Annotated[int | None, Query(ge=0, le=_MAX_NUMBER)] = None,
) -> Response:
    del staff
    zone = rooms.council.timezone
    with archive.database.reading() as session:
        rows, more = custody_view.page(session, wanted, zone, before)
        told = custody_view.lines(session, rows, localizer_of(request), _labels(rooms))
    query = _query(wanted)
    return pages.render(
        request,
        "custody.html",
        lines=told,
        wanted=wanted,
        rooms=rooms.rooms,
        query=query,
        older={**query, "before": str(rows[-1].sequence)} if more else None,
        newest=before is None,
    )


@router.get("/custody.csv")
def custody_csv(
    archive: ArchiveDep, rooms: RoomsDep, staff: Auditor, now_us: NowDep, wanted: Wanted
) -> Response:
    _record_export(archive, staff, wanted, "csv", now_us)
    zone = rooms.council.timezone
    content = custody_view.as_csv(custody_view.everything(archive, wanted, zone), zone)
    return _download(content, "text/csv; charset=utf-8", "custody.csv")


@router.get("/custody.json")
def custody_json(
    archive: ArchiveDep, rooms: RoomsDep, staff: Auditor, now_us: NowDep, wanted: Wanted
) -> Response:
    _record_export(archive, staff, wanted, "json", now_us)
    zone = rooms.council.timezone
    content = custody_view.as_json(custody_view.everything(archive, wanted, zone), zone)
    return _download(content, "application/json", "custody.json")


@router.get("/certificates")
def certificates_page(request: Request, archive: ArchiveDep, rooms: RoomsDep, staff: Auditor) -> Response:
    del staff
    with archive.database.reading() as session:
        statement = select(Certificate).order_by(Certificate.id.desc()).limit(_CERTIFICATES_SHOWN)
        found = [_certificate(row) for row in session.scalars(statement)]
    return pages.render(request, "certificates.html", certificates=found, labels=_labels(rooms))


@router.get("/certificates/{number}")
def certificate_page(request: Request, number: Number, archive: ArchiveDep, staff: Auditor) -> Response:
    """One certificate, printable."""
    del staff
    return pages.render(request, "certificate.html", certificate=_certificate(_row(archive, number)))


@router.get("/certificates/{number}/document.json")
def certificate_json(number: Number, archive: ArchiveDep, staff: Auditor) -> Response:
    """The signed document as it is, for programs that check the signature."""
    del staff
    return JSONResponse(certificate_document(_row(archive, number)))


@router.get("/certificates/{number}/document.pdf")
def certificate_sheet(number: Number, archive: ArchiveDep, rooms: RoomsDep, staff: Auditor) -> Response:
    """The certificate as a sheet to print and sign for."""
    from retention import certificate_pdf  # noqa: PLC0415 -- 37 MB that a server seldom needs

    del staff
    content = certificate_pdf.render(_row(archive, number), rooms.council.timezone)
    headers = {"Content-Disposition": f'attachment; filename="certificate-{number}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _row(archive: Archive, number: int) -> Certificate:
    with archive.database.reading() as session:
        row = session.get(Certificate, number)
    if row is None:
        raise Problem(404, "unknown_certificate", f"there is no certificate {number}")
    return row


def _certificate(row: Certificate) -> dict[str, Any]:
    return {
        "number": row.id,
        "room": row.room,
        "date": date.fromisoformat(row.date),
        "created_us": row.created_us,
        "sha256": row.sha256,
        "signature": row.signature,
        "body": json.loads(row.body),
    }


def _labels(rooms: RoomsFile) -> dict[str, str]:
    return {room.id: room.label for room in rooms.rooms}


def _query(wanted: custody_view.Filter) -> dict[str, str]:
    """The filter as the address has it, without what is empty."""
    query = {
        "date": wanted.day.isoformat() if wanted.day else "",
        "room": wanted.room or "",
        "footage": wanted.footage.isoformat() if wanted.footage else "",
        "subject": wanted.subject,
        "machines": "1" if wanted.machines else "",
    }
    return {name: value for name, value in query.items() if value}


def _record_export(
    archive: Archive, staff: Staff, wanted: custody_view.Filter, form: str, now_us: int
) -> None:
    """Who takes the log out of the house is itself in the log, before the first byte."""
    with archive.database.transaction() as session:
        event = custody.Event(
            "log_exported", staff.actor, now_us, details={"format": form, "filter": _query(wanted)}
        )
        custody.append(session, event)


def _download(content: Any, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(content, media_type=media_type, headers=headers)
