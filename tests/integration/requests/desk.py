"""A request's footage and its steps, for tests of values: no page in between."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select

from archive import door
from archive.models import CustodyEvent, Request
from recorder.intervals import Interval
from retrieval_api.requests.decision import Basis, Seen
from tests.requesting import at

NOW = at(12, day=date(2026, 11, 23))
DUE = at(0, day=date(2026, 12, 20))
MINE = Interval(at(10, 30, 2), at(10, 30, 8))
STAFF = "user:1"


def rows(archive, model, *where):
    with archive.database.reading() as session:
        return list(session.scalars(select(model).where(*where)))


def the_request(archive, number):
    return rows(archive, Request, Request.number == number)[0]


def actions(archive, number):
    return [row.action for row in rows(archive, CustodyEvent, CustodyEvent.subject == f"request:{number}")]


def approve(desk, number, interval=MINE, room="108", now_us=NOW):
    desk.match(number, room, STAFF, now_us)
    desk.set_interval(number, interval, STAFF, now_us)
    desk.record_identity(number, Basis.DOCUMENT, "паспорт", STAFF, now_us)
    desk.approve(number, Seen(room, interval), STAFF, now_us)


def opens(archive, interval, ground, now_us, room="108"):
    with archive.database.reading() as session:
        return door.resolve(session, archive.configurations, archive.store, room, interval, ground, now_us)
