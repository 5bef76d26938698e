"""What a room's day tells its script, and how staff keep an interval of it from destruction."""

from __future__ import annotations

import html
import json

import pytest
from sqlalchemy import select

from archive.models import Hold, User
from recorder.instants import parse_instant
from retention import holds
from tests.browser.day_site import DATE, MONDAY, ROOMS, at, empty_archive, miss
from tests.custody_log import events
from tests.footage import FakeAgent
from tests.web import PASSWORD, Clock, add_staff, logged_in, serving

DAY = f"/staff/rooms/228-a/day.json?date={DATE}"
HOLD = f"/staff/rooms/228-a/hold?date={DATE}&from=10:00:00&to=10:41:30"
FIELDS = {
    "date": DATE,
    "from": "10:00:00",
    "to": "10:41:30",
    "reason": "Скарга на розмову",
    "legal_ground": "Доручення № 12 від 23.11.2026",
}


@pytest.fixture
def clock():
    made = Clock()
    made.set_us = parse_instant(f"{MONDAY}+02:00")
    return made


@pytest.fixture
def archive(tmp_path):
    made = empty_archive(tmp_path)
    add_staff(made)
    agent = FakeAgent(made, "228-a", at("00:00"))
    miss(agent, "11:02", "11:04", "camera_unreachable")
    yield made
    made.close()


@pytest.fixture
def url(archive, clock):
    with serving(archive, clock) as served:
        yield served


def placed(archive) -> list[Hold]:
    with archive.database.reading() as session:
        return holds.active(session, "228-a")


def test_a_day_is_told_in_the_language_of_the_reader(operator) -> None:
    told = operator.get(DAY).json()
    assert told["zone"] == "Europe/Kyiv"
    assert told["horizon"] == {"start_us": at("08:00"), "end_us": at("17:00")}
    [gap] = [each for each in told["gaps"] if each["cause"] == "camera_unreachable"]
    assert (gap["start_us"], gap["end_us"], gap["word"]) == (
        at("11:02"),
        at("11:04"),
        "камера не відповідала",
    )
    english = operator.get(f"{DAY}&lang=en").json()
    assert "the camera did not answer" in {each["word"] for each in english["gaps"]}
    assert english["words"]["play"] == "Play"


def test_a_date_or_a_room_that_is_none_is_refused(operator) -> None:
    assert operator.get(DAY.replace(DATE, "20.11.2026")).status_code == 400
    assert operator.get(DAY.replace("228-a", "999")).status_code == 404


def test_an_interval_is_kept_by_a_form(archive, operator) -> None:
    assert 'value="10:41:30"' in operator.get(HOLD).text
    answer = operator.form(HOLD, **FIELDS)
    [hold] = placed(archive)
    assert (hold.start_us, hold.end_us) == (at("10:00"), at("10:41:30"))
    assert (hold.reason, hold.legal_ground) == (FIELDS["reason"], FIELDS["legal_ground"])
    assert answer.status_code == 303
    page = operator.get(answer.headers["Location"]).text
    assert f"Заборону знищення {hold.id} поставлено: 10:00:00–10:41:30." in page
    assert "20.11.2026, 10:00:00 – 10:41:30" in page, "not cut to minutes"
    (event,) = events(archive, "hold_placed")
    with archive.database.reading() as session:
        operator_id = session.scalars(select(User.id).where(User.name == "operator")).one()
    assert event.actor == hold.author == f"user:{operator_id}"
    assert json.loads(event.details)["start_us"] == at("10:00")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": " "}, "правову підставу"),
        ({"legal_ground": ""}, "правову підставу"),
        ({"to": "09:00"}, "кінець раніше за початок"),
        ({"from": "вранці"}, "Час не зрозуміло"),
        ({"reason": "а" * 501}, "Задовгий текст"),
    ],
)
def test_a_form_that_lacks_something_keeps_what_was_written(archive, operator, changes, told) -> None:
    answer = operator.form(HOLD, **{**FIELDS, **changes})
    assert answer.status_code == 422
    assert told in answer.text
    assert FIELDS["legal_ground"] in answer.text or "legal_ground" in changes
    assert placed(archive) == []


def test_what_is_due_cannot_be_kept_any_more(archive, operator, clock) -> None:
    clock.set_us = parse_instant("2026-12-20T00:00:01+02:00")
    operator.log_in("operator", PASSWORD)
    answer = operator.form(HOLD, **FIELDS)
    assert answer.status_code == 422
    assert "строк його зберігання минув" in answer.text
    assert placed(archive) == []


def test_a_form_without_its_token_keeps_nothing(archive, operator) -> None:
    assert operator.post("/staff/rooms/228-a/hold", data=FIELDS).status_code == 403
    assert placed(archive) == []


@pytest.mark.parametrize("role", ["clerk", "reviewer", "auditor"])
def test_who_only_looks_keeps_nothing(url, role) -> None:
    with logged_in(url, role) as client:
        assert client.get(HOLD).status_code == 403
        page = client.get(f"/staff/rooms/228-a/day?date={DATE}")
        assert "data-hold" not in page.text


def test_the_ground_is_asked_once(archive, operator) -> None:
    agent = FakeAgent(archive, "108", at("00:00"))
    agent.record(at("10:00"))
    page = f"/staff/rooms/108/day?date={DATE}"
    assert "Щоб дивитися запис, назвіть підставу" in operator.get(page).text
    operator.form(page, action="/staff/ground", ground="fault_check", reference="", next=page)
    told = operator.get(page).text
    assert "Підстава: перевірка несправності" in told
    assert "Щоб дивитися запис, назвіть підставу" not in told


def test_footage_of_a_camera_that_had_another_name_is_found_on_its_day(archive, operator) -> None:
    """What is asked for without a name is the camera of now: it recorded nothing then."""
    FakeAgent(archive, "228-a", at("00:00")).record(at("10:00"))
    with archive.database.transaction() as session:
        renamed = ROOMS.replace("name: main", "name: entrance")
        archive.configurations.publish(session, renamed, "cli:0", parse_instant(f"{MONDAY}+02:00"))
    operator.form("/staff/ground", ground="fault_check")
    page = html.unescape(operator.get(DAY.replace("day.json", "day")).text)
    assert f'data-facts="{DAY}&source=main"' in page
    assert '<option value="entrance" >' in page
    day = f"/api/v1/rooms/228-a/day.m3u8?date={DATE}"
    assert operator.get(day).status_code == 404
    assert operator.get(f"{day}&source=main").status_code == 200
    [stretch] = operator.get(f"{DAY}&source=main").json()["recorded"]
    assert stretch["start_us"] == at("10:00")
    assert operator.get(f"{DAY}&source=entrance").json()["recorded"] == []


def test_a_hold_of_another_room_opens_nothing_here_and_the_page_says_so(archive, operator) -> None:
    FakeAgent(archive, "108", at("00:00")).record(at("10:00"))
    operator.form(HOLD, **FIELDS)
    operator.form("/staff/ground", ground="hold", reference=str(placed(archive)[0].id))
    page = operator.get(f"/staff/rooms/108/day?date={DATE}").text
    assert "За цією підставою цього дня нічого не відкрито" in page
    assert operator.get(DAY.replace("228-a", "108")).json()["opened"] == []
    assert operator.get(DAY).json()["opened"] == [{"start_us": at("10:00"), "end_us": at("10:41:30")}]


def test_a_hold_leads_back_to_the_camera_that_was_watched(operator) -> None:
    assert 'name="source" value="door"' in operator.get(f"{HOLD}&source=door").text
    assert "source=door" in operator.form(HOLD, **FIELDS, source="door").headers["Location"]
