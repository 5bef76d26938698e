"""Rooms at a glance: what each does now, by its last heartbeat, its windows, and what has arrived."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.configuration import Configurations
from archive.figures import ARRIVAL_US
from archive.models import RoomStatus, Segment
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.working_hours import next_window, window_at

# Heartbeats come each 5 s; the board must not flicker for one that is late.
SILENT_AFTER_US = 20 * US_PER_SECOND
# Time enough to ask the people in the room, and to extend the window.
CLOSES_SOON_US = 600 * US_PER_SECOND
# Between an agent's heartbeat and its arrival lies a busy network's second, not this.
CLOCKS_APART_US = 5 * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class RoomCondition:
    """What is wrong with a room that may well be recording, as its agent tells it or the server sees.
    `source`: a camera or microphone, empty for the room host; `since_us`: 0 where that is not known.
    """

    condition: str
    source: str
    since_us: int
    detail: str


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room at a glance. `state` is decided from the last heartbeat and the windows, never guessed:
    inside a window, silence of the agent is a fault. What a silent agent last told is no condition any more.
    `stored_until_us`: the end of the newest footage that the archive has of the room.
    """

    room: str
    label: str
    floor: int | None
    state: Literal["recording", "closed", "fault"]
    since_us: int | None
    cause: str | None
    detail: str
    window: Interval | None
    next_window: Interval | None
    last_seen_us: int | None
    heartbeat: dict[str, Any]
    conditions: tuple[RoomCondition, ...]
    stored_until_us: int | None = None

    def is_in_use(self, now_us: int) -> bool:
        """Whether somebody is heard in the room, by an agent that still reports."""
        heard = self.last_seen_us is not None and now_us - self.last_seen_us <= SILENT_AFTER_US
        return heard and any(each.get("in_use") is True for each in self._sources())

    @property
    def sync_ms(self) -> tuple[int, int] | None:
        """How far sound is from picture (offset, uncertainty), of the source that may be furthest off; None
        where nothing is recorded, or one of the two is missing.
        """
        if self.state != "recording":
            return None
        told = [each["sync"] for each in self._sources() if isinstance(each.get("sync"), dict)]
        pairs = [(each.get("offset_us"), each.get("uncertainty_us")) for each in told]
        known = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)]
        worst = max(known, key=lambda pair: abs(pair[0]) + pair[1], default=None)
        return (round(worst[0] / 1000), -(-worst[1] // 1000)) if worst else None

    def _sources(self) -> list[dict[str, Any]]:
        """What the agent tells of each source; nobody has checked it."""
        sources = self.heartbeat.get("sources")
        statuses = sources.values() if isinstance(sources, dict) else ()
        return [each for each in statuses if isinstance(each, dict)]

    def closes_while_in_use(self, now_us: int) -> bool:
        """Within ten minutes of a window's end, while somebody is heard."""
        return (
            self.window is not None
            and self.window.end_us - now_us <= CLOSES_SOON_US
            and self.is_in_use(now_us)
        )


def room_states(session: Session, configurations: Configurations, now_us: int) -> list[RoomState]:
    """All rooms in force, in the order of the rooms file."""
    version, rooms = configurations.current(session)
    status = {row.room: row for row in session.scalars(select(RoomStatus))}
    out = []
    for room in rooms.rooms:
        configuration = rooms.configuration(room.id, version)
        window = window_at(configuration, now_us)
        upcoming = None if window else next_window(configuration, now_us)
        row = status.get(room.id)
        heartbeat: dict[str, Any] = json.loads(row.status) if row else {}
        seen_us = row.received_us if row else None
        state, since_us, cause = _judge(heartbeat, seen_us, window, now_us)
        stored_until_us = _stored_until_us(session, room.id)
        conditions: tuple[RoomCondition, ...] = ()
        if seen_us is not None and now_us - seen_us <= SILENT_AFTER_US:
            conditions = _conditions(heartbeat)
            begun_us = max(since_us or 0, window.start_us) if window and state == "recording" else None
            conditions += _own_conditions(heartbeat, conditions, seen_us, begun_us, stored_until_us, now_us)
        out.append(
            RoomState(
                room=room.id,
                label=room.label,
                floor=room.floor,
                state=state,
                since_us=since_us,
                cause=cause,
                detail=str(heartbeat.get("detail") or "") if cause != "agent_down" else "",
                window=window,
                next_window=upcoming,
                last_seen_us=seen_us,
                heartbeat=heartbeat,
                conditions=conditions,
                stored_until_us=stored_until_us,
            )
        )
    return out


def _conditions(heartbeat: dict[str, Any]) -> tuple[RoomCondition, ...]:
    """As checked when the heartbeat came in; agents of earlier versions tell none."""
    told = (heartbeat.get("health") or {}).get("conditions", ())
    return tuple(
        RoomCondition(each["condition"], each["source"], each["since_us"], each["detail"]) for each in told
    )


def _own_conditions(
    heartbeat: dict[str, Any],
    told: tuple[RoomCondition, ...],
    seen_us: int,
    begun_us: int | None,
    stored_until_us: int | None,
    now_us: int,
) -> tuple[RoomCondition, ...]:
    """What the server sees for itself, where the agent does not tell it: footage that does not arrive though
    the room records since `begun_us`, and a clock that is not the server's.
    """
    known = {each.condition for each in told}
    found = []
    if begun_us is not None and not known & {"shipping_late", "spool_old"}:
        due_us = max(begun_us, stored_until_us or 0) + ARRIVAL_US
        if now_us > due_us:
            found.append(RoomCondition("shipping_late", "", due_us, "nothing newer has arrived"))
    at_us = heartbeat.get("at_us")
    if isinstance(at_us, int) and abs(at_us - seen_us) > CLOCKS_APART_US and "clock_error" not in known:
        apart_s = (at_us - seen_us) / US_PER_SECOND
        found.append(RoomCondition("clock_error", "", 0, f"{apart_s:+.0f} s of the server's"))
    return tuple(found)


def _stored_until_us(session: Session, room: str) -> int | None:
    """Told by an index alone."""
    newest = select(Segment.end_us).where(Segment.room == room).order_by(Segment.start_us.desc()).limit(1)
    return session.scalar(newest)


def _judge(
    heartbeat: dict[str, Any], seen_us: int | None, window: Interval | None, now_us: int
) -> tuple[Literal["recording", "closed", "fault"], int | None, str | None]:
    if window is None:
        return "closed", None, None
    if seen_us is None or now_us - seen_us > SILENT_AFTER_US:
        return "fault", max(seen_us or window.start_us, window.start_us), "agent_down"
    since_us = heartbeat.get("since_us")
    if heartbeat.get("state") == "recording":
        return "recording", since_us, None
    if heartbeat.get("state") == "closed":
        # The agent works from another configuration, or has just not opened yet.
        return "fault", window.start_us, "opening"
    return "fault", since_us, str(heartbeat.get("cause") or "unknown")
