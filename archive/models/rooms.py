"""What the rooms are, who sends their footage, and how they are."""

from __future__ import annotations

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial


class RoomsVersion(Base):
    """Each rooms file that was ever in force, whole. A segment is judged by the version it names."""

    __tablename__ = "rooms_version"
    version: Mapped[int] = mapped_column(Serial, primary_key=True)
    text: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    author: Mapped[str]
    created_us: Mapped[int]


class Enrolment(Base):
    """A room's key: `id` is derived from the public key (recorder.manifest.enrolment_of)."""

    __tablename__ = "enrolment"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    room: Mapped[str] = mapped_column(String(32), index=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_us: Mapped[int]
    revoked_us: Mapped[int | None]


class ArchiveMark(Base):
    """Facts about the archive itself; `kind=demo` allows `--now`."""

    __tablename__ = "archive_mark"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str]


class RoomStatus(Base):
    """The last heartbeat of each room's agent; replaced, never history."""

    __tablename__ = "room_status"
    room: Mapped[str] = mapped_column(String(32), primary_key=True)
    received_us: Mapped[int]
    status: Mapped[str]
