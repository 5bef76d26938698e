"""What no page of ours sends: numbers, years and bodies beyond every bound; none of it is a defect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

HUGE = "9" * 30
CLIP = "/api/v1/rooms/108/clip.mp4"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{CLIP}?ground=fault_check&from=9999-12-31T23:00:00Z&to=9999-12-31T23:59:59Z", 400),
        (f"{CLIP}?ground=fault_check&from=0001-01-01T00:00:00Z&to=0001-01-02T00:00:00Z", 400),
        (f"{CLIP}?ground=hold:{HUGE}&from=2026-11-20T08:00:00Z&to=2026-11-20T08:01:00Z", 422),
        ("/api/v1/segments?room=108&from=9999-12-31T23:00:00Z&to=9999-12-31T23:59:59Z", 400),
        ("/api/v1/rooms/108/coverage?date=9999-12-31", 400),
        ("/api/v1/rooms/108/coverage?date=0001-01-01", 400),
        ("/staff/rooms/108/day?date=9999-12-31", 400),
        ("/staff/rooms/108/day?date=0001-01-01", 400),
        ("/staff/custody?date=9999-12-31", 400),
        ("/staff/custody.csv?date=0001-01-01", 400),
        (f"/staff/custody?before={HUGE}", 422),
        (f"/staff/certificates/{HUGE}", 422),
        (f"/staff/certificates/{HUGE}/document.json", 422),
        (f"/staff/certificates/{HUGE}/document.pdf", 422),
    ],
)
def test_numbers_and_years_beyond_any_archive(admin, path, status) -> None:
    assert admin.get(path).status_code == status


def test_a_body_for_agents_is_bounded_before_anybodys_token_is_checked(admin) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 2**20

    answer = admin.post("/ingest/v1/rooms/108/heartbeat", content=body())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "wrong",
    [
        '"since_us": "yesterday"',
        f'"since_us": {HUGE}',
        '"since_us": -1',
        '"since_us": 1.5',
        '"cause": ["a"]',
        '"detail": {}',
    ],
)
def test_one_agent_cannot_break_the_board_of_all_rooms(admin, agent, wrong) -> None:
    answer = beat(admin, agent, wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_what_an_agent_says_beside_may_be_anything(admin, agent) -> None:
    assert beat(admin, agent, r'"x": "\ud800", "y": NaN, "z": 1e999').status_code == 200
    for path in ("/api/v1/rooms", "/staff/board"):
        assert admin.get(path).status_code == 200


def beat(admin, agent, member: str):
    text = '{"agent_version": "x", "at_us": 1, "state": "recording", ' + member + "}"
    headers = {"Authorization": f"Bearer {agent.key.token}", "Content-Type": "application/json"}
    return admin.post("/ingest/v1/rooms/108/heartbeat", content=text.encode(), headers=headers)


@pytest.mark.parametrize("depth", [100, 400, 900, 5000])
def test_a_deep_heartbeat_is_answered_and_breaks_no_page(admin, agent, depth) -> None:
    answer = beat(admin, agent, '"x": ' + "[" * depth + "]" * depth)
    assert answer.status_code in (200, 400, 422)
    for path in ("/api/v1/rooms", "/staff/board"):
        assert admin.get(path).status_code == 200


@pytest.mark.parametrize(
    "member", [r'"\ud800": 1', r'"health": {"conditions": [{"\ud800": 1}]}', '"at_us": 1e400']
)
def test_a_strange_heartbeat_is_answered(admin, agent, member) -> None:
    assert beat(admin, agent, member).status_code in (200, 400, 422)
