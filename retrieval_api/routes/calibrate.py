"""The page that flashes and beeps, to be held before a room's camera by who calibrates it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from retrieval_api import pages

router = APIRouter(include_in_schema=False)


@router.get("/calibrate")
def calibrate(request: Request) -> Response:
    """Open to everybody: it bears no data, and a telephone needs no log-in."""
    return pages.render(request, "calibrate.html")
