"""What a resident fills in, and what the page answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.instants import to_us
from recorder.rooms import parse_rooms, shipped_rooms_text
from retrieval_api.requests.application import (
    ALL_FIELDS,
    Application,
    Circumstances,
    ContactKind,
    Step,
    clean,
    complete,
    normal_phone,
    problems,
    shown_again,
)

WORLD = Circumstances(parse_rooms(shipped_rooms_text()), to_us(datetime(2026, 11, 23, 12, 0, tzinfo=UTC)))
GOOD = {
    "room": "108",
    "date": "20.11.2026",
    "about": "half_hour",
    "time": "10:30",
    "official": "Олена Коваль, відділ субсидій",
    "purpose": "оскаржити рішення",
    "name": "Іван Петренко",
    "contact_kind": "phone",
    "email": "",
    "phone": "067 123-45-67",
}


def _wrong(**changes: str) -> dict[str, str]:
    """Field → sentence for GOOD with changes."""
    values = clean({**GOOD, **changes})
    found = [problem for step in Step for problem in problems(step, values, WORLD)]
    return {problem.field: problem.message % problem.values for problem in found}


def test_a_right_form_becomes_an_application() -> None:
    application = complete(clean(GOOD), WORLD)
    assert isinstance(application, Application)
    assert (application.room, application.contact) == ("108", "+380671234567")


def test_without_the_room_and_in_person() -> None:
    form = {**GOOD, "room": "unknown", "contact_kind": "person", "phone": "", "about": "morning", "time": ""}
    application = complete(clean(form), WORLD)
    assert isinstance(application, Application)
    assert application.room is None
    assert application.contact_kind is ContactKind.PERSON
    assert application.contact == ""


def test_a_latin_look_alike_finds_the_room() -> None:
    application = complete(clean({**GOOD, "room": "228-A"}), WORLD)
    assert isinstance(application, Application)
    assert application.room == "228-a"


@pytest.mark.parametrize(
    ("changes", "field", "word"),
    [
        ({"room": ""}, "room", "Виберіть кабінет"),
        ({"room": "999"}, "room", "«999»"),
        ({"date": ""}, "date", "дату"),
        ({"date": "20 листопада"}, "date", "20.11.2026"),
        ({"date": "24.11.2026"}, "date", "не настала"),
        ({"date": "22.10.2026"}, "date", "знищено 22.11.2026 о 00:00"),
        ({"about": ""}, "about", "наскільки точно"),
        ({"time": ""}, "time", "10:30"),
        ({"time": "пополудні"}, "time", "10:30"),
        ({"date": "23.11.2026", "time": "15:00"}, "time", "ще не настав"),
        ({"official": ""}, "official", "з ким"),
        ({"purpose": "   "}, "purpose", "для чого"),
        ({"purpose": "я" * 1_000_000}, "purpose", "1000000"),
        ({"room": "я" * 1_000_000}, "room", "немає у списку"),
        ({"date": "1" * 1_000_000}, "date", "прочитати дату"),
        ({"name": "\x1b[31m"}, "name", "невидимі"),
        ({"contact_kind": "pigeon"}, "contact_kind", "відповісти"),
        ({"phone": "12"}, "phone", "067"),
        ({"contact_kind": "email", "email": "ivan@"}, "email", "example.com"),
        ({"contact_kind": "email", "email": "a@b.c\nBcc: x@y.z"}, "email", "example.com"),
        ({"contact_kind": "email", "email": ""}, "email", "адресу"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(changes: dict[str, str], field: str, word: str) -> None:
    found = _wrong(**changes)
    assert list(found) == [field]
    assert word in found[field]


def test_every_problem_of_every_page_is_told_at_once() -> None:
    found = complete(clean({}), WORLD)
    assert isinstance(found, list)
    assert [each.field for each in found] == [
        "room",
        "date",
        "about",
        "official",
        "purpose",
        "name",
        "contact_kind",
    ]


@given(st.dictionaries(st.sampled_from(ALL_FIELDS), st.text(max_size=60)))
def test_nothing_that_is_typed_breaks_a_page_or_is_changed(form: dict[str, str]) -> None:
    values = clean(form)
    complete(values, WORLD)
    assert shown_again(values) == {name: form.get(name, "").strip() for name in ALL_FIELDS}


def test_a_pasted_book_is_not_sent_back_whole() -> None:
    assert len(shown_again({"purpose": "я" * 1_000_000})["purpose"]) < 10_000


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("0671234567", "+380671234567"),
        ("+38 (067) 123-45-67", "+380671234567"),
        ("380671234567", "+380671234567"),
        ("+48 601 234 567", "+48601234567"),
        ("067", None),
        ("телефон", None),
        ("+" + "1" * 30, None),
    ],
)
def test_phones(typed: str, normal: str | None) -> None:
    assert normal_phone(typed) == normal
