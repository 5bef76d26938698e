"""The state of a request, by number and PIN."""

from __future__ import annotations

import re

import pytest

from archive.models import CustodyEvent
from recorder.instants import US_PER_DAY
from retrieval_api.requests.numbers import make_number
from tests.integration.request_pages.site import actions, log_in, register


def test_number_and_pin_show_the_state(resident) -> None:
    number, pin = register(resident)
    page = log_in(resident, number, pin)
    assert page.url.path == "/my"
    assert "Запит чекає на розгляд" in page.text
    assert "Поки що ніхто" in page.text
    assert "30.11.2026" in page.text
    left = resident.form("/my", "/my/leave")
    assert left.url.path == "/"
    assert resident.get("/my").url.path == "/status"


def test_an_answer_that_is_late_is_not_promised_for_a_day_that_is_over(resident, clock) -> None:
    number, pin = register(resident)
    clock.forward(8 * US_PER_DAY)
    page = log_in(resident, number, pin).text
    assert "Відповідь буде не пізніше" not in page
    assert "Відповідь затримується" in page
    assert "Запис не буде знищено до рішення" in page
    assert "наступний крок; відповідь затримується" in page


@pytest.mark.parametrize(
    ("number", "pin", "words"),
    [
        ("", "", "Введіть реєстраційний номер"),
        ("2026-000001-1", "12345678", "У номері помилка"),
        ("2026-000001-5", "1234", "вісім цифр"),
        ("9" * 1_000_000, "1" * 1_000_000, "У номері помилка"),
    ],
)
def test_slips_cost_no_attempt(resident, archive, number, pin, words) -> None:
    register(resident)
    answer = log_in(resident, number, pin)
    assert answer.status_code == 422
    assert words in answer.text
    assert "pin_failed" not in actions(archive)


def test_a_wrong_pin_and_an_unknown_number_read_alike(resident) -> None:
    number, _ = register(resident)
    unknown = make_number(2026, 99)
    answers = [log_in(resident, each, "00000000") for each in (number, unknown)]
    pages = [answer.text.replace(number, "N").replace(unknown, "N") for answer in answers]
    token = re.compile(r'name="csrf" value="[^"]+"')
    assert token.sub("", pages[0]) == token.sub("", pages[1])
    assert [answer.status_code for answer in answers] == [422, 422]


def test_withdrawing_shows_what_will_happen_first(resident, archive) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    assert "запис Ви не отримаєте" in resident.get("/my/withdraw").text
    assert resident.post("/my/withdraw", data={}).status_code == 403
    page = resident.form("/my/withdraw")
    assert "Запит відкликано" in page.text
    assert resident.form("/my", "/my/withdraw").status_code == 409
    assert actions(archive, CustodyEvent.subject == f"request:{number}")[-1] == "request_withdrawn"


def test_where_nothing_was_found_no_recording_is_promised(resident, operator) -> None:
    number, pin = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/decision", outcome="not_found", reason="Того дня прийому не було.")
    mine = log_in(resident, number, pin).text
    assert "Запису немає" in mine
    assert "До того часу запис не буде знищено" not in mine
    assert "нічого, що записано в названий Вами час, не буде знищено" in mine


def test_a_refusal_names_its_reason_and_the_end_of_the_appeal(resident, operator) -> None:
    number, pin = register(resident)
    page = f"/staff/requests/{number}"
    empty = operator.form(page, f"{page}/decision", outcome="refused", reason=" ")
    assert empty.status_code == 422
    assert "її прочитає мешканець" in empty.text
    operator.form(page, f"{page}/decision", outcome="refused", reason="Присутність не підтверджено.")
    mine = log_in(resident, number, pin).text
    assert "Присутність не підтверджено." in mine
    assert "оскаржити рішення до 23.12.2026" in mine
    assert "Для цього прийдіть до центру" in mine
    assert resident.get("/my/recording.mp4").status_code == 404
