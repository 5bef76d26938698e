"""A hold by hand, for tests of what it keeps."""

from __future__ import annotations

from archive.system import Archive
from recorder.intervals import Interval
from retention import holds


def hold(
    archive: Archive, start_us: int, end_us: int, placed_us: int | None = None, room: str = "108"
) -> int:
    """Placed at `placed_us`, else at the start of what it keeps, which is of one piece; its number."""
    order = holds.HoldOrder(room, Interval(start_us, end_us), "a complaint", "court order 1", "user:3")
    with archive.database.transaction() as session:
        return holds.place(session, archive, [order], placed_us or start_us)[0].id
