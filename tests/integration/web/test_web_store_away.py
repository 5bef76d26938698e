"""A store that is wholly away, as agents and readers meet it."""

from __future__ import annotations

import httpx
import pytest

from archive.store import StoreAwayError
from recorder.instants import format_instant, now_us
from recorder.shipper import Retry, judge
from recorder.uplink import Uplink
from retrieval_api.app import create_app
from tests.custody_log import viewings
from tests.event_loops import run_apart
from tests.footage import SECOND, FakeAgent, make_archive
from tests.web import Client, add_staff, serving


@pytest.fixture
def archive(tmp_path):
    made = make_archive(tmp_path)
    add_staff(made)
    yield made
    made.close()


@pytest.fixture
def recorded(archive):
    agent = FakeAgent(archive)
    start_us = now_us() // SECOND * SECOND - 60 * SECOND
    agent.record(start_us)
    return agent, start_us


def test_an_agent_tries_again_and_a_reader_is_told(archive, recorded, tmp_path):
    agent, start_us = recorded
    root = archive.store.raw.root
    signed, body = agent.segment(start_us + 2 * SECOND)
    file = tmp_path / "segment.mp4"
    file.write_bytes(body)
    path = f"/ingest/v1/rooms/108/segments/{signed.manifest.segment_id}"
    clip = "/api/v1/rooms/108/clip.mp4"
    asked = {"from": format_instant(start_us), "to": format_instant(start_us + 2 * SECOND), "ground": "audit"}
    with serving(archive) as url, Client(base_url=url, timeout=60) as client:
        client.log_in("auditor")
        root.rename(tmp_path / "unmounted")
        uplink = Uplink(url, agent.key.token)
        answer = uplink.put_file(path, {"Protokol-Manifest": signed.header}, file)
        assert (answer.status, answer.document["code"], answer.retry_after_s) == (503, "store_away", 15)
        verdict = judge(answer)
        assert isinstance(verdict, Retry)
        assert verdict.after_s == 15
        assert not verdict.damaged
        told = client.get(clip, params=asked)
        assert (told.status_code, told.json()["code"]) == (503, "store_away")
        assert told.headers["Retry-After"] == "15"
        assert viewings(archive) == 0, "a viewing is told of what was shown to nobody"
        # What needs no footage goes on.
        assert client.get("/staff/board").status_code == 200
        assert not root.exists()

        (tmp_path / "unmounted").rename(root)
        answer = uplink.put_file(path, {"Protokol-Manifest": signed.header}, file)
        uplink.close()
        assert answer.document["outcome"] == "accepted"
        assert client.get(clip, params=asked).status_code == 200
        assert viewings(archive) == 1


@pytest.mark.parametrize(
    ("language", "words"),
    [("uk", "Сховище записів зараз недоступне"), ("en", "The store of recordings is not available")],
)
def test_a_page_says_it_in_the_readers_language(archive, language, words):
    app = create_app(archive)

    @app.get("/staff/looking")
    def look() -> None:
        raise StoreAwayError("cannot read x: Input/output error")

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/staff/looking", params={"lang": language})

    page = run_apart(ask())
    assert (page.status_code, page.headers["Retry-After"]) == (503, "15")
    assert words in page.text
    assert "Input/output" not in page.text
