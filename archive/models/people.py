"""Accounts of staff, log-ins, and the requests of residents."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
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
    """A log-in of staff, or a resident's number + PIN: the cookie holds the token, the row its hash.

    `ground`: on what ground this visit of staff opens footage, as last stated; NULL until it is.
    """

    __tablename__ = "login_session"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    request_id: Mapped[int | None] = mapped_column(index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    expires_us: Mapped[int]
    ground: Mapped[str | None] = mapped_column(String(64))
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
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
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
