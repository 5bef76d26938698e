"""What a resident and an operator do on the pages, in one call each."""

from __future__ import annotations

import re
from datetime import date

from sqlalchemy import func, select

from archive.models import CustodyEvent
from tests.requesting import at
from tests.web import Client

NOW = at(12, day=date(2026, 11, 23))
DUE = at(0, day=date(2026, 12, 20))
FORM = {
    "room": "108",
    "date": "20.11.2026",
    "about": "half_hour",
    "time": "10:30",
    "official": "Олена Коваль",
    "purpose": "оскаржити рішення",
    "name": "Іван Петренко",
    "contact_kind": "phone",
    "email": "",
    "phone": "067 123 45 67",
}
DIGITS = re.compile(r'data-test="(number|pin)">([^<]+)<')


def send(resident: Client, **changes: str):
    """The last page of the form, sent with everything that the pages before carried."""
    fields = {**FORM, **changes}
    return resident.form("/request/new", **{"step": "check", "go": "send", **fields})


def register(resident: Client, **changes: str) -> tuple[str, str]:
    answer = send(resident, **changes)
    assert answer.status_code == 200, answer.text
    found = dict(DIGITS.findall(answer.text))
    return found["number"], found["pin"].replace(" ", "")


def log_in(resident: Client, number: str, pin: str):
    return resident.form("/status", number=number, pin=pin)


def approve(operator: Client, number: str, start: str = "10:30:02", end: str = "10:30:08") -> None:
    page = f"/staff/requests/{number}"
    for action, fields in (
        ("match", {"room": "108"}),
        ("interval", {"in": start, "out": end}),
        ("identity", {"basis": "document", "note": "паспорт"}),
    ):
        assert operator.form(page, f"{page}/{action}", **fields).status_code == 200
    seen = dict(re.findall(r'name="(seen_\w+)" value="(\d+)"', operator.get(page).text))
    answer = operator.form(page, f"{page}/decision", outcome="released", reason="", **seen)
    assert answer.status_code == 200, answer.text


def count(archive, model) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(model))


def actions(archive, *where) -> list[str]:
    with archive.database.reading() as session:
        return list(session.scalars(select(CustodyEvent.action).where(*where)))


def rows_of(archive, model) -> list:
    with archive.database.reading() as session:
        return list(session.scalars(select(model)))
