"""What a past room-day comes to, kept so that a month need not be reckoned from its segments again."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from archive.models.base import Base


class DayFigures(Base):
    """Derived (`archive.day_figures`), and dropped without loss. It counts while `evidence` is what the index
    has of the day.

    `causes` is JSON `{cause: [count, missing_us]}`.
    """

    __tablename__ = "day_figures"
    room: Mapped[str] = mapped_column(String(32), primary_key=True)
    date: Mapped[str] = mapped_column(String(10), primary_key=True)
    evidence: Mapped[str]
    planned_us: Mapped[int]
    recorded_us: Mapped[int]
    missing_us: Mapped[int]
    unknown_us: Mapped[int]
    no_picture_us: Mapped[int]
    no_sound_us: Mapped[int]
    causes: Mapped[str]
    settled_us: Mapped[int]
    __table_args__ = (CheckConstraint("planned_us = recorded_us + missing_us + unknown_us", name="adds_up"),)
