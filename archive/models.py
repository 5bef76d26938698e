"""All tables of the council server, so that one Alembic sees them.

Times are UTC microseconds (`*_us`), dates are local ISO dates as text, intervals half-open.
Rows that grow with the footage (segment, gap, chain_link) stay small: manifests and sample indexes
have tables of their own, because blobs in the row made day queries 5-7 times slower.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite makes only INTEGER PRIMARY KEY an alias of the rowid.
_Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    metadata = metadata
    type_annotation_map = {int: BigInteger, str: Text}  # noqa: RUF012 (SQLAlchemy reads it as a class attribute)


def _interval_check() -> CheckConstraint:
    return CheckConstraint("end_us > start_us", name="interval")


# --- configuration and enrolment ---------------------------------------------------------------


class RoomsVersion(Base):
    """Each rooms file that was ever in force, whole. A segment is judged by the version it names."""

    __tablename__ = "rooms_version"
    version: Mapped[int] = mapped_column(_Serial, primary_key=True)
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


# --- footage ------------------------------------------------------------------------------------


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
    __tablename__ = "segment"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
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
        _interval_check(),
        Index("ix_segment_room_start_us", "room", "start_us"),
        Index("ix_segment_room_date", "room", "date"),
    )


class SegmentManifestRow(Base):
    __tablename__ = "segment_manifest"
    segment_id: Mapped[str] = mapped_column(ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True)
    encoded: Mapped[bytes] = mapped_column(LargeBinary)


class SampleIndex(Base):
    __tablename__ = "sample_index"
    segment_id: Mapped[str] = mapped_column(ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True)
    encoded: Mapped[bytes] = mapped_column(LargeBinary)


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
    accepted_us: Mapped[int]
    __table_args__ = (_interval_check(), Index("ix_gap_room_start_us", "room", "start_us"))


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
    """What was refused, durably kept, with the reason: a terminal answer loses nothing."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    claimed_id: Mapped[str] = mapped_column(String(36))
    reason: Mapped[str]
    object_name: Mapped[str] = mapped_column(unique=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    received_us: Mapped[int]
    __table_args__ = (UniqueConstraint("claimed_id", "sha256"),)


class Mark(Base):
    """What happened beside the recording, an air-raid alert for instance: told on the timeline, it stops
    nothing. `room` NULL means all rooms, `end_us` NULL that it still goes on. `external_id` is the
    sender's own, so that the same message twice is one mark.
    """

    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
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


# --- retention ----------------------------------------------------------------------------------


class Hold(Base):
    """Keeps `[start_us, end_us)` of a room from purge until a decision releases it.

    `expires_us` alarms, it does not let go. `request_id` ties a hold to the request it stands for.
    """

    __tablename__ = "hold"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
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
        _interval_check(),
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
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    purged_us: Mapped[int]
    body: Mapped[str]
    certificate_id: Mapped[int | None]
    __table_args__ = (Index("ix_tombstone_room_date", "room", "date"),)


class Certificate(Base):
    """Signed proof of a purge; `previous_sha256` chains certificates to each other."""

    __tablename__ = "certificate"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    room: Mapped[str] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    created_us: Mapped[int]
    body: Mapped[str]
    signature: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    previous_sha256: Mapped[str | None] = mapped_column(String(64))


# --- custody ------------------------------------------------------------------------------------


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


class Viewing(Base):
    """One opening of footage: its many range requests are one `view_opened` … `view_closed`."""

    __tablename__ = "viewing"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
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


# --- people and requests --------------------------------------------------------------------------


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str]
    failures: Mapped[int] = mapped_column(default=0)
    locked_until_us: Mapped[int | None]
    disabled_us: Mapped[int | None]
    created_us: Mapped[int]
    __table_args__ = (
        CheckConstraint("role IN ('clerk', 'operator', 'reviewer', 'auditor', 'admin')", name="role"),
    )


class LoginSession(Base):
    """A log-in of staff, or a resident's number + PIN: the cookie holds the token, the row its hash."""

    __tablename__ = "login_session"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    request_id: Mapped[int | None] = mapped_column(index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    expires_us: Mapped[int]
    __table_args__ = (CheckConstraint("(user_id IS NULL) <> (request_id IS NULL)", name="one_owner"),)


class Request(Base):
    """A resident's application. What names the person stands in `request_person` alone.

    `room` is what the resident named, NULL when they do not remember it; `matched_room` what an
    operator found. `[asked_start_us, asked_end_us)` is what the hold covered first; `[start_us,
    end_us)` what an operator set and a decision approved. `answer_due_us` is the midnight that ends
    the last day of an answer on time, `appeal_until_us` the one that ends the appeal period.
    `closed_us`: the last hold was ended, nothing is handed out any more.
    """

    __tablename__ = "request"
    id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)
    pin_hash: Mapped[str]
    pin_failures: Mapped[int] = mapped_column(default=0)
    pin_locked_us: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(16), index=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    room: Mapped[str | None] = mapped_column(String(32))
    matched_room: Mapped[str | None] = mapped_column(String(32))
    date: Mapped[str] = mapped_column(String(10))
    asked_start_us: Mapped[int]
    asked_end_us: Mapped[int]
    start_us: Mapped[int | None]
    end_us: Mapped[int | None]
    identity_basis: Mapped[str | None] = mapped_column(String(32))
    identity_note: Mapped[str | None]
    decision_reason: Mapped[str | None]
    decided_by: Mapped[str | None] = mapped_column(String(64))
    decided_us: Mapped[int | None]
    link_until_us: Mapped[int | None]
    appeal_until_us: Mapped[int | None]
    closed_us: Mapped[int | None]
    answer_due_us: Mapped[int]
    created_us: Mapped[int]
    address_sha256: Mapped[str] = mapped_column(String(64), index=True)
    language: Mapped[str] = mapped_column(String(2), default="uk")
    __table_args__ = (
        CheckConstraint("status IN ('registered', 'in_review', 'decided', 'withdrawn')", name="status"),
        CheckConstraint("(start_us IS NULL) = (end_us IS NULL)", name="interval_set"),
    )


class RequestPerson(Base):
    """Who asked, and how to reach them: the only place with their data, so that it can be anonymised."""

    __tablename__ = "request_person"
    request_id: Mapped[int] = mapped_column(ForeignKey("request.id"), primary_key=True)
    name: Mapped[str]
    contact_kind: Mapped[str] = mapped_column(String(8))
    contact: Mapped[str]
    contact_sha256: Mapped[str] = mapped_column(String(64), index=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    official: Mapped[str]
    purpose: Mapped[str]
    __table_args__ = (CheckConstraint("contact_kind IN ('email', 'phone', 'person')", name="contact_kind"),)
