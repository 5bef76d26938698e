"""What was refused and is kept all the same: bytes that an agent may forget once they are known here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import select

from archive import custody, room_days
from archive.models import Quarantine
from archive.system import Archive

_MAX_REASON = 500

Code = Literal[
    "unreadable_manifest",
    "wrong_address",
    "bad_signature",
    "future",
    "long_gap",
    "unknown_configuration",
    "unknown_source",
    "outside_windows",
    "damaged_on_disk",
    "unreadable_media",
    "contradicting_times",
    "fork",
    "same_id",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is refused: a code for people's words and for counting, the particulars in English."""

    code: Code
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A durable object and what it claims to be. `date`: the room-day with which it is destroyed."""

    room: str
    date: str
    enrolment: str
    claimed_id: str
    object_name: str
    size_bytes: int
    sha256: str
    manifest: bytes
    # Salt and secret of the object as it was written now.
    secret: tuple[bytes, bytes] = field(repr=False)


def register(archive: Archive, refused: Refused, reason: Reason, now_us: int) -> str | None:
    """Make the object known, with its custody event; the same bytes under the same id are known once.

    The name of the object that stands for them, or None where the room-day was purged meanwhile and takes
    nothing in any more: an object of another name is the caller's to delete.
    """
    # PostgreSQL keeps no NUL.
    detail = reason.detail.replace("\0", "")[:_MAX_REASON]
    with archive.database.transaction() as session:
        key = (refused.room, refused.date)
        day = room_days.lock(session, archive.configurations, [key])[key]
        known = select(Quarantine.object_name).where(
            Quarantine.claimed_id == refused.claimed_id, Quarantine.sha256 == refused.sha256
        )
        standing = session.scalar(known.limit(1))
        if standing is not None:
            if standing == refused.object_name:
                # It was replaced by this one, whose salt no purge has seen: a hold may keep it.
                archive.store.keys.retain([(standing, *refused.secret)])
            return standing
        if day.state == "purged":
            return None
        session.add(
            Quarantine(
                room=refused.room,
                date=refused.date,
                claimed_id=refused.claimed_id,
                code=reason.code,
                reason=detail,
                object_name=refused.object_name,
                size_bytes=refused.size_bytes,
                sha256=refused.sha256,
                manifest=refused.manifest,
                received_us=now_us,
            )
        )
        session.flush()
        event = custody.Event(
            "segment_quarantined",
            f"agent:{refused.enrolment}",
            now_us,
            room=refused.room,
            date=refused.date,
            subject=f"segment:{refused.claimed_id}",
            details={"code": reason.code, "reason": detail},
        )
        custody.append(session, event)
    return refused.object_name
