"""Work that must be done once, by whichever process comes to it."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base, Serial


class Job(Base):
    """`key` is unique, so that two clocks insert a job once. `attempts` counts the leases given; with
    `lease_owner` it is what a worker proves its lease by. `failed` is a dead letter: somebody must look.
    """

    __tablename__ = "job"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[str] = mapped_column(default="{}")
    state: Mapped[str] = mapped_column(String(10), default="queued")
    not_before_us: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until_us: Mapped[int | None]
    cancel_asked: Mapped[bool] = mapped_column(default=False, server_default=false())
    progress_done: Mapped[int | None]
    progress_total: Mapped[int | None]
    last_error: Mapped[str | None]
    # One of archive.job_failure.FAILURES; NULL for what failed before there were codes.
    failure: Mapped[str | None] = mapped_column(String(32))
    created_us: Mapped[int]
    finished_us: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
        CheckConstraint(
            "(state = 'running') = (lease_until_us IS NOT NULL AND lease_owner IS NOT NULL)", name="lease"
        ),
        CheckConstraint(
            "(state IN ('done', 'failed', 'cancelled')) = (finished_us IS NOT NULL)", name="finished_us"
        ),
        Index("ix_job_state_not_before_us", "state", "not_before_us"),
    )
