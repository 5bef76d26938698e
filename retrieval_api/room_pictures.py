"""Pictures of rooms as their agents show them: in the memory of this process only, and not for long.

A blurred one is for all staff and stands on the board. A clear one comes while a fault is being looked at,
and is for the session that asked. Of two server processes, each has what was shown to it.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, Field

from recorder.instants import US_PER_SECOND

# Heartbeats come each 5 s: an agent that is not heard of shows nothing any more.
KEPT_US = 60 * US_PER_SECOND
# Long enough to see what covers a lens; a meeting is not followed by it.
LOOK_US = 120 * US_PER_SECOND


def _jpeg(text: str) -> str:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if not data.startswith(b"\xff\xd8\xff"):
        raise ValueError("not a JPEG")
    return text


class PictureTold(BaseModel):
    """As a heartbeat bears it. 24 pixels' width takes some 500 bytes, 320 up to 16 000."""

    at_us: Annotated[int, Field(ge=0, lt=2**53)]
    blurred: Annotated[str, Field(max_length=2000), AfterValidator(_jpeg)]
    clear: Annotated[str, Field(max_length=40_000), AfterValidator(_jpeg)] | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A source's latest picture; `at_us` by the agent's clock, `blurred` base64."""

    at_us: int
    received_us: int
    blurred: str
    clear: str | None


class Look(NamedTuple):
    """One session's look at a room, on record as this viewing."""

    viewing_id: int
    until_us: int


class ClearPicture(NamedTuple):
    jpeg: bytes
    at_us: int
    received_us: int
    viewing_id: int


@dataclass(slots=True)
class _Room:
    until_us: int = 0
    pictures: dict[str, Shown] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)  # session: look


class RoomPictures:
    """Safe to share between threads. Instants are UTC microseconds by the server's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rooms: dict[str, _Room] = {}

    def take(self, room: str, told: Mapping[str, PictureTold], closes_us: int | None, now_us: int) -> None:
        """What a heartbeat shows, in place of all that was shown before. `closes_us`: the end of the room's
        recording window, at which it is dropped; None outside windows, where nothing is kept.
        """
        with self._lock:
            found = self._rooms.setdefault(room, _Room())
            found.until_us = min(now_us + KEPT_US, closes_us or 0)
            looked_at = self._clear_until_us(found, now_us) > now_us
            found.pictures = {
                source: Shown(each.at_us, now_us, each.blurred, each.clear if looked_at else None)
                for source, each in told.items()
                if now_us < found.until_us
            }

    def of_room(self, room: str, now_us: int) -> dict[str, Shown]:
        """By source; empty where nothing is shown."""
        with self._lock:
            found = self._rooms.get(room)
            return dict(found.pictures) if found and now_us < found.until_us else {}

    def ask(self, room: str, session: str, look: Look) -> None:
        """From now on the agent is asked for clear pictures. The viewing is durable already."""
        with self._lock:
            self._rooms.setdefault(room, _Room()).looks[session] = look

    def look(self, room: str, session: str, now_us: int) -> Look | None:
        """The session's look, while it lasts."""
        with self._lock:
            found = self._rooms.get(room)
            look = found.looks.get(session) if found else None
            return look if look and now_us < look.until_us else None

    def clear(self, room: str, source: str, session: str, now_us: int) -> ClearPicture | None:
        """For the session whose look lasts, and for no other."""
        look = self.look(room, session, now_us)
        shown = self.of_room(room, now_us).get(source)
        if look is None or shown is None or shown.clear is None:
            return None
        jpeg = base64.b64decode(shown.clear)
        return ClearPicture(jpeg, shown.at_us, shown.received_us, look.viewing_id)

    def clear_s(self, room: str, now_us: int) -> int:
        """For how long the agent should show clear pictures: seconds, 0 for not at all."""
        with self._lock:
            found = self._rooms.get(room)
            until_us = self._clear_until_us(found, now_us) if found else now_us
        return -(-(until_us - now_us) // US_PER_SECOND)

    def forget_old(self, now_us: int) -> None:
        """Nothing stays in memory that may not be shown any more. Called now and then."""
        with self._lock:
            for room, found in list(self._rooms.items()):
                found.looks = {each: look for each, look in found.looks.items() if now_us < look.until_us}
                if now_us >= found.until_us:
                    found.pictures = {}
                    if not found.looks:
                        del self._rooms[room]

    @staticmethod
    def _clear_until_us(room: _Room, now_us: int) -> int:
        return max((now_us, *(look.until_us for look in room.looks.values())))
