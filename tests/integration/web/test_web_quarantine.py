"""What was refused is shown to those whom it concerns, in their language, and is not opened."""

from __future__ import annotations

import typing

import pytest

from archive import quarantine
from recorder.instants import now_us
from retrieval_api import accounts
from retrieval_api.quarantine_wording import REASONS, words
from tests.footage import SECOND, FakeAgent, make_archive, unsigned
from tests.web import PASSWORD, Client, serving


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    made = make_archive(tmp_path_factory.mktemp("quarantine"))
    for role in ("operator", "admin", "auditor", "clerk", "reviewer"):
        accounts.add(made, role, role, PASSWORD, "cli:0", now_us())
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(archive):
    with serving(archive) as address:
        yield address


def refuse(archive) -> None:
    agent = FakeAgent(archive)
    signed, body = agent.segment(now_us() - 5 * SECOND)
    assert agent.send(unsigned(signed), body).outcome == "quarantined"


def test_the_page_and_the_board_tell_of_what_was_refused(archive, url):
    with Client(base_url=url) as client:
        client.log_in("operator")
        assert "У карантині нічого немає" in client.get("/staff/quarantine").text
        assert '/staff/quarantine">Переглянути' not in client.get("/staff/board").text
        refuse(archive)
        page = client.get("/staff/quarantine").text
        assert "Підпис не збігається з ключем кабінету" in page
        assert "bad_signature" in page
        board = client.get("/staff/board").text
        assert "Архів не прийняв 1 запис" in board
        # Nobody records here: that comes first.
        assert board.rindex("fault-row") < board.index("Архів не прийняв")
        assert "signature does not match" in client.get("/staff/quarantine?lang=en").text
        assert "/objects" not in page


@pytest.mark.parametrize(
    ("role", "status"), [("auditor", 200), ("admin", 200), ("clerk", 403), ("reviewer", 403)]
)
def test_it_is_for_those_whom_it_concerns(url, role, status):
    with Client(base_url=url) as client:
        assert client.get("/staff/quarantine", follow_redirects=False).status_code == 303
        client.log_in(role)
        assert client.get("/staff/quarantine").status_code == status


def test_many_are_shown_in_parts(archive, url):
    for _ in range(52):
        refuse(archive)
    with Client(base_url=url) as client:
        client.log_in("admin")
        first = client.get("/staff/quarantine").text
        assert first.count("<details>") == 50
        older = first.split("?before=")[1].split('"')[0]
        assert 1 <= client.get(f"/staff/quarantine?before={older}").text.count("<details>") < 50


def test_every_code_has_words():
    assert set(REASONS) == {*typing.get_args(quarantine.Code), "other"}
    assert words("of a later version") == REASONS["other"]
