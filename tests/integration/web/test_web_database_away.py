"""A PostgreSQL that is away, or locked, or does not take a text, as agents and readers meet it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from recorder.instants import now_us
from recorder.shipper import Retry, judge
from recorder.uplink import Uplink
from tests.footage import SECOND, FakeAgent, make_archive
from tests.postgresql import private_server
from tests.web import Client, add_staff, serving

TOKEN = "a token of the alert system"


@pytest.fixture(scope="module")
def server():
    """One that may be stopped: no other test's."""
    with private_server() as made:
        yield made


@pytest.fixture
def archive(server, tmp_path):
    with server.database(migrated=False) as index_url:
        # Of two given, the last one counts: who waits here for a lock is not to wait half a minute.
        patience = "&options=-c%20lock_timeout%3D200ms"
        made = make_archive(tmp_path, database_url=index_url + patience, marks_token=TOKEN)
        add_staff(made)
        yield made
        made.close()


def put(url, agent, tmp_path):
    """A segment as the agent's own client sends it; the answer."""
    signed, body = agent.segment(now_us() - 10 * SECOND)
    file = tmp_path / "segment.mp4"
    file.write_bytes(body)
    uplink = Uplink(url, agent.key.token)
    try:
        path = f"/ingest/v1/rooms/108/segments/{signed.manifest.segment_id}"
        return uplink.put_file(path, {"Protokol-Manifest": signed.header}, file)
    finally:
        uplink.close()


def test_an_agent_tries_again_and_a_reader_is_told(archive, server, tmp_path):
    agent = FakeAgent(archive)
    with serving(archive) as url, Client(base_url=url, timeout=60) as client:
        client.log_in("clerk")
        server.stop()
        answer = put(url, agent, tmp_path)
        assert (answer.status, answer.retry_after_s) == (503, 5)
        assert answer.document["code"] == "database_away"
        verdict = judge(answer)
        assert isinstance(verdict, Retry)
        assert verdict.after_s == 5
        for path in ("/staff/board", "/staff/login", "/notice/108"):
            page = client.get(path)
            assert page.status_code == 503, path
            assert "Сервіс тимчасово недоступний" in page.text
            assert page.headers["Retry-After"] == "5"
        assert "not available" in client.get("/notice/108?lang=en").text
        assert client.get("/nowhere").status_code == 404
        server.start()
        assert client.get("/staff/board").status_code == 200


def test_a_lock_that_is_not_let_go_is_an_answer_too(archive, tmp_path):
    agent = FakeAgent(archive)
    with serving(archive) as url:
        with archive.database.transaction() as session:
            session.execute(text("LOCK TABLE custody_head IN ACCESS EXCLUSIVE MODE"))
            answer = put(url, agent, tmp_path)
        assert (answer.status, answer.document["code"]) == (503, "database_away")


def test_a_text_with_nul_is_the_senders_to_mend(archive):
    with serving(archive) as url, Client(base_url=url, timeout=60) as client:
        message = {"kind": "other", "note": "a\0b"}
        answer = client.post("/api/v1/marks", json=message, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.json()["code"]) == (400, "unstorable")
        client.log_in("admin")
        page = client.get("/staff/custody?subject=a%00b")
        assert page.status_code == 400
        assert "Цей текст не можна зберегти" in page.text
