"""A real server process, killed, filled and fed rubbish while a segment is on its way."""

from __future__ import annotations

import json

import httpx
import pytest

from bench.warm import environment
from recorder.instants import format_instant, now_us
from tests.footage import ROOMS, SECOND
from tests.processes import free_port, protokol, protokol_json, server
from tests.remote_agent import RemoteAgent


@pytest.fixture
def env(tmp_path):
    (tmp_path / "rooms.yaml").write_text(ROOMS, "utf-8")
    return environment(tmp_path, free_port())


def test_killed_during_an_upload_nothing_is_acknowledged_and_nothing_is_lost(env, tmp_path):
    remote = RemoteAgent(tmp_path, env)
    began_us = now_us() - 10 * SECOND
    first, body = remote.agent.segment(began_us)
    second, other = remote.agent.segment(began_us + 2 * SECOND)
    with server(env, tmp_path / "log") as process:
        assert remote.put(first, body).json()["outcome"] == "accepted"
        connection = remote.half(second, other)
        process.kill9()
        connection.close()
    protokol(env, "archive", "check", "--deep")
    with server(env, tmp_path / "log"):
        assert remote.put(second, other).status_code == 201
        again = remote.put(second, other)
        assert (again.status_code, again.json()["outcome"]) == (200, "accepted")
    protokol(env, "archive", "check", "--deep")
    assert list((tmp_path / "footage").glob("**/.incoming-*")) == []
    span = ("--from", format_instant(first.manifest.start_us), "--to", format_instant(now_us()))
    found = protokol_json(env, "archive", "search", "--room", "108", *span)
    assert [segment["id"] for segment in found["segments"]] == [
        first.manifest.segment_id,
        second.manifest.segment_id,
    ]


def test_cut_off_and_altered_bodies_are_not_acknowledged(env, tmp_path):
    remote = RemoteAgent(tmp_path, env)
    signed, body = remote.agent.segment(now_us() - 10 * SECOND)
    with server(env, tmp_path / "log"):
        remote.half(signed, body).close()
        altered = body[:500] + bytes([body[500] ^ 1]) + body[501:]
        answer = remote.put(signed, altered)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("digest_mismatch")
        assert remote.put(signed, body).status_code == 201
    protokol(env, "archive", "check", "--deep")


def test_a_full_disk_is_an_answer_that_is_not_terminal(env, tmp_path, tiny_disk):
    env["PROTOKOL_STORE_URL"] = str(tiny_disk / "footage")
    remote = RemoteAgent(tmp_path, env)
    (tiny_disk / "ballast").write_bytes(b"\0" * (3_900_000))
    signed, body = remote.agent.segment(now_us() - 20 * SECOND, seconds=5)
    with server(env, tmp_path / "log"):
        answer = remote.put(signed, body)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (507, "store_full")
        (tiny_disk / "ballast").unlink()
        assert remote.put(signed, body).json()["outcome"] == "accepted"
    protokol(env, "archive", "check", "--deep")


def test_strangers_and_rubbish_get_a_problem_and_leave_nothing(env, tmp_path):
    remote = RemoteAgent(tmp_path, env)
    signed, body = remote.agent.segment(now_us() - 10 * SECOND)
    url = f"{env['PROTOKOL_SERVER_URL']}/ingest/v1/rooms/108"
    with server(env, tmp_path / "log"):
        no_token = httpx.put(f"{url}/segments/{signed.manifest.segment_id}", content=body)
        assert no_token.status_code in {401, 422}
        wrong = httpx.put(
            f"{url}/segments/x", content=body, headers={**remote.headers(signed), "Authorization": "Bearer x"}
        )
        assert wrong.status_code == 401
        beat = httpx.post(f"{url}/heartbeat", content=b"{", headers=remote.headers(signed))
        assert beat.status_code == 422
        huge = {"agent_version": "1", "at_us": 1, "state": "recording", "detail": "x" * 100_000}
        assert httpx.post(f"{url}/heartbeat", json=huge, headers=remote.headers(signed)).status_code == 413
        fine = {"agent_version": "1", "at_us": now_us(), "state": "recording"}
        answer = httpx.post(f"{url}/heartbeat", json=fine, headers=remote.headers(signed)).json()
    assert json.loads(answer["configuration"])["room"]["id"] == "108"
    assert protokol_json(env, "archive", "stats")["segments"] == 0


def test_sigterm_ends_the_server_in_order_with_exit_code_0(env, tmp_path):
    with server(env, tmp_path / "log") as process:
        assert process.terminate() == 0
        assert '"stopped"' in process.said()
