"""Who did what to which footage or request, when."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial


class CustodyEvent(Base):
    """Append-only. `sha256` covers the canonical JSON of the event and the hash of the one before."""

    __tablename__ = "custody_event"
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_us: Mapped[int] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(40))
    room: Mapped[str | None] = mapped_column(String(32))
    date: Mapped[str | None] = mapped_column(String(10))
    subject: Mapped[str | None] = mapped_column(String(80), index=True)
    details: Mapped[str]
    previous_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("ix_custody_event_room_date", "room", "date"),)


class CustodyHead(Base):
    """The end of the chain, one row: every writer locks it last (invariant 7)."""

    __tablename__ = "custody_head"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sequence: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    __table_args__ = (CheckConstraint("id = 1", name="single"),)


class CustodyCheckpoint(Base):
    """The chain as it stood once a local day, signed by the server; `previous_sha256` chains checkpoints.

    `body` is canonical JSON (`archive.checkpoint`), the other columns repeat it for queries. Append-only
    but for `time_stamp`, which may come later and then stays: a DER TimeStampResp (RFC 3161).
    """

    __tablename__ = "custody_checkpoint"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    date: Mapped[str] = mapped_column(String(10), unique=True)
    sequence: Mapped[int]
    created_us: Mapped[int]
    body: Mapped[str]
    signature: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    previous_sha256: Mapped[str | None] = mapped_column(String(64))
    time_stamp: Mapped[bytes | None] = mapped_column(LargeBinary)


class Viewing(Base):
    """One opening of footage: its many range requests are one `view_opened` … `view_closed`."""

    __tablename__ = "viewing"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    actor: Mapped[str] = mapped_column(String(64))
    room: Mapped[str] = mapped_column(String(32))
    start_us: Mapped[int]
    end_us: Mapped[int]
    ground: Mapped[str] = mapped_column(String(80))
    opened_us: Mapped[int]
    last_served_us: Mapped[int]
    served_start_us: Mapped[int | None]
    served_end_us: Mapped[int | None]
    served_bytes: Mapped[int] = mapped_column(default=0)
    closed_us: Mapped[int | None] = mapped_column(index=True)
