"""Marks beside the timeline: an alert system's webhook and the board's button."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from archive.models import CustodyEvent, Mark
from recorder.instants import US_PER_MINUTE, format_instant
from retrieval_api import accounts
from tests.footage import make_archive
from tests.web import PASSWORD, Client, Clock, serving

TOKEN = "an-alert-system-of-the-region"
MIN = US_PER_MINUTE
# Friday 20 November 2026, 11:40 in Kyiv.
T0 = (1_795_168_800 - 1200) * 1_000_000


@pytest.fixture
def clock():
    made = Clock()
    made.set_us = T0
    return made


@pytest.fixture
def archive(tmp_path):
    made = make_archive(tmp_path, marks_token=TOKEN)
    accounts.add(made, "operator", "operator", PASSWORD, "cli:0", T0)
    yield made
    made.close()


@pytest.fixture
def client(archive, clock):
    with serving(archive, clock) as url, Client(base_url=url, timeout=30) as made:
        yield made


def send(client, token=TOKEN, **message):
    return client.post("/api/v1/marks", json=message, headers={"Authorization": f"Bearer {token}"})


def marks_and_events(archive):
    with archive.database.reading() as session:
        marks = session.scalars(select(Mark).order_by(Mark.id)).all()
        events = session.scalars(select(CustodyEvent).where(CustodyEvent.action.like("mark_%"))).all()
    return marks, [(event.action, event.actor.partition(":")[0], event.subject) for event in events]


def test_an_alert_system_begins_and_ends_an_alert_once(archive, client, clock):
    first = send(client, kind="air_raid_alert", external_id="alert-7")
    assert first.status_code == 201
    assert first.json()["room"] is None
    assert send(client, kind="air_raid_alert", external_id="alert-7").status_code == 200
    clock.set_us = T0 + 20 * MIN
    ended = send(client, kind="air_raid_alert", external_id="alert-7", state="ended")
    assert (ended.status_code, ended.json()["to"]) == (201, "2026-11-20T12:00:00.000+02:00")
    assert send(client, kind="air_raid_alert", external_id="alert-7", state="ended").status_code == 200
    # Told again after its end, it does not begin again.
    assert send(client, kind="air_raid_alert", external_id="alert-7").status_code == 200
    marks, events = marks_and_events(archive)
    assert [(mark.start_us, mark.end_us, mark.source) for mark in marks] == [(T0, T0 + 20 * MIN, "webhook")]
    assert events == [("mark_started", "webhook", "mark:1"), ("mark_ended", "webhook", "mark:1")]


def test_without_an_id_kind_and_room_tell_which(archive, client):
    assert send(client, kind="power_cut", room="228-A", note="щит 2").status_code == 201
    assert send(client, kind="power_cut", room="228-а").status_code == 200
    assert send(client, kind="power_cut", room="108").status_code == 201
    at = format_instant(T0 - 5 * MIN, "Europe/Kyiv")
    # An end before the beginning ends it at once.
    assert send(client, kind="power_cut", room="108", state="ended", at=at).status_code == 201
    marks, _ = marks_and_events(archive)
    assert [(mark.room, mark.end_us) for mark in marks] == [("228-a", None), ("108", T0 + 1)]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"kind": "air_raid_alert", "state": "ended"}, 404),
        ({"kind": "an earthquake"}, 422),
        ({"kind": "evacuation", "room": "999"}, 404),
        ({"kind": "evacuation", "at": "2026-11-01T10:00:00+02:00"}, 422),
        ({"kind": "evacuation", "at": "yesterday"}, 400),
    ],
)
def test_what_cannot_be_is_refused(archive, client, message, status):
    answer = send(client, **message)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert marks_and_events(archive) == ([], [])


def test_a_wrong_token_marks_nothing(archive, client, tmp_path):
    assert send(client, token="x", kind="evacuation").status_code == 401
    assert client.post("/api/v1/marks", json={"kind": "evacuation"}).status_code == 401
    assert marks_and_events(archive) == ([], [])
    (tmp_path / "other").mkdir()
    without = make_archive(tmp_path / "other")
    with serving(without) as url, Client(base_url=url) as other:
        assert other.post("/api/v1/marks", json={"kind": "evacuation"}).status_code == 401
    without.close()


def test_the_button_asks_and_the_day_shows_it(archive, client, clock):
    client.log_in("operator")
    assert "/staff/alert" in client.get("/staff/board").text
    assert marks_and_events(archive)[0] == []
    assert client.form("/staff/alert", "/staff/alert/start").status_code == 303
    clock.set_us = T0 + 7 * MIN
    assert "Повітряна тривога з 11:40. Запис триває." in client.get("/staff/board").text
    assert client.form("/staff/alert", "/staff/alert/end").status_code == 303
    assert "Запис триває" not in client.get("/staff/board").text
    _, events = marks_and_events(archive)
    assert events == [("mark_started", "user", "mark:1"), ("mark_ended", "user", "mark:1")]
    page = client.get("/staff/rooms/108/day?date=2026-11-20").text
    assert 'class="beside"' in page
    assert "11:40–11:47 повітряна тривога" in page
    coverage = client.get("/api/v1/rooms/108/coverage?date=2026-11-20").json()
    assert [(mark["kind"], mark["to"]) for mark in coverage["marks"]] == [
        ("air_raid_alert", "2026-11-20T11:47:00.000+02:00")
    ]
    assert client.get("/api/v1/rooms/108/coverage?date=2026-11-19").json()["marks"] == []
    assert json.loads(client.get("/openapi.json").text)["paths"]["/api/v1/marks"]


def test_an_alert_of_the_webhook_is_ended_by_the_button_too(archive, client):
    send(client, kind="air_raid_alert", external_id="alert-8")
    client.log_in("operator")
    client.form("/staff/alert", "/staff/alert/end")
    marks, _ = marks_and_events(archive)
    assert marks[0].end_us is not None
