"""The live board over a real connection: pictures, a fault looked at, events, and how they end."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from archive import viewing
from archive.models import CustodyEvent, RoomStatus
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from retrieval_api.room_pictures import LOOK_US
from tests.custody_log import viewings
from tests.footage import FakeAgent
from tests.web import Client

BLURRED = base64.b64encode(b"\xff\xd8\xff\xe0 blurred").decode()
CLEAR = base64.b64encode(b"\xff\xd8\xff\xe0 clear").decode()


@pytest.fixture
def client(client, clock):
    clock.set_us = None
    yield client
    clock.set_us = None


def beat(client: httpx.Client, agent: FakeAgent, **more: Any) -> httpx.Response:
    document = {
        "agent_version": "test",
        "at_us": now_us(),
        "state": "recording",
        "since_us": now_us() - US_PER_SECOND,
        "health": {"conditions": [], "sources": {"main": {"levels": [[-40, -30], [-25, -12]]}}},
        "clock": {"uncertainty_us": 2500, "estimated": False},
        **more,
    }
    headers = {"Authorization": f"Bearer {agent.key.token}"}
    return client.post("/ingest/v1/rooms/108/heartbeat", json=document, headers=headers)


def pictures(*, clear: bool = False) -> dict[str, Any]:
    shown = {"at_us": now_us(), "blurred": BLURRED} | ({"clear": CLEAR} if clear else {})
    return {"pictures": {"main": shown}}


@contextmanager
def events(client: Client) -> Iterator[Iterator[tuple[str, str]]]:
    """The board's stream as (event, data)."""
    with client.stream("GET", "/staff/board/events", timeout=20) as answer:
        assert answer.status_code == 200, answer
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        yield _parsed(answer.iter_lines())


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name, data = "", []
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field.startswith("data"):
            data.append(value)
        elif not line and name:
            yield name, "\n".join(data)
            name, data = "", []


def test_a_rooms_picture_loudness_and_clock_stand_on_its_tile(archive, client, agent) -> None:
    answer = beat(client, agent, **pictures())
    assert answer.json()["pictures"] == {"clear_s": 0}
    client.log_in("clerk")
    board = client.get("/staff/board").text
    assert f'src="data:image/jpeg;base64,{BLURRED}"' in board
    assert "пік −12 дБ" in board
    assert "годинник ± 3 мс" in board
    assert "/look" not in board, "a clerk may not"
    with archive.database.reading() as session:
        assert "pictures" not in json.loads(session.get(RoomStatus, "108").status)
    assert not [
        path
        for path in archive.settings.data_dir.rglob("*")
        if path.is_file() and BLURRED.encode() in path.read_bytes()
    ], "no picture on the server's disk"
    assert beat(client, agent).status_code == 200
    assert "data:image" not in client.get("/staff/board").text


@pytest.mark.parametrize(
    "wrong",
    [{"main": {"blurred": "PHNjcmlwdD4=", "at_us": 1}}, {"main": {"at_us": 1}}, {"x" * 33: {}}, [1]],
)
def test_what_is_no_picture_is_refused_with_its_heartbeat(client, agent, wrong) -> None:
    assert beat(client, agent, pictures=wrong).status_code == 422


def test_a_fault_is_looked_at_on_record_by_the_session_that_asked(archive, client, url, clock, agent) -> None:
    beat(client, agent, **pictures())
    client.log_in("operator")
    assert client.get("/staff/rooms/108/look.jpg?source=main").status_code == 404
    assert client.form("/staff/rooms/108/look").headers["location"] == "/staff/rooms/108/look"
    with archive.database.reading() as session:
        newest = select(CustodyEvent).order_by(CustodyEvent.sequence.desc()).limit(1)
        opened = session.scalars(newest).one()
    details = json.loads(opened.details)
    assert (opened.action, opened.room, details["ground"]) == ("view_opened", "108", "fault_check")
    assert details["end_us"] - details["start_us"] == LOOK_US
    assert client.get("/staff/rooms/108/look.jpg?source=main").status_code == 204, "it is under way"
    assert 115 < beat(client, agent, **pictures()).json()["pictures"]["clear_s"] <= 120
    beat(client, agent, **pictures(clear=True))
    shown = client.get("/staff/rooms/108/look.jpg?source=main")
    assert shown.content == base64.b64decode(CLEAR)
    assert shown.headers["Cache-Control"] == "no-store"
    assert CLEAR not in client.get("/staff/board").text
    with Client(base_url=url, timeout=30) as other:
        assert other.get("/staff/rooms/108/look.jpg?source=main").status_code == 303
        other.log_in("operator")
        assert other.get("/staff/rooms/108/look.jpg?source=main").status_code == 404, "another session"
    with Client(base_url=url, timeout=30) as other:
        other.log_in("auditor")
        assert other.get("/staff/rooms/108/look").status_code == 403
    clock.forward(LOOK_US)
    assert client.get("/staff/rooms/108/look.jpg?source=main").status_code == 404
    viewing.close_idle(archive, now_us(), everything=True)
    with archive.database.reading() as session:
        closed = json.loads(session.scalars(newest).one().details)
    assert closed["served_bytes"] == len(shown.content)
    assert details["start_us"] <= closed["served_start_us"] < details["end_us"]


def test_where_nothing_is_shown_nothing_is_asked_for(archive, client, agent) -> None:
    beat(client, agent, **pictures())
    client.log_in("operator")
    token = re.findall(r'name="csrf" value="([^"]+)"', client.get("/staff/rooms/108/look").text)[-1]
    beat(client, agent)
    before = viewings(archive)
    assert client.post("/staff/rooms/108/look", data={"csrf": token}).status_code == 409
    assert client.post("/staff/rooms/108/look", data={"csrf": "another"}).status_code == 403
    assert viewings(archive) == before


def test_footage_that_does_not_arrive_and_a_clock_apart_are_seen_by_the_server(client, agent) -> None:
    client.log_in("operator")
    since_us = now_us() - 4 * US_PER_MINUTE
    beat(client, agent, since_us=since_us, at_us=now_us() - US_PER_MINUTE)
    board = html.unescape(client.get("/staff/board").text)
    assert "△ записане надходить із запізненням" in board
    assert "△ годинник комп'ютера неточний" in board
    agent.record(now_us() - 30 * US_PER_SECOND)
    beat(client, agent, since_us=since_us)
    board = client.get("/staff/board").text
    assert "△" not in board
    assert "в архіві до" in board


def test_what_an_agent_tells_of_a_fault_is_translated_or_quoted(client, agent) -> None:
    client.log_in("operator")
    fault = {"state": "fault", "cause": "camera_unreachable"}
    quoted = 'Подробиці від комп\'ютера кабінету: <span lang="en">'
    for detail, shown in (
        ("the camera closed the connection", "fault-detail\">камера закрила з'єднання</span>"),
        ("Invalid data <found>", f"{quoted}Invalid data &lt;found&gt;</span>"),
    ):
        beat(client, agent, **fault, detail=detail)
        assert shown in client.get("/staff/board").text.replace("&#39;", "'"), detail
    # Said once: it is what the cause says.
    beat(client, agent, **fault, detail="the camera does not answer")
    assert "fault-detail" not in client.get("/staff/board").text


def test_a_change_is_told_to_who_watches(client, agent) -> None:
    beat(client, agent)
    client.log_in("operator")
    with events(client) as told:
        name, board = next(told)
        assert name == "board"
        assert 'id="tile-108" class="card room recording' in board
        assert "csrf" not in board, "it is the same for all"
        beat(client, agent, state="fault", cause="camera_stalled")
        after = next(data for name, data in told if name == "board" and 'data-fault="108' in data)
        assert "камера зависла" in after
        assert "▲ 2 не записують · Protokol" in after


def test_a_session_that_ends_ends_its_stream(client, url) -> None:
    client.log_in("operator")
    with Client(base_url=url, timeout=30, cookies=client.cookies) as same, events(same) as told:
        next(told)
        client.form("/staff/board", "/staff/logout")
        assert [name for name, _ in told][-1] == "end"
    with client.stream("GET", "/staff/board/events") as answer:
        assert answer.status_code == 303


def test_watching_is_no_use_of_a_session(client, clock) -> None:
    client.log_in("operator")
    clock.forward(40 * US_PER_MINUTE)
    with events(client) as told:
        next(told)
        assert client.get("/staff/board?refresh=1").status_code == 200
        clock.forward(21 * US_PER_MINUTE)
        assert [name for name, _ in told][-1] == "end"
