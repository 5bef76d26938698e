"""What was refused is shown to those whom it concerns, in their language, and is not opened."""

from __future__ import annotations

import typing

import pytest

from archive import quarantine
from recorder.instants import now_us
from retrieval_api.quarantine_wording import REASONS, words
from tests.footage import SECOND, FakeAgent, unsigned


def refuse(archive) -> None:
    agent = FakeAgent(archive)
    signed, body = agent.segment(now_us() - 5 * SECOND)
    assert agent.send(unsigned(signed), body).outcome == "quarantined"


def test_the_page_and_the_board_tell_of_what_was_refused(archive, operator):
    assert "У карантині нічого немає" in operator.get("/staff/quarantine").text
    assert '/staff/quarantine">Переглянути' not in operator.get("/staff/board").text
    refuse(archive)
    page = operator.get("/staff/quarantine").text
    assert "Підпис не збігається з ключем кабінету" in page
    assert "bad_signature" in page
    board = operator.get("/staff/board").text
    assert "Архів не прийняв 1 запис" in board
    # Nobody records here: that comes first.
    assert board.rindex("fault-row") < board.index("Архів не прийняв")
    assert "signature does not match" in operator.get("/staff/quarantine?lang=en").text
    assert "/objects" not in page


def test_the_log_of_actions_tells_why_in_words_and_quotes_the_archive(archive, admin):
    refuse(archive)
    log = admin.get("/staff/custody?machines=true").text
    assert ">код:</span> підпис не збігається з ключем кабінету</span>" in log
    assert '>причина:</span> <span lang="en">' in log


@pytest.mark.parametrize(
    ("role", "status"), [("auditor", 200), ("admin", 200), ("clerk", 403), ("reviewer", 403)]
)
def test_it_is_for_those_whom_it_concerns(client, role, status):
    assert client.get("/staff/quarantine", follow_redirects=False).status_code == 303
    client.log_in(role)
    assert client.get("/staff/quarantine").status_code == status


def test_many_are_shown_in_parts(archive, admin):
    for _ in range(52):
        refuse(archive)
    first = admin.get("/staff/quarantine").text
    assert first.count("<details>") == 50
    older = first.split("?before=")[1].split('"')[0]
    assert 1 <= admin.get(f"/staff/quarantine?before={older}").text.count("<details>") < 50


def test_every_code_has_words():
    assert set(REASONS) == {*typing.get_args(quarantine.Code), "other"}
    assert words("of a later version") == REASONS["other"]
