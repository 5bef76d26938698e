"""Whether the server lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from recorder.errors import ProtokolError
from retrieval_api.pages import ArchiveDep
from retrieval_api.problems import Problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(archive: ArchiveDep) -> dict[str, str]:
    """The database can be read and is of this version; 503 with the reason otherwise."""
    try:
        archive.database.require_current_schema()
        with archive.database.reading() as session:
            archive.configurations.current(session)
    except (ProtokolError, SQLAlchemyError) as error:
        raise Problem(503, "not_ready", str(error)[:300]) from error
    return {"status": "ready"}
