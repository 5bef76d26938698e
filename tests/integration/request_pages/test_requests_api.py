"""Requests by programs."""

from __future__ import annotations

from archive.models import Hold, Request
from tests.integration.request_pages.site import approve, count, register, rows_of
from tests.requesting import APPLICATION, application


def test_programs_register_and_ask(resident, operator, archive) -> None:
    body = {
        "date": "2026-11-20",
        "about": "hour",
        "time": "10:30",
        "official": "відділ субсидій",
        "purpose": "скарга",
        "name": "Іван",
        "contact_kind": "email",
        "contact": "ivan@example.com",
    }
    answer = resident.post("/api/v1/requests", json=body)
    assert answer.status_code == 201, answer.text
    registered = answer.json()
    assert registered["answer_due"] == "2026-11-30"
    assert count(archive, Hold) == 2, "without a room, every room"
    asked = f"/api/v1/requests/{registered['number']}/status"
    state = resident.post(asked, json={"pin": registered["pin"]}).json()
    assert (state["status"], state["outcome"]) == ("registered", None)
    approve(operator, registered["number"])
    state = resident.post(asked, json={"pin": registered["pin"]}).json()
    assert (state["status"], state["outcome"]) == ("decided", "released")
    assert state["available_until"] == "2026-12-23"
    wrong = resident.post(asked, json={"pin": "00000000"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_pin")
    bad = resident.post("/api/v1/requests", json={**body, "date": "2026-10-22", "official": ""})
    assert bad.status_code == 422
    assert [fault["field"] for fault in bad.json()["faults"]] == ["date", "official"]
    assert resident.post("/api/v1/requests", json={**body, "purpose": "я" * 1_000_000}).status_code == 422


def test_the_applications_of_the_tests_are_what_the_pages_make(resident, archive) -> None:
    """The life of a request is tested on values; the form must give the same ones."""
    number, _ = register(resident)
    (request,) = rows_of(archive, Request)
    assert (request.number, request.room) == (number, APPLICATION.room)
    assert (request.asked_start_us, request.asked_end_us) == (
        application().interval.start_us,
        application().interval.end_us,
    )
