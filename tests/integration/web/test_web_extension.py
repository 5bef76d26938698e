"""The board warns before a room in use stops being recorded, and its window can be made longer."""

from __future__ import annotations

import json
import os
from datetime import date

import pytest
from sqlalchemy import select

from archive.configuration import frozen_windows
from archive.extension import choices
from archive.models import CustodyEvent, RoomDay, RoomStatus
from archive.room_days import lock
from recorder.instants import US_PER_MINUTE, local_date, now_us
from recorder.rooms import RoomConfiguration, load_rooms
from retrieval_api import accounts
from tests.footage import FakeAgent, make_archive
from tests.web import PASSWORD, Client, Clock, serving

MIN = US_PER_MINUTE
# Friday 20 November 2026, 11:53 in Kyiv.
NOON = 1_795_168_800 * 1_000_000
ROOMS = """\
# Кабінети цього дому.
council: {name: {uk: Тестова рада, en: Test council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-fri: ["08:00-12:00", "13:00-16:45"]   # обід
rooms:
  - {id: "108", label: "108", floor: 1, cameras: [{name: main, url: "rtsp://127.0.0.1:9/108"}]}

  # на другому поверсі
  - id: 228-a
    label: 228-А
    floor: 2
    calendar:
      2026-12-31: closed    # Новий рік
    cameras:
      - {name: main, url: "rtsp://127.0.0.1:9/228-a"}
"""


@pytest.fixture
def clock():
    made = Clock()
    made.set_us = NOON - 7 * MIN
    return made


@pytest.fixture
def archive(tmp_path):
    made = make_archive(tmp_path)
    (tmp_path / "rooms.yaml").write_text(ROOMS, "utf-8")
    # As if written long ago: a file that was just written waits.

    os.utime(tmp_path / "rooms.yaml", (1, 1))
    made.sync_rooms_file(NOON - 200 * MIN)
    accounts.add(made, "operator", "operator", PASSWORD, "cli:0", now_us())
    yield made
    made.close()


@pytest.fixture
def url(archive, clock):
    with serving(archive, clock) as served:
        yield served


def heard(archive, room, at_us, *, in_use):
    status = {
        "agent_version": "1",
        "at_us": at_us,
        "state": "recording",
        "sources": {"main": {"in_use": in_use}},
    }
    with archive.database.transaction() as session:
        session.merge(RoomStatus(room=room, received_us=at_us, status=json.dumps(status)))


def test_the_board_warns_ten_minutes_before_a_room_in_use_closes(archive, operator, clock):
    heard(archive, "228-a", clock(), in_use=True)
    heard(archive, "108", clock(), in_use=False)
    page = operator.get("/staff/board").text
    assert page.count("у кабінеті розмовляють") == 1
    assert "Запис закінчиться о 12:00" in page
    assert "/staff/rooms/228-a/extend" in page
    clock.set_us = NOON - 11 * MIN
    heard(archive, "228-a", clock(), in_use=True)
    assert "розмовляють" not in operator.get("/staff/board").text


def test_an_extension_is_a_change_of_the_calendar_made_before_the_closing(archive, operator, clock, tmp_path):
    now_us = clock()
    with archive.database.transaction() as session:
        lock(session, archive.configurations, [("228-a", "2026-11-20"), ("108", "2026-11-20")])
    page = "/staff/rooms/228-a/extend"
    assert "до 12:15" in operator.get(page).text
    answer = operator.form(page, seen_end_us=str(NOON), minutes="30")
    assert answer.status_code == 303
    text = (tmp_path / "rooms.yaml").read_text("utf-8")
    assert set(text.splitlines()) - set(ROOMS.splitlines()) == {
        '      2026-11-20: ["08:00-12:30", "13:00-16:45"]'
    }
    assert set(ROOMS.splitlines()) <= set(text.splitlines())
    with archive.database.reading() as session:
        days = {day.room: frozen_windows(day) for day in session.scalars(select(RoomDay))}
        events = session.scalars(select(CustodyEvent).order_by(CustodyEvent.sequence)).all()
    assert [window.end_us for window in days["228-a"]] == [NOON + 30 * MIN, NOON + 285 * MIN]
    assert [window.end_us for window in days["108"]] == [NOON, NOON + 285 * MIN]
    changed, extended = events[-2:]
    assert (changed.action, extended.action) == ("configuration_changed", "recording_extended")
    assert changed.actor == extended.actor
    assert extended.actor.startswith("user:")
    assert (extended.room, extended.date, extended.at_us) == ("228-a", "2026-11-20", now_us)
    assert json.loads(extended.details)["to_us"] == NOON + 30 * MIN
    # Nothing is left to publish, and a second look sees the new end.
    assert not archive.sync_rooms_file(clock())
    assert "12:30" in operator.get(page).text


def test_a_form_that_was_sent_twice_or_too_late_extends_nothing(operator, clock, tmp_path):
    page = "/staff/rooms/228-a/extend"
    assert operator.form(page, seen_end_us=str(NOON), minutes="15").status_code == 303
    before = (tmp_path / "rooms.yaml").read_text("utf-8")
    assert operator.form(page, seen_end_us=str(NOON), minutes="15").status_code == 409
    assert operator.form(page, seen_end_us=str(NOON + 15 * MIN), minutes="7").status_code == 409
    late = operator.get(page).text
    clock.set_us = NOON + 15 * MIN
    assert operator.post(page, data=fields(late)).status_code == 409
    assert "Після кінця запис подовжити не можна" in operator.get(page).text
    assert (tmp_path / "rooms.yaml").read_text("utf-8") == before


def fields(page):
    found = {name: page.split(f'name="{name}" value="')[1].split('"')[0] for name in ("csrf", "seen_end_us")}
    return {**found, "minutes": "15"}


def test_the_next_window_is_met_and_not_passed(operator, archive):
    page = "/staff/rooms/108/extend"
    assert "далі одразу наступний запис, до 16:45" in operator.get(page).text
    assert operator.form(page, seen_end_us=str(NOON), minutes="60").status_code == 303
    with archive.database.reading() as session:
        _, rooms = archive.configurations.current(session)
    assert rooms.room("108").calendar == {"2026-11-20": ("08:00-13:00", "13:00-16:45")}
    assert rooms.room("228-a").calendar == {"2026-12-31": "closed"}


def test_nobody_else_may(archive, url):
    for name in ("clerk", "reviewer", "auditor"):
        accounts.add(archive, name, name, PASSWORD, "cli:0", now_us())
        with Client(base_url=url, timeout=30) as client:
            client.log_in(name)
            assert client.get("/staff/rooms/108/extend").status_code == 403


def test_a_broken_rooms_file_is_shown_and_the_old_one_stays(archive, operator, clock, tmp_path):

    agent = FakeAgent(archive)
    path = tmp_path / "rooms.yaml"
    path.write_text(ROOMS.replace("16:45", "16:75"), "utf-8")
    os.utime(path, (1, 1))
    beat = {"agent_version": "1", "at_us": clock(), "state": "recording"}
    answer = operator.post(
        "/ingest/v1/rooms/108/heartbeat",
        json=beat,
        headers={"Authorization": f"Bearer {agent.key.token}"},
    )
    configuration = RoomConfiguration.model_validate_json(answer.json()["configuration"])
    assert configuration.version == 2
    assert configuration.hours == {"mon-fri": ("08:00-12:00", "13:00-16:45")}
    page = operator.get("/staff/board").text
    assert "Файл кабінетів містить помилку" in page
    assert "16:75" in page
    refused = operator.form("/staff/rooms/108/extend", seen_end_us=str(NOON), minutes="15")
    assert refused.status_code == 409
    assert "16:75" in refused.text
    path.write_text(ROOMS, "utf-8")
    os.utime(path, (1, 1))
    assert "Файл кабінетів" not in operator.get("/staff/board").text


def test_choices_end_at_midnight(archive, tmp_path):
    rooms = load_rooms(tmp_path / "rooms.yaml")
    evening = rooms.configuration("108", 1).model_copy(update={"hours": {"mon-sun": ("18:00-23:20",)}})
    end_us = NOON + 680 * MIN
    assert local_date(end_us, "Europe/Kyiv") == date(2026, 11, 20)
    found = choices(evening, end_us - MIN)
    assert [(each.minutes, each.joins_until_us) for each in found] == [(15, None), (30, None), (40, None)]
    assert choices(evening, end_us) == []
