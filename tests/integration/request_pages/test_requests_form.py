"""The form: what a resident fills in, and what comes back."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from archive.models import Hold, Request
from recorder.instants import US_PER_MINUTE
from tests.integration.request_pages.site import DIGITS, FORM, count, register, send
from tests.web import Client


def test_the_notice_tells_and_the_door_fills_in_the_room(resident) -> None:
    page = resident.get("/request?room=228-A").text
    assert 'href="/request/new?room=228-a"' in page
    assert "згод" not in page.lower(), "nobody is asked for a consent that they cannot refuse"
    assert '<option value="228-a" selected>' in resident.get("/request/new?room=228-a").text
    assert resident.get("/request?room=<script>").status_code == 200
    english = resident.get("/?lang=en").text
    assert "Get the recording of my meeting" in english


def test_three_pages_a_check_and_a_receipt_without_javascript(resident, archive) -> None:
    carried: dict[str, str] = {"step": "when"}
    for step, names in (
        ("when", ("room", "date", "about", "time")),
        ("whom", ("official", "purpose")),
        ("contact", ("name", "contact_kind", "email", "phone")),
    ):
        carried |= {name: FORM[name] for name in names} | {"step": step}
        page = resident.form("/request/new", **carried)
        assert page.status_code == 200, page.text
        for name in names:
            assert f'name="{name}" value="{FORM[name]}"' in page.text or name == "email"
    assert "з 10:00 до 12:00" in page.text
    assert count(archive, Request) == 0, "nothing of a person is kept before the request is sent"
    receipt = resident.form("/request/new", **{**carried, "step": "check", "go": "send"})
    assert receipt.url.path == "/request/receipt"
    found = dict(DIGITS.findall(receipt.text))
    assert "понеділок, 30.11.2026" in receipt.text
    assert "<svg" in receipt.text
    assert count(archive, Hold) == 1
    for answer in (*receipt.history, receipt):
        assert found["pin"].replace(" ", "") not in str(answer.url)
    assert receipt.headers["Cache-Control"] == "no-store"


def test_the_receipt_can_be_reloaded_for_some_minutes(resident, clock) -> None:
    number, _ = register(resident)
    assert number in resident.get("/request/receipt").text
    clock.forward(16 * US_PER_MINUTE)
    gone = resident.get("/request/receipt")
    assert gone.status_code == 410
    assert number not in gone.text


def test_a_double_click_registers_one_request(url, archive) -> None:
    with Client(base_url=url) as resident:
        page = resident.get("/request/new").text
        hidden = dict(re.findall(r'name="(csrf|form)" value="([^"]+)"', page))
        data = {**FORM, **hidden, "step": "check", "go": "send"}
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: resident.post("/request/new", data=data), range(4)))
    assert {answer.status_code for answer in answers} == {303}
    assert count(archive, Request) == 1


@pytest.mark.parametrize(
    ("step", "changes", "words"),
    [
        ("when", {"date": ""}, "Вкажіть дату"),
        ("when", {"date": "20 листопада"}, 'type="text" value="20 листопада"'),
        ("when", {"date": "22.10.2026"}, "знищено 22.11.2026 о 00:00"),
        ("when", {"date": "24.11.2026"}, "не настала"),
        ("whom", {"official": ""}, "з ким Ви зустрічалися"),
        ("whom", {"purpose": "я" * 1_000_000}, "Ви ввели 1000000"),
        ("contact", {"phone": "12"}, 'href="#phone"'),
        ("contact", {"phone": '"><script>alert(1)</script>'}, "&lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(resident, step, changes, words) -> None:
    answer = resident.form("/request/new", **{**FORM, "step": step, **changes})
    assert answer.status_code == 422
    assert words in answer.text
    assert "<script>" not in answer.text
    for name, value in FORM.items():
        if name not in changes and value:
            assert f'value="{value}"' in answer.text or f">\n{value}</textarea>" in answer.text


def test_what_is_wrong_on_an_earlier_page_leads_back_to_it(resident) -> None:
    answer = send(resident, official="")
    assert answer.status_code == 422
    assert "З ким Ви зустрічалися?" in answer.text
    back = resident.form("/request/new", **{**FORM, "step": "contact", "go": "back", "name": "??"})
    assert "З ким Ви зустрічалися?" in back.text
    assert 'name="name" value="??"' in back.text


def test_too_many_open_requests_are_explained(resident, archive) -> None:
    for _ in range(archive.settings.open_requests_per_contact):
        register(resident)
    answer = send(resident)
    assert answer.status_code == 422
    assert "більше відкритих запитів подати не можна" in answer.text


def test_a_form_of_another_site_is_refused(url) -> None:
    with Client(base_url=url) as stranger:
        assert stranger.post("/request/new", data={**FORM, "step": "check", "go": "send"}).status_code == 403
        assert stranger.post("/status", data={"number": "1", "pin": "2"}).status_code == 403
