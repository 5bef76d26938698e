"""The edge of the ingest as agents meet it over HTTP: bounds, and answers that programs read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from archive.upload import MAX_BODY_BYTES
from recorder.instants import now_us
from retrieval_api import admission
from retrieval_api.app import create_app
from tests.event_loops import run_apart
from tests.footage import SECOND, FakeAgent


def put(url: str, agent: FakeAgent, signed, content, **headers: str) -> httpx.Response:
    return httpx.put(
        f"{url}/ingest/v1/rooms/{agent.room}/segments/{signed.manifest.segment_id}",
        content=content,
        headers={
            "Authorization": f"Bearer {agent.key.token}",
            "Protokol-Manifest": signed.header,
            **headers,
        },
        timeout=30,
    )


def test_a_whole_segment_is_taken_in_with_and_without_a_stated_length(archive, url):
    agent = FakeAgent(archive)

    def chunks(body: bytes) -> Iterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    for number in range(2):
        signed, body = agent.segment(now_us() - (9 - 3 * number) * SECOND)
        answer = put(url, agent, signed, body if number else chunks(body))
        assert (answer.status_code, answer.json()["outcome"]) == (201, "accepted")


def test_a_length_beyond_the_limit_is_refused_before_any_of_it_is_sent(archive, url):
    agent = FakeAgent(archive)
    signed, _ = agent.segment(now_us() - 3 * SECOND)
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as sock:
        sock.sendall(
            f"PUT /ingest/v1/rooms/108/segments/{signed.manifest.segment_id} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {agent.key.token}\r\nProtokol-Manifest: {signed.header}\r\n"
            f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode()
        )
        answer = b""
        while piece := sock.recv(65_536):
            answer += piece
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


def test_more_than_the_manifest_states_is_refused_and_leaves_nothing(archive, url):
    agent = FakeAgent(archive)
    signed, body = agent.segment(now_us() - 3 * SECOND)
    before = list(archive.store.names())
    answer = put(url, agent, signed, body + b"x")
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert list(archive.store.names()) == before


def test_headers_without_end_are_refused(url):
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as sock:
        try:
            sock.sendall(b"PUT / HTTP/1.1\r\nX-Long: ")
            for _ in range(1000):
                sock.sendall(b"x" * 100_000)
        except OSError:
            # What the server answered before it hung up may be lost with the connection.
            return
        answer = sock.recv(1000)
    assert b" 400 " in answer


def test_a_room_that_floods_is_told_when_to_come_back(archive):
    agent = FakeAgent(archive)
    app = create_app(archive)
    for _ in range(admission.MAX_UPLOADS):
        app.state.admission.enter("108", now_us())
    signed, body = agent.segment(now_us() - 3 * SECOND)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.put(
                f"/ingest/v1/rooms/108/segments/{signed.manifest.segment_id}",
                content=body,
                headers={
                    "Authorization": f"Bearer {agent.key.token}",
                    "Protokol-Manifest": signed.header,
                },
            )

    answer = run_apart(ask())
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
    assert int(answer.headers["Retry-After"]) >= 1
    for _ in range(admission.MAX_UPLOADS):
        app.state.admission.leave("108", 0)
    assert run_apart(ask()).json()["outcome"] == "accepted"
