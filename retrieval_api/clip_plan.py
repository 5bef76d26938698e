"""Which clip an opening gets: asked of the door each time, laid out once.

Nothing is opened by it yet; `clip_response` sends the bytes.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from archive import door
from archive.door import Ground
from archive.mp4.virtual import Piece, Stored, VirtualMp4, build
from archive.system import Archive
from recorder.intervals import Interval

# Some forty clips of an hour. A player that seeks asks for one clip again and again.
_KEPT_BYTES = 64 * 2**20
# Beside its head, a clip weighs this for each slice of it.
_SLICE_BYTES = 100


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


class Clip:
    """What an opening gets: the virtual file, and when the segments that it is made of were recorded."""

    def __init__(self, file: VirtualMp4, pieces: Iterable[Piece]) -> None:
        self.file = file
        # Their sample indexes weigh ten times what the file does, and are not needed any more.
        self._recorded = {piece.name: Interval(piece.start_us, piece.end_us) for piece in pieces}

    def shown(self, start: int, end: int) -> Interval | None:
        """The wall time that bytes `[start, end)` can hold, by whole segments; None for the head alone."""
        names = {part.name for part in self.file.slices(start, end) if isinstance(part, Stored)}
        if not names:
            return None
        first = max(min(self._recorded[name].start_us for name in names), self.file.start_us)
        last = min(max(self._recorded[name].end_us for name in names), self.file.end_us)
        return Interval(first, last) if first < last else None


def find(archive: Archive, opening: Opening, now_us: int, source: str | None = None) -> Clip:
    """Raises NoFootageError, GroundError, NothingRecordedError, ClipTooLongError, CodecChangeError, each of
    which has its problem.
    """
    asked = (opening.room_id, opening.interval, opening.ground, now_us, source)
    with archive.database.reading() as session:
        rows = door.permitted(session, archive.configurations, *asked)
    names = tuple(row.object_name for row in rows)
    # Object names bear a digest: equal names, equal bytes.
    key = (names, opening.interval, opening.exact)
    clip = _laid_out.get(key)
    if clip is not None:
        return clip
    with _laying_out:
        clip = _laid_out.get(key)
        if clip is not None:
            return clip
        with archive.database.reading() as session:
            pieces = door.load(session, archive.store, rows)
        clip = Clip(build(pieces, opening.interval, exact=opening.exact), pieces)
    if tuple(piece.name for piece in pieces) == names:
        _laid_out.put(key, clip)
    return clip


def divide(archive: Archive, opening: Opening, now_us: int, source: str | None = None) -> door.Parts:
    """The clips that can be had of an interval that cannot be one. Raises what `door.permitted` does."""
    with archive.database.reading() as session:
        rows = door.permitted(
            session,
            archive.configurations,
            opening.room_id,
            opening.interval,
            opening.ground,
            now_us,
            source,
            any_length=True,
        )
        return door.divided(session, archive.store, rows, opening.interval)


_Key = tuple[tuple[str, ...], Interval, bool]


class _LaidOut:
    """The clips that were asked for last, as many as _KEPT_BYTES hold. Nothing stays open through it: the
    door is asked each time. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._clips: OrderedDict[_Key, Clip] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: _Key) -> Clip | None:
        with self._lock:
            clip = self._clips.get(key)
            if clip is not None:
                self._clips.move_to_end(key)
            return clip

    def put(self, key: _Key, clip: Clip) -> None:
        with self._lock:
            if key not in self._clips:
                self._clips[key] = clip
                self._size_bytes += _weight(clip)
            while self._size_bytes > _KEPT_BYTES and len(self._clips) > 1:
                self._size_bytes -= _weight(self._clips.popitem(last=False)[1])


def _weight(clip: Clip) -> int:
    return len(clip.file.head) + _SLICE_BYTES * clip.file.slice_count


_laid_out = _LaidOut()
# Laying out is work for a core and 30 MB; thirty viewers who come at once must not need it thirtyfold.
_laying_out = threading.BoundedSemaphore(os.cpu_count() or 1)
