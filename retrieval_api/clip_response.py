"""A clip as an HTTP answer: resolved at the door, built, its opening recorded, its bytes streamed.

Staff and residents get their footage here and nowhere else. The viewing, with its ground, is durable
before the first byte; what was in fact sent is added to it while it goes and when it ends.
"""

from __future__ import annotations

from datetime import datetime

from fastapi import Request
from fastapi.responses import Response

from archive import viewing
from archive.mp4.virtual import VirtualMp4
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, to_datetime
from retrieval_api import sliced_response
from retrieval_api.clip_plan import Clip, Opening, find
from retrieval_api.pages import now_of

__all__ = ["Clip", "Opening", "answer", "file_name", "find"]

# What was sent is written down this often while it goes; a viewing is idle after five minutes.
_RECORD_EVERY_US = 20 * US_PER_SECOND
_REOPEN_AFTER_US = US_PER_MINUTE


def answer(
    request: Request,
    archive: Archive,
    opening: Opening,
    *,
    source: str | None = None,
    download: bool = False,
    zone: str,
) -> Response:
    """200, 206, 304, 412 or 416 for a GET or HEAD of the clip. Raises what `find` raises."""
    now_us = now_of(request)
    clip = find(archive, opening, now_us, source)
    headers = _headers(clip.file, opening, zone, download=download)
    journal = _Journal(request, archive, opening, clip)
    return sliced_response.answer(request, archive.store, clip.file, headers, journal)


def file_name(room_id: str, start_us: int, zone: str) -> str:
    """`108_2026-11-20_10-00-00.mp4`, local time."""
    moment: datetime = to_datetime(start_us, zone)
    return f"{room_id}_{moment:%Y-%m-%d_%H-%M-%S}.mp4"


def _headers(file: VirtualMp4, opening: Opening, zone: str, *, download: bool) -> dict[str, str]:
    name = file_name(opening.room_id, opening.interval.start_us, zone)
    return {
        "Content-Disposition": f'{"attachment" if download else "inline"}; filename="{name}"',
        "Protokol-Start": format_instant(file.start_us, zone),
        "Protokol-End": format_instant(file.end_us, zone),
        "Protokol-Coding": file.coding,
        "Protokol-Gaps": str(len(file.gaps)),
        # The browser may keep it while it plays and must ask again each time: retention may have passed.
        "Cache-Control": "private, no-cache",
    }


class _Journal:
    """The viewing of one answer: opened before the first byte, told of what was sent."""

    def __init__(self, request: Request, archive: Archive, opening: Opening, clip: Clip) -> None:
        self._request, self._archive, self._opening, self._clip = request, archive, opening, clip
        self._viewing_id = 0
        self._told_us = 0

    def open(self) -> None:
        """Durable, with its custody event, on return."""
        self._told_us = now_of(self._request)
        what = self._opening
        self._viewing_id = viewing.open_viewing(
            self._archive, what.actor, what.room_id, what.interval, what.ground, self._told_us
        )

    def is_due(self) -> bool:
        return now_of(self._request) - self._told_us >= _RECORD_EVERY_US

    def tell(self, start: int, end: int) -> None:
        """Bytes `[start, end)` were handed to the reader."""
        at_us = now_of(self._request)
        if at_us - self._told_us > _REOPEN_AFTER_US:
            # A reader that paused in the middle: the viewing may have been closed as idle.
            self.open()
        self._told_us = at_us
        if end > start:
            viewing.served(self._archive, self._viewing_id, self._clip.shown(start, end), end - start, at_us)
