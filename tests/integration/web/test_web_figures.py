"""The month for staff, and the figures for everybody, over a real server and a month of rows."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest
from sqlalchemy import event, update

from archive import day_figures
from archive.models import RoomsVersion
from archive.system import Archive
from bench.month_rows import fill_month
from recorder.instants import US_PER_DAY, US_PER_MINUTE
from recorder.intervals import Interval
from recorder.settings import Settings
from retention import holds
from retrieval_api.requests.decision import Desk
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.registration import Registrar
from tests.requesting import application, at
from tests.web import Client, Clock, add_staff, logged_in

NOW = at(14, day=date(2026, 11, 5))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Seven rooms since the first of November, until the afternoon of the fifth."""
    directory = tmp_path_factory.mktemp("month")
    made = Archive.open(Settings(data_dir=directory, demo=True, secure_cookies=False), migrate=True)
    with made.database.transaction() as session:
        session.execute(update(RoomsVersion).values(created_us=at(0, day=date(2026, 11, 1))))
    add_staff(made)
    fill_month(made, date(2026, 11, 1), NOW)
    day_figures.settle(made, NOW)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clock():
    clock = Clock()
    clock.set_us = NOW
    return clock


@pytest.fixture
def operator(url):
    with logged_in(url, "operator", follow_redirects=True, timeout=60) as client:
        yield client


@pytest.fixture
def anybody(url):
    with Client(base_url=url, timeout=60) as client:
        yield client


def rows(answer) -> list[dict[str, str]]:
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def test_a_rooms_month_tells_each_day(operator):
    told = operator.get("/api/v1/rooms/330/month?month=2026-11").json()
    assert (told["room"], told["month"], len(told["days"])) == ("330", "2026-11", 30)
    for day in told["days"]:
        parts = ("recorded_us", "gap_us", "pending_us", "unknown_us")
        assert day["planned_us"] == sum(day[name] for name in parts)
        assert sum(day["gaps_by_cause"].values()) == day["gap_us"]
    by_date = {day["date"]: day for day in told["days"]}
    assert by_date["2026-11-01"]["state"] == "closed"
    assert by_date["2026-11-04"]["gaps_by_cause"]["agent_down"] > 4 * 3600 * 10**6
    assert by_date["2026-11-05"]["pending_us"] > 0
    assert by_date["2026-11-06"]["state"] == "future"


@pytest.mark.parametrize("month", ["", "2026-13", "2026-1", "November", "9999-12", "2199-12"])
def test_what_is_no_month_is_refused(operator, month):
    answer = operator.get(f"/api/v1/rooms/330/month?month={month}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_time")


def test_the_month_is_for_those_who_see_footage(url, operator):
    with Client(base_url=url, follow_redirects=True, timeout=60) as clerk:
        assert clerk.get("/api/v1/rooms/330/month?month=2026-11").status_code == 401
        clerk.log_in("clerk")
        assert clerk.get("/api/v1/rooms/330/month?month=2026-11").status_code == 403
        assert clerk.get("/staff/month").status_code == 403
        assert "/staff/month" not in clerk.get("/staff/board").text
    assert "/staff/month" in operator.get("/staff/board").text


def test_the_month_of_all_rooms_is_a_table_of_words(archive, operator):
    order = holds.HoldOrder("108", archive_interval(), "a complaint", "order 1", "user:3")
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], NOW)
    page = operator.get("/staff/month?month=2026-11").text
    assert page.count('<th scope="row">108</th>') >= 2
    assert "/staff/rooms/108/day?date=2026-11-03" in page
    assert "не було зв'язку з комп'ютером запису" in page
    assert "1 заборона знищення" in page
    assert "?month=2026-10" not in page
    assert "?month=2026-12" not in page
    assert "запис ще не вівся" in operator.get("/staff/month?month=2026-09").text
    assert "What is missing, by day" in operator.get("/staff/month?lang=en").text


def archive_interval():
    start_us = at(10, day=date(2026, 11, 3))
    return Interval(start_us, start_us + US_PER_MINUTE)


def test_everybody_sees_the_days_that_are_over(anybody):
    page = anybody.get("/figures").text
    assert "Скільки записано" in page
    assert "Пораховано по 04.11.2026 включно" in page
    recording = rows(anybody.get("/figures/recording.csv"))
    assert len(recording) == 7
    assert {row["through"] for row in recording} == {"2026-11-04"}
    # Three days of eight hours each, less the minutes of a Friday that is not among them.
    assert {row["planned_s"] for row in recording} == {str(3 * 8 * 3600)}
    gaps = rows(anybody.get("/figures/gaps.csv"))
    for row in recording:
        of_room = [int(gap["missing_s"]) for gap in gaps if gap["room"] == row["room"]]
        assert int(row["missing_s"]) == sum(of_room)
        assert int(row["planned_s"]) == int(row["recorded_s"]) + int(row["missing_s"])
    told = anybody.get("/figures.json")
    assert told.headers["Cache-Control"] == "public, max-age=600"
    (month,) = told.json()["months"]
    assert (month["month"], month["complete"], len(month["rooms"])) == ("2026-11", False, 7)


@pytest.mark.parametrize(("month", "status"), [("2026-10", 404), ("2026-12", 404), ("x", 400)])
def test_a_month_without_figures_is_said_to_have_none(anybody, month, status):
    assert anybody.get(f"/figures?month={month}").status_code == status


def test_nothing_personal_is_in_the_figures(anybody):
    told = json.dumps(anybody.get("/figures.json").json(), ensure_ascii=False)
    everything = told + "".join(
        anybody.get(path).text for path in ("/figures", "/figures/requests.csv", "/figures/recording.csv")
    )
    for secret in ("Петренко", "Коваль", "оскаржити", "20261103"):
        assert secret not in everything


def test_requests_are_counted_once_and_by_their_first_decision(archive, anybody, clock):
    """A request that an appeal has reopened was answered on time all the same."""
    before = rows(anybody.get("/figures/requests.csv"))[0]
    registrar, desk = Registrar(archive, RequestSecrets.of(archive.server_key)), Desk(archive)
    yesterday = NOW - US_PER_DAY
    numbers = [
        registrar.register(
            application(room="108", contact=f"+38067123456{number}"), "127.0.0.1", yesterday
        ).number
        for number in range(3)
    ]
    desk.refuse(numbers[0], "not at that meeting", "user:3", yesterday + US_PER_MINUTE)
    desk.reopen(numbers[0], "an appeal", "user:3", yesterday + 2 * US_PER_MINUTE)
    desk.withdraw(numbers[1], yesterday + US_PER_MINUTE)
    # Until the ten minutes are over, nobody asks the database.
    assert rows(anybody.get("/figures/requests.csv"))[0] == before
    clock.forward(11 * US_PER_MINUTE)
    after = rows(anybody.get("/figures/requests.csv"))[0]
    gained = {
        name: int(after[name]) - int(before[name]) for name in before if name not in ("month", "through")
    }
    assert gained == {
        "registered": 2, "answered_on_time": 1, "answered_late": 0, "overdue": 0, "in_term": 1,
    }  # fmt: skip


def test_however_many_ask_the_index_is_read_once(archive, anybody, clock):
    clock.forward(11 * US_PER_MINUTE)
    asked = []
    engine = archive.database.engine

    def listen(_connection, _cursor, statement, *_):
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", listen)
    try:
        for _ in range(5):
            anybody.get("/figures.json")
            anybody.get("/figures")
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    assert sum("FROM segment" in each and "count(*)" in each for each in asked) == 1
