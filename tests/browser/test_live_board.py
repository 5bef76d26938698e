"""The board in a real browser: it changes by itself, and takes nothing from who uses it meanwhile."""

from __future__ import annotations

import base64
import re
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Route, expect

from recorder.instants import now_us
from tests.browser.looking import PHONE, assert_fits, desktop_only, log_in, violations
from tests.footage import FakeAgent

pytestmark = pytest.mark.browser
ROOM = "228-a"


class Room:
    """The room's agent as the server hears it."""

    def __init__(self, site) -> None:
        self._url = f"{site.url}/ingest/v1/rooms/{ROOM}/heartbeat"
        self._token = FakeAgent(site.archive, ROOM).key.token

    def beat(self, *, peak: int = -20, **more: Any) -> dict[str, Any]:
        document = {
            "agent_version": "test",
            "at_us": now_us(),
            "state": "recording",
            "since_us": now_us(),
            "health": {"conditions": [], "sources": {"main": {"levels": [[-50, -40], [peak - 9, peak]]}}},
            "clock": {"uncertainty_us": 2500, "estimated": False},
            "pictures": {"main": {"at_us": now_us(), "blurred": _jpeg(24, 14), "clear": _jpeg(320, 180)}},
            **more,
        }
        answer = httpx.post(self._url, json=document, headers={"Authorization": f"Bearer {self._token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()


def _jpeg(width: int, height: int) -> str:
    shades = np.tile(np.linspace(40, 220, width).astype(np.uint8), (height, 1))
    return base64.b64encode(cv2.imencode(".jpg", shades)[1].tobytes()).decode()


@pytest.fixture
def room(site):
    made = Room(site)
    made.beat()
    return made


def test_the_board_changes_by_itself_and_the_keyboard_stays_where_it_is(page, room) -> None:
    log_in(page, "operator")
    tile = page.locator(f"#tile-{ROOM}")
    expect(tile.locator(".meter-peak")).to_contain_text("−20")
    assert tile.locator(".picture").evaluate("picture => picture.naturalWidth") == 24
    assert not violations(page)
    assert_fits(page)
    link = page.locator(f"#day-{ROOM}")
    link.focus()
    page.evaluate("window.mark = true")
    link.evaluate("link => link.mark = true")
    room.beat(peak=-3)
    expect(tile.locator(".meter-peak")).to_contain_text("−3")
    assert page.evaluate("window.mark && document.activeElement.mark"), "neither the page nor the link is new"
    expect(page.locator("#said-fault")).to_be_empty()
    room.beat(state="fault", cause="camera_stalled")
    expect(page.locator("#said-fault")).to_have_text("228-А не записує: камера зависла")
    expect(page).to_have_title(re.compile(r"^▲ \d не запису(є|ють) · Protokol$"))
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/static/icon-fault.svg")
    assert page.evaluate("window.mark && document.activeElement.id") == f"day-{ROOM}"
    assert page.locator(".fault-row").first.bounding_box()["y"] < 400, "above everything else"
    assert not violations(page)
    assert_fits(page)
    room.beat()
    expect(page.locator(f".room#tile-{ROOM}")).to_be_visible()


@desktop_only
def test_a_board_that_lost_the_server_says_so(page, room) -> None:
    """Without a stream it asks by itself; when that fails, it says so."""
    page.route("**/staff/board/events", lambda route: route.abort())
    log_in(page, "operator")
    room.beat(peak=-7)
    expect(page.locator(f"#tile-{ROOM} .meter-peak")).to_contain_text("−7", timeout=12_000)
    expect(page.locator("#stale")).to_be_hidden()
    page.route("**/staff/board", lambda route: route.abort())
    expect(page.locator("#stale")).to_be_visible(timeout=12_000)
    page.unroute("**/staff/board")
    expect(page.locator("#stale")).to_be_hidden(timeout=12_000)


@desktop_only
def test_a_board_whose_session_ended_leads_to_the_log_in(page, room) -> None:
    log_in(page, "operator")
    other = page.context.new_page()
    other.goto("/staff/board")
    asked: list[Route] = []
    page.route("**/staff/board", lambda route: asked.append(route))  # noqa: PLW0108 it refuses builtins
    other.get_by_role("button", name="Вийти").click()
    page.wait_for_timeout(3000)
    assert [route.request.is_navigation_request() for route in asked] == [True], "once, as a whole page"
    asked[0].continue_()
    page.wait_for_url("**/staff/login?next=%2Fstaff%2Fboard")


@pytest.mark.parametrize("page", [pytest.param(PHONE, id="phone")], indirect=True)
def test_a_fault_is_looked_at_after_a_question(page, room) -> None:
    log_in(page, "operator")
    page.locator(f"#look-{ROOM}").click()
    assert not violations(page)
    assert_fits(page)
    page.get_by_role("button", name="Показати чітко").click()
    picture = page.locator(".look img")
    expect(page.locator(".look-wait")).to_be_visible()
    assert room.beat()["pictures"]["clear_s"] > 100
    room.beat()
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.naturalWidth") == 320
    expect(page.locator(".look-at")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    assert not violations(page)
    assert_fits(page)
