"""The public page of checkpoints: open to everybody, because a proof that only its maker sees is none."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from archive import checkpoint
from archive.models import CustodyCheckpoint
from archive.system import Archive
from retrieval_api import pages
from retrieval_api.pages import ArchiveDep
from retrieval_api.problems import Problem

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 60
_MAX_NUMBER = 2**63 - 1
_DAY_S = 86_400
Date = Annotated[str, Path(pattern=r"^\d{4}-\d\d-\d\d$")]


@router.get("/checkpoints")
def checkpoints_page(
    request: Request,
    archive: ArchiveDep,
    before: Annotated[int | None, Query(ge=0, le=_MAX_NUMBER)] = None,
) -> Response:
    statement = select(CustodyCheckpoint).order_by(CustodyCheckpoint.number.desc()).limit(_PAGE_SIZE + 1)
    if before is not None:
        statement = statement.where(CustodyCheckpoint.number < before)
    with archive.database.reading() as session:
        rows = list(session.scalars(statement))
    shown = [_shown(row) for row in rows[:_PAGE_SIZE]]
    return pages.render(
        request,
        "checkpoints.html",
        newest=shown[0] if shown and before is None else None,
        checkpoints=shown,
        older=shown[-1]["number"] if len(rows) > _PAGE_SIZE else None,
        first_page=before is None,
        key=checkpoint.public_key_text(archive.server_key.public_key()),
        authority=archive.settings.tsa_url,
    )


@router.get("/checkpoints/server-key.pem")
def server_key(archive: ArchiveDep) -> Response:
    """The public half of the server's key, as openssl reads it."""
    content = checkpoint.public_key_pem(archive.server_key.public_key())
    return _file(content, "application/x-pem-file", "server-key.pem")


@router.get("/checkpoints/{date}.json")
def checkpoint_file(archive: ArchiveDep, date: Date) -> Response:
    """The signed checkpoint: the very bytes that the time stamp covers."""
    content = checkpoint.document(_row(archive, date), archive.server_key.public_key())
    return _file(content, "application/json", f"{date}.json")


@router.get("/checkpoints/{date}.tsr")
def time_stamp_file(archive: ArchiveDep, date: Date) -> Response:
    content = _row(archive, date).time_stamp
    if content is None:
        raise Problem(404, "no_time_stamp", f"the checkpoint of {date} bears no time stamp (yet)")
    return _file(content, "application/timestamp-reply", f"{date}.tsr")


def _row(archive: Archive, date: str) -> CustodyCheckpoint:
    with archive.database.reading() as session:
        statement = select(CustodyCheckpoint).where(CustodyCheckpoint.date == date)
        row = session.scalars(statement).one_or_none()
    if row is None:
        raise Problem(404, "unknown_checkpoint", f"there is no checkpoint of {date}")
    return row


def _shown(row: CustodyCheckpoint) -> dict[str, Any]:
    body = json.loads(row.body)
    return {
        "number": row.number,
        "date": row.date,
        "created_us": row.created_us,
        "sequence": row.sequence,
        "events": body["events"],
        "head_sha256": body["head_sha256"],
        "signature": row.signature,
        "stamped": row.time_stamp is not None,
    }


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": f"public, max-age={_DAY_S}",
    }
    return Response(content, media_type=media_type, headers=headers)
