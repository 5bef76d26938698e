"""The log of actions, as tests read it."""

from __future__ import annotations

from sqlalchemy import select

from archive.models import CustodyEvent
from archive.system import Archive


def events(archive: Archive, *actions: str) -> list[CustodyEvent]:
    """All events of these actions, the oldest first."""
    with archive.database.reading() as session:
        statement = select(CustodyEvent).where(CustodyEvent.action.in_(actions))
        return list(session.scalars(statement.order_by(CustodyEvent.sequence)))


def viewings(archive: Archive) -> int:
    """How often footage was opened."""
    return len(events(archive, "view_opened"))
