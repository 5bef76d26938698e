"""What keeps footage, and what stays of it when it is destroyed."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial, interval_check


class Hold(Base):
    """Keeps `[start_us, end_us)` of a room from purge until a decision releases it.

    `expires_us` alarms, it does not let go. `request_id` ties a hold to the request it stands for.
    """

    __tablename__ = "hold"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    start_us: Mapped[int]
    end_us: Mapped[int]
    reason: Mapped[str]
    legal_ground: Mapped[str]
    author: Mapped[str]
    request_id: Mapped[int | None] = mapped_column(index=True)
    created_us: Mapped[int]
    expires_us: Mapped[int | None]
    released_us: Mapped[int | None]
    released_by: Mapped[str | None]
    release_reason: Mapped[str | None]
    __table_args__ = (
        interval_check(),
        Index("ix_hold_room_start_us", "room", "start_us"),
        CheckConstraint("(released_us IS NULL) = (released_by IS NULL)", name="released_by"),
    )


class Garbage(Base):
    """An object that no row needs any more: unlinked after the transaction that wrote this row."""

    __tablename__ = "garbage"
    object_name: Mapped[str] = mapped_column(primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    created_us: Mapped[int]


class Tombstone(Base):
    """What stays of destroyed footage: canonical JSON of ids, times and hashes, never content.

    One row a purge of a room-day: a day with held segments is purged again when its last hold ends.
    """

    __tablename__ = "tombstone"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    purged_us: Mapped[int]
    body: Mapped[str]
    certificate_id: Mapped[int | None]
    __table_args__ = (Index("ix_tombstone_room_date", "room", "date"),)


class Certificate(Base):
    """Signed proof of a purge; `previous_sha256` chains certificates to each other."""

    __tablename__ = "certificate"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    created_us: Mapped[int]
    body: Mapped[str]
    signature: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    previous_sha256: Mapped[str | None] = mapped_column(String(64))
