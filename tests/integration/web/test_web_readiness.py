"""The board before the first window of a day, in both languages."""

from __future__ import annotations

import json
import re

import pytest

from archive.models import RoomStatus
from archive.system import Archive
from recorder.instants import parse_instant
from recorder.settings import Settings
from tests.web import add_staff

ROOMS = """\
council: {name: {uk: Тестова рада, en: Test council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-fri: ["08:00-12:00", "13:00-17:00"]
rooms:
"""
LABELS = ["108", "116", "202", "228-А", "230", "330", "конференц-зал"]
IDS = ["108", "116", "202", "228-a", "230", "330", "konferents-zal"]


def at(clock: str) -> int:
    return parse_instant(f"2026-11-20T{clock}+02:00")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    directory = tmp_path_factory.mktemp("readiness")
    rooms = "".join(
        f'  - {{id: "{id_}", label: "{label}", floor: 1, '
        f'cameras: [{{name: main, url: "rtsp://127.0.0.1:9/x"}}]}}\n'
        for id_, label in zip(IDS, LABELS, strict=True)
    )
    (directory / "rooms.yaml").write_text(ROOMS + rooms, "utf-8")
    made = Archive.open(Settings(data_dir=directory, demo=True, secure_cookies=False), migrate=True)
    add_staff(made)
    yield made
    made.close()


@pytest.fixture
def beat(archive, clock):
    def put(room: str, *codes: str, checked: str = "07:45:12", state: str = "closed", **more) -> None:
        items = [
            {"item": "x", "source": "main", "code": code, "detail": "told by the agent", "warning": False}
            for code in codes
        ]
        readiness = {
            "state": "not_ready" if codes else "ready",
            "checked_us": at(checked),
            "items": items,
            **more,
        }
        status = json.dumps({"state": state, "since_us": at("07:00:00"), "readiness": readiness})
        with archive.database.transaction() as session:
            session.merge(RoomStatus(room=room, received_us=clock(), status=status))

    return put


def board(client, language="uk") -> str:
    """The text of the board without its marks."""
    if client.get("/staff/board").status_code != 200:
        client.log_in("operator")
    page = client.get(f"/staff/board?lang={language}").text
    text = re.sub(r"<[^>]+>", " ", page[page.index('<div id="board"') :])
    return " ".join(text.split())


def test_the_board_of_a_good_morning(client, beat, clock) -> None:
    clock.set_us = at("07:46:00")
    for room in IDS:
        beat(room)
    text = board(client)
    assert "✓ 7 з 7 готові" in text
    assert text.count("✓ Готовий о 07:45") == 7
    assert "НЕ ГОТОВИЙ" not in text
    assert "поза годинами" not in text
    text = board(client, "en")
    assert "✓ 7 of 7 ready" in text
    assert text.count("✓ Ready at 07:45") == 7


def test_a_room_that_is_not_ready_alarms_first_and_says_what_to_do(client, beat, clock) -> None:
    clock.set_us = at("07:47:00")
    for room in IDS:
        beat(room)
    beat("330", "camera_unreachable")
    text = board(client)
    assert "○ 6 з 7 готові · 330: камера не відкривається" in text
    alarm = text.index("▲ НЕ ГОТОВИЙ камера не відкривається")
    assert "330" in text[alarm - 10 : alarm]
    assert alarm < text.index("✓ Готовий о 07:45")
    assert "початок запису: 08:00, перевірено 07:45" in text
    assert "told by the agent" in text
    page = client.get("/staff/board").text
    assert 'href="/staff/faults#ready-camera_unreachable"' in page
    faults = client.get("/staff/faults?lang=uk").text
    assert 'id="ready-camera_unreachable"' in faults
    assert "Перевірте живлення і мережевий кабель камери." in faults
    text = board(client, "en")
    assert "○ 6 of 7 ready · 330: the camera does not open" in text
    assert "▲ NOT READY the camera does not open" in text


def test_rooms_that_say_nothing_are_not_ready_and_several_are_not_all_in_the_headline(
    client, beat, clock
) -> None:
    clock.set_us = at("07:50:00")
    for room in IDS[:-2]:
        beat(room)
    text = board(client)
    assert "○ 5 з 7 готові 330 ▲" in text, "the reasons stand below"
    assert text.count("▲ НЕ ГОТОВИЙ немає зв'язку з комп'ютером запису") == 2
    beat("330", checked="07:40:00")
    beat("konferents-zal")
    assert "330: готовність не перевірено" in board(client)


def test_when_windows_have_begun_the_board_is_as_ever(client, beat, clock) -> None:
    clock.set_us = at("08:00:01")
    for room in IDS:
        beat(room, "sound_silent", state="recording")
    text = board(client)
    assert "● 7 ЗАПИС" in text
    assert "готов" not in text.lower()
    clock.set_us = at("07:30:00")
    for room in IDS:
        beat(room, checked="07:00:00")
    text = board(client)
    assert "○ 7 поза годинами" in text
    assert "готов" not in text.lower()


def test_at_noon_an_agent_that_was_started_anew_is_told_of(client, beat, clock) -> None:
    clock.set_us = at("12:30:00")
    for room in IDS:
        beat(room, checked="12:10:00")
    beat("108", items="many")  # no agent of ours; it must not break the board of all
    text = board(client)
    assert text.count("Готовий о 12:10") == 6
    assert "○ 7 поза" not in text
    assert "○ 1 поза годинами" in text
    assert "готові" not in text, "the headline is the first window's"
    beat("116", "picture_black", checked="12:10:00")
    assert "▲ НЕ ГОТОВИЙ зображення чорне" in board(client)
