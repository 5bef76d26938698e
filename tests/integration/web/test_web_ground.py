"""The ground of the visit: stated once, kept in the session, never wider than the role and the purpose."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from sqlalchemy import select

from archive.models import LoginSession
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, now_us
from tests.custody_log import events
from tests.footage import FakeAgent
from tests.web import Client, logged_in


@pytest.fixture(scope="module")
def clip(archive) -> str:
    start_us = (now_us() - 30 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
    FakeAgent(archive).record(start_us)
    start, end = (quote(format_instant(at, "Europe/Kyiv")) for at in (start_us, start_us + 2 * US_PER_SECOND))
    return f"/api/v1/rooms/108/clip.mp4?from={start}&to={end}"


def state(client: Client, ground: str, reference: str = "", **more: str):
    return client.form("/staff/ground", ground=ground, reference=reference, **more)


def test_a_ground_stated_once_opens_until_the_visit_ends(archive, operator, clip) -> None:
    assert operator.get(clip).status_code == 428
    stated = state(operator, "fault_check", next="/staff/rooms/108/day?date=2026-11-20")
    assert (stated.status_code, stated.headers["Location"]) == (303, "/staff/rooms/108/day?date=2026-11-20")
    assert operator.get(clip).status_code == 200
    assert json.loads(events(archive, "view_opened")[-1].details)["ground"] == "fault_check"
    assert 'value="fault_check" required checked' in operator.get("/staff/ground").text
    # A visit is a log-in: the next one has stated nothing yet.
    operator.form("/staff/ground", "/staff/logout")
    assert operator.log_in("operator").status_code == 303
    assert operator.get(clip).status_code == 428


def test_a_ground_of_the_request_goes_before_the_visits(operator, clip) -> None:
    state(operator, "fault_check")
    assert operator.get(f"{clip}&ground=request:2026-000000").status_code == 422
    assert operator.get(f"{clip}&ground=audit").status_code == 403
    assert operator.get(clip).status_code == 200


def test_what_cannot_be_a_ground_changes_nothing(archive, operator, clip) -> None:
    state(operator, "fault_check")
    for kind, reference in (("request", "2026-000000"), ("hold", "999"), ("hold", ""), ("curiosity", "")):
        refused = state(operator, kind, reference, next="/staff/faults")
        assert refused.status_code == 422, kind
        assert "Такої підстави немає" in refused.text
        assert 'value="/staff/faults"' in refused.text, "what was filled in stays"
    assert state(operator, "audit").status_code == 403
    assert operator.post("/staff/ground", data={"ground": "fault_check"}).status_code == 403
    with archive.database.reading() as session:
        kept = session.scalars(select(LoginSession.ground).where(LoginSession.ground.is_not(None))).all()
    assert set(kept) == {"fault_check"}
    assert operator.get(clip).status_code == 200


def test_a_kept_ground_opens_no_more_than_one_that_is_stated(archive, operator, clip) -> None:
    """Another visit's role, and a purpose that ended meanwhile, are asked at each opening."""
    state(operator, "fault_check")
    with archive.database.transaction() as session:
        for row in session.scalars(select(LoginSession).where(LoginSession.ground.is_not(None))):
            row.ground = "audit"
    assert operator.get(clip).status_code == 403


def test_no_other_site_can_be_gone_on_to(operator) -> None:
    for target in ("https://example.org/", "//example.org", "/staff/\\example.org", ""):
        assert state(operator, "fault_check", next=target).headers["Location"] == "/staff/board"


def test_roles_without_footage_state_no_ground(url) -> None:
    with logged_in(url, "clerk") as clerk:
        assert clerk.get("/staff/ground").status_code == 403
    with Client(base_url=url) as stranger:
        assert stranger.get("/staff/ground").headers["Location"].startswith("/staff/login")
