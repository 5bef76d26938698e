"""Segments, gaps, chains and what lies beside them. Rows that grow with the footage stay small: manifests and
sample indexes have tables of their own, because blobs in the row made day queries 5-7 times slower.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial, interval_check


class RoomDay(Base):
    """A room on a local date: the unit of locking, of retention and (later) of encryption.

    `windows` is JSON `[[start_us, end_us], …]`, frozen as it was in force. `due_us` is the local
    midnight of invariant 6.
    """

    __tablename__ = "room_day"
    room: Mapped[str] = mapped_column(String(32), primary_key=True)
    date: Mapped[str] = mapped_column(String(10), primary_key=True)
    state: Mapped[str] = mapped_column(String(8), default="open")
    revision: Mapped[int] = mapped_column(default=0)
    configuration_version: Mapped[int]
    windows: Mapped[str]
    due_us: Mapped[int] = mapped_column(index=True)
    purged_us: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("state IN ('open', 'purged')", name="state"),
        CheckConstraint("(state = 'purged') = (purged_us IS NOT NULL)", name="purged_us"),
    )


class Segment(Base):
    """Every question is about a room and a time, and segments arrive from all rooms in turn: by their key the
    rows of a room's day are neighbours in SQLite, in an eighth of the pages. `id` alone tells a segment.
    """

    __tablename__ = "segment"
    id: Mapped[str] = mapped_column(String(36), unique=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(32))
    run: Mapped[str] = mapped_column(String(36))
    start_us: Mapped[int]
    end_us: Mapped[int]
    object_name: Mapped[str] = mapped_column(unique=True)
    size_bytes: Mapped[int]
    file_sha256: Mapped[str] = mapped_column(String(64))
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    clock_estimated: Mapped[bool] = mapped_column(Boolean)
    overlaps: Mapped[bool] = mapped_column(Boolean, default=False)
    accepted_us: Mapped[int]
    __table_args__ = (
        PrimaryKeyConstraint("room", "start_us", "id"),
        interval_check(),
        # Answers alone how much a day holds.
        Index("ix_segment_room_date_size_bytes", "room", "date", "size_bytes"),
        {"sqlite_with_rowid": False},
    )
    __mapper_args__ = {"primary_key": [id]}  # noqa: RUF012, A003 (SQLAlchemy reads it; the column is meant)


class SegmentManifestRow(Base):
    """Like the sample index, written with its segment. No foreign key: of a purged segment both are deleted
    after the transaction that decides, because they are nearly all of the bytes that go and would keep
    ingest waiting.
    """

    __tablename__ = "segment_manifest"
    segment_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    encoded: Mapped[bytes] = mapped_column(LargeBinary)


class SampleIndex(Base):
    """`encoded` is sealed under its object's own key (archive.cipher): `SealedStore.index` opens it."""

    __tablename__ = "sample_index"
    segment_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    encoded: Mapped[bytes] = mapped_column(LargeBinary)


class Derived(Base):
    """What was made of a segment for those who look for something in it: thumbnails and loudness, one sealed
    object whose name follows from the segment's (archive.derived); size and digest are those of its payload.

    `loudness` stands here too, sealed under that object's key as a sample index is under its segment's: a day
    is 500 of them. No foreign key, as for the sample index: it goes with its segment, a little later.
    """

    __tablename__ = "derived"
    segment_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    loudness: Mapped[bytes] = mapped_column(LargeBinary)


class Gap(Base):
    """A signed gap record: tracks missing inside a recording window, with the cause the agent gave."""

    __tablename__ = "gap"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(32))
    start_us: Mapped[int]
    end_us: Mapped[int]
    tracks: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(default="")
    encoded: Mapped[bytes] = mapped_column(LargeBinary)
    # NULL for a record of before gaps were objects too.
    object_name: Mapped[str | None] = mapped_column(unique=True)
    accepted_us: Mapped[int]
    __table_args__ = (
        interval_check(),
        Index("ix_gap_room_start_us", "room", "start_us"),
        Index("ix_gap_room_date", "room", "date"),
    )


class ChainLink(Base):
    """One manifest's place on its chain; stays after purge, so that the chain can be walked for ever."""

    __tablename__ = "chain_link"
    enrolment: Mapped[str] = mapped_column(String(16), primary_key=True)
    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    manifest_id: Mapped[str] = mapped_column(String(36), unique=True)
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    previous_sha256: Mapped[str | None] = mapped_column(String(64))


class Quarantine(Base):
    """What was refused, durably kept, with the reason: a terminal answer loses nothing.

    `code` is one of `archive.quarantine.Code`; `other` for what was refused before there were codes.
    """

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    claimed_id: Mapped[str] = mapped_column(String(36))
    code: Mapped[str] = mapped_column(String(32), server_default="other")
    reason: Mapped[str]
    object_name: Mapped[str] = mapped_column(unique=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    received_us: Mapped[int]
    __table_args__ = (
        UniqueConstraint("claimed_id", "sha256"),
        Index("ix_quarantine_room_date", "room", "date"),
    )


class Mark(Base):
    """What happened beside the recording, an air-raid alert for instance: told on the timeline, it stops
    nothing. `room` NULL means all rooms, `end_us` NULL that it still goes on. `external_id` is the
    sender's own, so that the same message twice is one mark.
    """

    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    room: Mapped[str | None] = mapped_column(String(32))
    start_us: Mapped[int] = mapped_column(index=True)
    end_us: Mapped[int | None]
    note: Mapped[str] = mapped_column(default="")
    author: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(8))
    created_us: Mapped[int]
    __table_args__ = (
        CheckConstraint("kind IN ('air_raid_alert', 'evacuation', 'power_cut', 'other')", name="kind"),
        CheckConstraint("source IN ('button', 'webhook')", name="source"),
        CheckConstraint("end_us IS NULL OR end_us > start_us", name="interval"),
    )
