"""Conditions of rooms, from an agent's heartbeat to the board and to Prometheus."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive.models import RoomStatus
from recorder.health_rules import Condition
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from retrieval_api import wording
from tests.footage import make_archive
from tests.web import Client, serving

TOKEN = "token-of-the-watchers"


def condition(name: str, source: str = "main", **more: Any) -> dict[str, Any]:
    since_us = now_us() - 3 * US_PER_MINUTE
    return {"condition": name, "source": source, "since_us": since_us, "detail": "luma 90 to 91", **more}


def beat(client, agent, *conditions: Any, **more: Any):
    """A heartbeat as the agent sends it; the answer."""
    document = {
        "agent_version": "test",
        "at_us": now_us(),
        "state": "recording",
        "since_us": now_us() - US_PER_MINUTE,
        "spool": {"segments": 3, "bytes": 5_000_000, "oldest_us": now_us() - 90 * US_PER_SECOND},
        "clock": {"uncertainty_us": 2500, "estimated": False},
        "health": {
            "conditions": list(conditions),
            "sources": {"main": {"picture": {"dark": 90}}},
            "host": {"disk_free_bytes": 7 * 10**9, "temperature_c": 51.5},
            "process_rss_bytes": 70_000_000,
        },
        **more,
    }
    headers = {"Authorization": f"Bearer {agent.key.token}"}
    return client.post("/ingest/v1/rooms/108/heartbeat", json=document, headers=headers)


def scraped(client, **headers: str) -> dict[tuple[str, ...], float]:
    """Name and label values in the order of the labels' names → value."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("protokol_"), *(sample.labels[name] for name in sorted(sample.labels))): (
            sample.value
        )
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_condition_has_its_words() -> None:
    assert set(wording.CONDITIONS) == {each.value for each in Condition}
    assert not set(wording.CONDITIONS) & set(wording.CAUSES), "both are anchors of one page"
    told = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
    assert not [each for each in Condition if f"`{each}`" not in told], "and stands in the interface's guide"


def test_a_condition_stands_on_the_board_below_what_does_not_record(client, agent) -> None:
    assert (
        beat(client, agent, condition("picture_covered"), condition("sound_silent", "door")).status_code
        == 200
    )
    client.log_in("operator")
    board = html.unescape(client.get("/staff/board").text)
    assert "△ 1 УВАГА" in board
    assert "△ камера закрита" in board
    assert "△ тиша в мікрофоні (door)" in board
    assert board.index("НЕ ЗАПИСУЄ") < board.index("камера закрита"), "228-А is silent, and that is worse"
    assert "● ЗАПИС" in board, "and it is recording"
    assert 'href="/staff/faults#picture_covered"' in board
    assert 'id="picture_covered"' in client.get("/staff/faults").text
    english = client.get("/staff/board?lang=en").text
    assert "△ the camera is covered" in english
    assert "luma" not in english, "figures are for the log"
    beat(client, agent)
    assert "△" not in client.get("/staff/board").text


def test_a_condition_of_a_newer_agent_is_shown_as_it_is(client, agent) -> None:
    beat(client, agent, condition("smoke"))
    client.log_in("operator")
    assert "△ smoke" in client.get("/staff/board").text


@pytest.mark.parametrize(
    "wrong",
    [
        condition("x" * 40),
        condition("<b>"),
        condition("hot", since_us=-1),
        condition("hot", since_us=2**60),
        condition("hot", source="x" * 40),
        condition("hot", detail=None),
        {"condition": "hot"},
        "hot",
    ],
)
def test_a_condition_that_would_break_the_board_is_refused(client, agent, wrong) -> None:
    assert beat(client, agent, wrong).status_code == 422


@pytest.mark.parametrize("nonsense", [None, "late", {}, {"offset_us": "x", "uncertainty_us": None}])
def test_how_far_sound_is_from_picture_stands_on_the_board_for_the_worst_camera(
    client, agent, nonsense
) -> None:
    sources = {
        "main": {"sync": {"offset_us": 400, "uncertainty_us": 3_000}},
        "door": {"sync": {"offset_us": -12_300, "uncertainty_us": 4_200}},
        "hall": {"sync": nonsense},
    }
    assert beat(client, agent, sources=sources).status_code == 200
    client.log_in("operator")
    assert "звук і зображення: -12 ± 5 мс" in html.unescape(client.get("/staff/board").text)
    assert "sound and picture: -12 ± 5 ms" in html.unescape(client.get("/staff/board?lang=en").text)
    beat(client, agent, sources={"main": {"sync": nonsense}})
    assert "звук і зображення" not in html.unescape(client.get("/staff/board?lang=uk").text)


def test_what_a_silent_agent_told_last_is_forgotten(archive, client, agent) -> None:
    beat(client, agent, condition("hot", ""))
    assert scraped(client)["room_condition", "hot", "108", ""] == 1
    with archive.database.transaction() as session:
        row = session.get(RoomStatus, "108")
        row.received_us -= 2 * US_PER_MINUTE
    client.log_in("operator")
    assert "△" not in client.get("/staff/board").text
    figures = scraped(client)
    assert figures["room_up", "108"] == 0
    assert not any(key[0] in ("room_condition", "room_spool_bytes") for key in figures)
    assert figures["room_heartbeat_age_seconds", "108"] >= 120


def test_rooms_and_archive_in_figures(client, agent) -> None:
    agent.record(now_us() - 30 * US_PER_MINUTE)
    beat(client, agent, condition("picture_black"), condition("disk_low", ""))
    figures = scraped(client)
    assert figures["room_up", "108"] == 1
    assert figures["room_up", "228-a"] == 0
    states = {key[2]: value for key, value in figures.items() if key[:2] == ("room_state", "108")}
    assert states == {"recording": 1, "closed": 0, "fault": 0}
    assert figures["room_state", "228-a", "fault"] == 1
    assert figures["room_condition", "picture_black", "108", "main"] == 1
    assert figures["room_condition", "disk_low", "108", ""] == 1
    assert figures["room_spool_entries", "108"] == 3
    assert figures["room_spool_bytes", "108"] == 5_000_000
    assert 90 <= figures["room_spool_oldest_age_seconds", "108"] < 150
    assert figures["room_clock_uncertainty_seconds", "108"] == 0.0025
    assert figures["room_disk_free_bytes", "108"] == 7 * 10**9
    assert figures["room_temperature_celsius", "108"] == 51.5
    assert 60 <= now_us() / US_PER_SECOND - figures["room_recording_since_seconds", "108"] < 120
    assert figures["archive_room_days", "open"] >= 1
    assert figures["archive_holds",] == 0


def test_figures_of_the_wrong_kind_are_left_out(client, agent) -> None:
    answer = beat(client, agent, spool="full", clock={"uncertainty_us": 10**400}, health={"host": [1]})
    assert answer.status_code == 200
    figures = scraped(client)
    assert figures["room_up", "108"] == 1
    assert not any(key[0].startswith(("room_spool", "room_clock", "room_disk")) for key in figures)


def test_without_a_token_only_this_host_may_ask(client) -> None:
    for header in ("X-Forwarded-For", "Forwarded"):
        answer = client.get("/metrics", headers={header: "192.0.2.7"})
        assert answer.status_code == 403
        assert answer.json()["code"] == "metrics_local"


def test_with_a_token_only_who_bears_it(tmp_path) -> None:
    made = make_archive(tmp_path, metrics_token=TOKEN)
    with serving(made) as url, Client(base_url=url, timeout=30) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            assert client.get("/metrics", headers=headers).status_code == 401
        assert scraped(client, Authorization=f"Bearer {TOKEN}")["room_up", "108"] == 0
    made.close()
