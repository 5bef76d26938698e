"""A clip as an HTTP answer: resolved at the door, built, its opening recorded, its bytes streamed.

Staff and residents get their footage here and nowhere else. The viewing, with its ground, is durable
before the first byte; what was in fact sent is added to it while it goes and when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from fastapi import Request
from fastapi.responses import Response

from archive import door, viewing
from archive.door import Ground
from archive.mp4.virtual import Piece, Stored, VirtualMp4, build
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, to_datetime
from recorder.intervals import Interval
from retrieval_api import sliced_response
from retrieval_api.pages import now_of

# What was sent is written down this often while it goes; a viewing is idle after five minutes.
_RECORD_EVERY_US = 20 * US_PER_SECOND
_REOPEN_AFTER_US = US_PER_MINUTE


@dataclass(frozen=True)
class Opening:
    """Who opens which interval of which room (an id), on what ground.

    `exact` is for what leaves the house: not a byte of media from outside the interval.
    """

    actor: str
    room_id: str
    interval: Interval
    ground: Ground
    exact: bool = False


@dataclass(frozen=True)
class Clip:
    """What an opening gets: the virtual file and the segments it is made of."""

    file: VirtualMp4
    pieces: tuple[Piece, ...]

    def shown(self, start: int, end: int) -> Interval | None:
        """The wall time that bytes `[start, end)` can hold, by whole segments; None for the head alone."""
        names = {part.name for part in self.file.slices(start, end) if isinstance(part, Stored)}
        touched = [piece for piece in self.pieces if piece.name in names]
        if not touched:
            return None
        first = max(min(piece.start_us for piece in touched), self.file.start_us)
        last = min(max(piece.end_us for piece in touched), self.file.end_us)
        return Interval(first, last) if first < last else None


def find(archive: Archive, opening: Opening, now_us: int, source: str | None = None) -> Clip:
    """Nothing is opened by it yet. Raises NoFootageError, GroundError, NothingRecordedError,
    ClipTooLongError, CodecChangeError, each of which has its problem.
    """
    with archive.database.reading() as session:
        pieces = door.resolve(
            session,
            archive.configurations,
            archive.store,
            opening.room_id,
            opening.interval,
            opening.ground,
            now_us,
            source,
        )
    return _built(_Plan(tuple(pieces), opening.interval, opening.exact))


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
        # The browser may keep it while it plays and must ask again each time: retention may have passed.
        "Cache-Control": "private, no-cache",
    }


class _Plan:
    """What decides the bytes of a clip: equal plans, equal files. Object names bear a digest."""

    def __init__(self, pieces: tuple[Piece, ...], interval: Interval, exact: bool) -> None:
        self.pieces, self.interval, self.exact = pieces, interval, exact
        self._key = (tuple(piece.name for piece in pieces), interval, exact)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8)
def _built(plan: _Plan) -> Clip:
    """A player asks for one clip many times; an hour takes some 20 ms to lay out. The door is asked anew
    each time, so nothing stays open through the cache.
    """
    return Clip(build(plan.pieces, plan.interval, exact=plan.exact), plan.pieces)


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
