"""The review: queue, roles, looking, deciding."""

from __future__ import annotations

import re
from datetime import date

import pytest

from archive.models import Viewing
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND
from tests.footage import FakeAgent
from tests.integration.request_pages.site import DIGITS, actions, log_in, register, rows_of
from tests.requesting import at
from tests.web import Client, logged_in


def test_the_queue_shows_requests_without_a_room_first_and_how_many_a_contact_has(resident, operator) -> None:
    first, _ = register(resident)
    second, _ = register(resident)
    everywhere, _ = register(resident, room="unknown", phone="050 111 11 11")
    page = operator.get("/staff/requests").text
    assert page.index(everywhere) < page.index(first) < page.index(second)
    assert "усі кабінети" in page
    assert "2 відкриті запити цього контакту" in page
    assert "через 7 днів" in page
    found = operator.get(f"/staff/requests?number={first.replace('-', ' ')}")
    assert found.url.path == f"/staff/requests/{first}"
    assert "У номері помилка" in operator.get("/staff/requests?number=2026-000001-0").text


def test_the_queue_shows_what_is_late_above_all_else(resident, operator, clock) -> None:
    late, _ = register(resident)
    clock.forward(8 * US_PER_DAY)
    operator.log_in("operator")
    everywhere, _ = register(resident, room="unknown", phone="050 111 11 11")
    page = operator.get("/staff/requests").text
    assert "прострочено на 1 день" in page
    assert page.index(late) < page.index(everywhere)


def test_the_board_tells_those_who_review_of_what_is_late(resident, operator, url, clock) -> None:
    register(resident)
    register(resident, phone="050 111 11 11")
    clock.set_us = at(23, 59, day=date(2026, 11, 30))
    operator.log_in("operator")
    assert "прострочено" not in operator.get("/staff/board").text, "its last day is not over"
    clock.forward(US_PER_MINUTE)
    board = operator.get("/staff/board").text
    assert "△ 2 запити прострочено." in board
    # Nobody records here: that comes first.
    assert board.rindex("fault-row") < board.index("запити прострочено")
    assert "2 requests are overdue." in operator.get("/staff/board?lang=en").text
    for role, is_told in (("reviewer", True), ("admin", True), ("clerk", False), ("auditor", False)):
        with logged_in(url, role) as other:
            assert ("запити прострочено" in other.get("/staff/board").text) == is_told, role


def test_nothing_can_be_opened_before_a_room_is_matched_or_beside_what_was_asked(resident, operator) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"

    def footage(start_us: int, end_us: int) -> int:
        address = f"{page}/recording.mp4?start_us={start_us}&end_us={end_us}"
        return operator.get(address, headers={"Range": "bytes=0-0"}).status_code

    assert "<video" not in operator.get(page).text
    assert footage(at(10, 30), at(10, 31)) == 409
    operator.form(page, f"{page}/match", room="108")
    assert "<video" in operator.get(page).text
    assert footage(at(10, 30), at(10, 31)) == 206
    assert footage(at(8), at(8, 30)) == 403
    assert footage(at(10, 31), at(10, 30)) == 403
    assert "не більше трьох годин" in operator.get(f"{page}?start=08:00&end=09:00").text
    assert "не більше трьох годин" in operator.get(f"{page}?start=абв").text


def test_opening_is_recorded_with_its_ground_before_the_first_byte(resident, operator, archive) -> None:
    number, pin = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    assert "view_opened" not in actions(archive), "a page is not a look"
    operator.get(f"{page}/recording.mp4?start_us={at(10, 30)}&end_us={at(10, 31)}")
    (viewing,) = rows_of(archive, Viewing)
    assert viewing.ground == f"request:{number}"
    assert actions(archive).count("view_opened") == 1
    mine = log_in(resident, number, pin).text
    assert "оператор" in mine
    assert "за цим запитом" in mine


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("clerk", "identity", True),
        ("clerk", "pin", True),
        ("clerk", "match", False),
        ("clerk", "decision", False),
        ("auditor", "identity", False),
        ("auditor", "pin", False),
        ("reviewer", "match", True),
    ],
)
def test_each_role_does_its_own(url, resident, role, action, allowed) -> None:
    number, _ = register(resident)
    fields = {"basis": "document", "document": "id_card", "room": "108", "outcome": "refused", "reason": "ні"}
    with Client(base_url=url, follow_redirects=True) as client:
        client.log_in(role)
        page = f"/staff/requests/{number}"
        if role == "auditor":
            assert client.get(page).status_code == 403
            page = "/staff/board"
        answer = client.form(page, f"/staff/requests/{number}/{action}", **fields)
        assert answer.status_code == (200 if allowed else 403)
        if role == "clerk":
            shown = client.get(page).text
            assert "<video" not in shown
            assert "/match" not in shown


def test_a_clerk_reissues_a_pin_and_the_old_one_dies_with_its_session(url, resident) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    with logged_in(url, "clerk", follow_redirects=True) as clerk:
        page = f"/staff/requests/{number}"
        assert clerk.form(page, f"{page}/pin", document="").status_code == 422
        shown = clerk.form(page, f"{page}/pin", document="id_card")
        fresh = dict(DIGITS.findall(shown.text))["pin"].replace(" ", "")
        assert fresh != pin
    assert resident.get("/my").url.path == "/status", "the session of the old PIN is over"
    assert log_in(resident, number, pin).status_code == 422
    assert log_in(resident, number, fresh).url.path == "/my"


def test_a_step_that_is_wrong_keeps_what_was_typed(resident, operator) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    for action, fields, words in (
        ("match", {"room": "999"}, "Виберіть кабінет"),
        ("interval", {"in": "10:30", "out": "10:20"}, 'value="10:20"'),
        ("interval", {"in": "06:00", "out": "06:10"}, "не належить до запиту"),
        ("identity", {"basis": "document", "note": "КС 123456"}, "номер документа"),
        ("identity", {"basis": "", "note": "прийшов сам"}, 'value="прийшов сам"'),
        ("decision", {"outcome": "released"}, "Спершу задайте початок і кінець"),
        ("decision", {"outcome": "refused", "reason": "я" * 1_000_000}, "Причина задовга"),
    ):
        answer = operator.form(page, f"{page}/{action}", **fields)
        assert answer.status_code == 422, action
        assert words in answer.text


def test_an_interval_without_footage_is_explained(resident, operator) -> None:
    number, _ = register(resident, time="14:00")
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    shown = operator.get(page)
    assert shown.status_code == 200
    assert "Запису за цей час немає" in shown.text
    assert "<video" not in shown.text


def test_an_approval_is_never_an_empty_promise(resident, operator, archive) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    operator.form(page, f"{page}/interval", **{"in": "10:50:00", "out": "10:55:00"})
    operator.form(page, f"{page}/identity", basis="known", note="")
    seen = dict(re.findall(r'name="(seen_\w+)" value="(\d+)"', operator.get(page).text))
    answer = operator.form(page, f"{page}/decision", outcome="released", reason="", **seen)
    assert answer.status_code == 422
    assert "У цих межах запису немає" in answer.text
    assert "request_approved" not in actions(archive)


def test_an_approval_of_a_page_that_showed_another_room_is_refused(resident, operator, archive) -> None:
    neighbour = FakeAgent(archive, room="228-a")
    for number in range(5):
        neighbour.record(at(10, 30) + number * 2 * US_PER_SECOND)
    number, _ = register(resident)
    page, limits = f"/staff/requests/{number}", {"in": "10:30:02", "out": "10:30:08"}
    operator.form(page, f"{page}/match", room="108")
    operator.form(page, f"{page}/interval", **limits)
    operator.form(page, f"{page}/identity", basis="known", note="")
    seen = dict(re.findall(r'name="(seen_\w+)" value="([^"]+)"', operator.get(page).text))
    assert seen["seen_room"] == "108"
    # A colleague finds the meeting elsewhere, at the same times, while the page is open.
    operator.form(page, f"{page}/match", room="228-a")
    operator.form(page, f"{page}/interval", **limits)
    answer = operator.form(page, f"{page}/decision", **{**seen, "outcome": "released", "reason": ""})
    assert answer.status_code == 422
    assert "request_approved" not in actions(archive)
    fresh = {**seen, "seen_room": "228-a"}
    operator.form(page, f"{page}/decision", **{**fresh, "outcome": "released", "reason": ""})
    assert "request_approved" in actions(archive)


def test_an_unknown_number_is_a_404(operator) -> None:
    assert operator.get("/staff/requests/2026-000077-1").status_code == 404
