"""The day of a room with two cameras: the chosen one is seen, and what leads on from the page keeps to it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from recorder.instants import parse_instant
from simulator.picture import read_frame_number
from tests.browser.day_site import DATE, MONDAY, PLAYS_MS, ROOMS, SECOND, at, empty_archive, go_to, shows
from tests.browser.looking import DESKTOP, PHONE, assert_fits, log_in, violations
from tests.footage import FakeAgent
from tests.mp4_media import Shape
from tests.numbered import FRAME_US, picture_shown, send_run
from tests.web import Clock, add_staff, serving

pytestmark = pytest.mark.browser
TWO = ROOMS.replace(
    '[{name: main, url: "rtsp://127.0.0.1:9/228-a"}]',
    '[{name: main, url: "rtsp://127.0.0.1:9/1"}, {name: door, url: "rtsp://127.0.0.1:9/2"}]',
)
DAY = f"/staff/rooms/228-a/day?date={DATE}"
# The first number of each camera's ten o'clock.
FIRST = {"main": 0, "door": 20_000}


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """`main` records 10:00:00–10:00:12, `door` is away for the middle four seconds of them."""
    archive, clock = empty_archive(tmp_path_factory.mktemp("cameras"), TWO), Clock()
    clock.set_us = parse_instant(f"{MONDAY}+02:00")
    add_staff(archive)
    agent = FakeAgent(archive, "228-a", at("00:00"))
    for agent.source, start_s, seconds in (("main", 0, 12), ("door", 0, 4), ("door", 8, 4)):
        first = FIRST[agent.source] + start_s * SECOND // FRAME_US
        send_run(agent, at("10:00") + start_s * SECOND, Shape(seconds=seconds, first_number=first))
    gap = agent.gap(at("10:00:04"), at("10:00:08"), "camera_stalled")
    assert agent.send(gap).outcome == "accepted"
    with serving(archive, clock) as served:
        yield served
    archive.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport=DESKTOP, base_url=url, locale="uk-UA")
    context.set_default_timeout(PLAYS_MS)
    opened = context.new_page()
    log_in(opened, "auditor")
    yield opened
    context.close()


def assert_seen(page: Page, camera: str, time: str) -> None:
    """The picture is of that camera and of the time that the clock tells."""
    shows(page, time)
    # Before the first picture the clock tells what is being fetched.
    seen, told = picture_shown(page, "[data-video]", "[data-clock]")
    assert told.startswith(time)
    at_us = at(told[:8]) + int(told[9:]) * 1000 - at("10:00")
    assert seen == pytest.approx(FIRST[camera] + at_us // FRAME_US, abs=1), told


def test_the_chosen_camera_is_seen_at_the_same_moment_and_links_keep_it(page: Page) -> None:
    page.goto(f"{DAY}&t=10:00:02")
    assert_seen(page, "main", "10:00:02")
    for key, time in (("i", "10:00:01"), ("o", "10:00:03")):
        go_to(page, time)
        shows(page, time)
        page.keyboard.press(key)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("select[data-source]").select_option("door")
    page.wait_for_url("**source=door*")
    assert_seen(page, "door", "10:00:03")
    expect(page.locator("[data-marked]")).to_have_text(re.compile(r"^10:00:01–10:00:0[34]$"))
    opened = [each for each in asked if re.search(r"day\.m3u8|loudness", each)]
    assert len(opened) == 2
    assert all("source=door" in each for each in opened), opened

    # Why this camera shows nothing there, though the other one does.
    go_to(page, "10:00:06")
    expect(page.locator("[data-said]")).to_contain_text("10:00:04–10:00:08 запису немає: камера зависла")
    assert_seen(page, "door", "10:00:08")
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert_fits(page)
    page.set_viewport_size(DESKTOP)

    link = page.locator("[data-download]").get_attribute("href")
    with av.open(io.BytesIO(page.request.get(link).body())) as clip:
        picture = next(clip.decode(video=0)).to_ndarray(format="gray")
    assert read_frame_number(np.asarray(picture)) >= FIRST["door"]
    for leads in (
        page.get_by_role("link", name=re.compile("чт")),
        page.locator(".stretches a").first,
    ):
        assert "source=door" in leads.get_attribute("href")

    # A link to this moment of this camera, in another visit's hands.
    page.locator("[data-clear]").click()
    go_to(page, "10:00:09")
    shows(page, "10:00:09")
    page.locator("[data-link]").click()
    copied = page.url
    page.goto("/staff/board")
    page.goto(copied)
    assert_seen(page, "door", "10:00:09")


def test_a_clip_of_the_page_is_of_the_chosen_camera(page: Page) -> None:
    page.goto(f"{DAY}&from=10:00:09&to=10:00:11&open=true&source=door")
    expect(page.locator("#video")).to_have_attribute("src", re.compile("source=door"))
    assert picture_shown(page, "#video", "#clock")[0] >= FIRST["door"]
    page.get_by_role("link", name="Дивитися день").click()
    expect(page.locator("select[data-source] option:checked")).to_have_text("door")
