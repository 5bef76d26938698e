"""What is told of a request in the custody log: always its number, its room as it is known, its date."""

from __future__ import annotations

from archive import custody
from archive.models import Request


def event(action: str, request: Request, actor: str, now_us: int, **details: object) -> custody.Event:
    """An event about the request, not chained yet. `details` bear nothing of a person."""
    return custody.Event(
        action,
        actor,
        now_us,
        room=request.matched_room or request.room,
        date=request.date,
        subject=f"request:{request.number}",
        details=details,
    )
