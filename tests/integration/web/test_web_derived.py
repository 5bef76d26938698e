"""Thumbnails and loudness over HTTP: whose, on what ground, until when, and what of it is in the log."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from archive import viewing
from archive.models import RoomDay
from recorder.instants import (
    US_PER_MINUTE,
    US_PER_SECOND,
    format_instant,
    local_date,
    local_midnight_us,
    now_us,
)
from tests.custody_log import events
from tests.footage import FakeAgent
from tests.holding import hold
from tests.thumbnails import derive_now
from tests.web import Client, logged_in

ZONE = "Europe/Kyiv"
# Of the day before, whatever the hour: so that nothing here meets midnight.
DAY = local_date(now_us() - 86_400 * US_PER_SECOND, ZONE)
MIDNIGHT = local_midnight_us(DAY, ZONE)
NOON = MIDNIGHT + 720 * US_PER_MINUTE


class Recorded:
    """Ten seconds of room 108 from noon on, one thumbnail each two seconds but of the last two; a hold on the
    first four.
    """

    def __init__(self, archive) -> None:
        self.archive = archive
        agent = FakeAgent(archive)
        segments = [agent.record(NOON + 2 * number * US_PER_SECOND) for number in range(5)]
        for segment in segments[:4]:
            derive_now(self.archive, segment)
        self.hold = hold(archive, NOON, NOON + 4 * US_PER_SECOND)

    def set_day(self, **values) -> None:
        with self.archive.database.transaction() as session:
            day = session.get_one(RoomDay, ("108", DAY.isoformat()))
            for name, value in values.items():
                setattr(day, name, value)


@pytest.fixture(scope="module", autouse=True)
def recorded(archive):
    return Recorded(archive)


def picture(at_us: int, room: str = "108", **more: str) -> str:
    query = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/api/v1/rooms/{room}/thumbnail.jpg?at={quote(format_instant(at_us, ZONE))}{query}"


def curve(date: str = DAY.isoformat(), **more: str) -> str:
    query = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/api/v1/rooms/108/loudness?date={date}{query}"


def test_the_newest_picture_at_or_before_the_moment_is_given_with_its_own_time(operator):
    answer = operator.get(picture(NOON + 3 * US_PER_SECOND, ground="fault_check"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Protokol-At"] == format_instant(NOON + 2 * US_PER_SECOND, ZONE)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.content.startswith(b"\xff\xd8\xff")
    again = operator.get(
        picture(NOON + 3 * US_PER_SECOND, ground="fault_check"),
        headers={"If-None-Match": answer.headers["ETag"]},
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("after_s", "shown_s"),
    # Of the last segment nothing was made yet; 15 s after the newest picture it is too old.
    [(0, 0), (1.999, 0), (2, 2), (9, 6), (20.9, 6)],
)
def test_a_picture_is_never_newer_than_asked_nor_much_older(operator, after_s, shown_s):
    at_us = NOON + int(after_s * US_PER_SECOND)
    answer = operator.get(picture(at_us, ground="fault_check"))
    assert answer.headers["Protokol-At"] == format_instant(NOON + shown_s * US_PER_SECOND, ZONE)


def test_where_there_is_none_the_answer_says_why(operator):
    late = operator.get(picture(NOON + 22 * US_PER_SECOND, ground="fault_check"))
    assert (late.status_code, late.json()["code"]) == (404, "no_thumbnail")
    early = operator.get(picture(NOON - US_PER_SECOND, ground="fault_check"))
    assert (early.status_code, early.json()["code"]) == (404, "no_footage")
    assert operator.get(picture(NOON, "999", ground="fault_check")).status_code == 404
    assert operator.get("/api/v1/rooms/108/thumbnail.jpg?at=noon&ground=fault_check").status_code == 400


def test_no_picture_without_a_role_and_a_ground(url, operator, recorded):
    with Client(base_url=url) as stranger:
        assert stranger.get(picture(NOON)).status_code == 401
        assert stranger.get(curve()).status_code == 401
    with logged_in(url, "clerk") as clerk:
        assert clerk.get(picture(NOON, ground="fault_check")).status_code == 403
        assert clerk.get(curve()).status_code == 403
    before = len(events(recorded.archive, "view_opened"))
    answer = operator.get(picture(NOON))
    assert (answer.status_code, answer.json()["code"]) == (428, "ground_required")
    assert operator.get(picture(NOON, ground="hold:999")).status_code == 422
    assert len(events(recorded.archive, "view_opened")) == before


def test_a_hold_shows_nothing_beside_what_it_holds(operator, recorded):
    ground = f"hold:{recorded.hold}"
    assert operator.get(picture(NOON + 3 * US_PER_SECOND, ground=ground)).status_code == 200
    beside = operator.get(picture(NOON + 5 * US_PER_SECOND, ground=ground))
    assert (beside.status_code, beside.json()["code"]) == (403, "outside_purpose")
    opened = json.loads(events(recorded.archive, "view_opened")[-1].details)
    assert (opened["start_us"], opened["end_us"]) == (NOON, NOON + 4 * US_PER_SECOND)


def test_a_strip_of_pictures_is_one_viewing_that_tells_what_was_shown(auditor, recorded, clock):
    before = len(events(recorded.archive, "view_opened"))
    for number in range(4):
        assert auditor.get(picture(NOON + 2 * number * US_PER_SECOND)).status_code == 200
    # What was served is written down some twenty seconds later.
    clock.forward(21 * US_PER_SECOND)
    assert auditor.get(picture(NOON)).status_code == 200
    clock.set_us = None
    opened = events(recorded.archive, "view_opened")[before:]
    assert len(opened) == 1
    details = json.loads(opened[0].details)
    assert (details["ground"], details["start_us"]) == ("audit", MIDNIGHT)
    viewing.close_idle(recorded.archive, clock(), everything=True)
    closed = next(
        json.loads(each.details)
        for each in reversed(events(recorded.archive, "view_closed"))
        if each.subject == opened[0].subject
    )
    assert (closed["served_start_us"], closed["served_end_us"]) == (NOON, NOON + 6 * US_PER_SECOND + 1)


def test_the_curve_of_a_day_is_numbers_and_opens_nothing(operator, recorded):
    before = len(events(recorded.archive, "view_opened"))
    answer = operator.get(curve())
    assert answer.headers["Cache-Control"] == "private, no-cache"
    told = answer.json()
    assert (told["start_us"], told["step_us"]) == (NOON, US_PER_SECOND)
    # One step a segment is made by these tests' stand-in for the decoder.
    assert told["values"] == [42, None, 42, None, 42, None, 42]
    assert len(events(recorded.archive, "view_opened")) == before
    assert operator.get(curve(source="door")).json()["values"] == []
    before_it = DAY - timedelta(days=1)
    empty = operator.get(curve(before_it.isoformat())).json()
    assert (empty["start_us"], empty["values"]) == (local_midnight_us(before_it, ZONE), [])


def test_past_the_due_midnight_neither_is_told_but_the_pictures_of_a_hold(operator, recorded):
    ground = f"hold:{recorded.hold}"
    recorded.set_day(due_us=now_us() - US_PER_MINUTE)
    for address in (picture(NOON, ground="fault_check"), curve()):
        answer = operator.get(address)
        assert (answer.status_code, answer.json()["reason"]) == (404, "expired")
    assert operator.get(picture(NOON, ground=ground)).status_code == 200
    recorded.set_day(state="purged", purged_us=now_us())
    assert operator.get(curve()).json()["reason"] == "purged"
    assert operator.get(picture(NOON, ground="fault_check")).json()["reason"] == "expired"
    assert operator.get(picture(NOON, ground=ground)).status_code == 200
    recorded.set_day(state="open", purged_us=None, due_us=now_us() + 86_400 * US_PER_SECOND)
