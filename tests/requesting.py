"""A resident's application for tests, and the footage it asks for."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from archive.system import Archive
from recorder.instants import to_us
from retention import purge
from retention.errors import ConfirmationError
from retrieval_api.requests.application import Application, ContactKind
from retrieval_api.requests.asked_interval import About, Remembered, asked_interval

KYIV = "Europe/Kyiv"
DAY = date(2026, 11, 20)


def at(hour: int, minute: int = 0, second: int = 0, day: date = DAY) -> int:
    """An instant of a local time in Kyiv."""
    return to_us(datetime.combine(day, time(hour, minute, second), ZoneInfo(KYIV)))


APPLICATION = Application(
    room="108",
    remembered=Remembered(DAY, About.HALF_HOUR, time(10, 30)),
    interval=asked_interval(Remembered(DAY, About.HALF_HOUR, time(10, 30)), KYIV),
    official="Олена Коваль, відділ субсидій",
    purpose="оскаржити рішення",
    name="Іван Петренко",
    contact_kind=ContactKind.PHONE,
    contact="+380671234567",
)


def application(**changes: Any) -> Application:
    return replace(APPLICATION, **changes)


def purge_at(archive: Archive, now_us: int) -> purge.Report:
    """A run that is confirmed, whatever it destroys; planned again where another was faster."""
    while True:
        plan = purge.plan(archive, now_us)
        with contextlib.suppress(ConfirmationError):
            return purge.run(archive, actor="cli:0", now_us=now_us, confirm=plan.digest)
