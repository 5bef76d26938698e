"""A day that is watched while it is recorded: what arrives meanwhile is seen without a reload."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.day_site import DATE, PLAYS_MS, at, empty_archive, go_to, miss, record, shows
from tests.browser.looking import DESKTOP, log_in
from tests.footage import FakeAgent
from tests.web import Clock, add_staff, serving

pytestmark = pytest.mark.browser


def test_what_arrives_while_a_day_is_watched_is_played_on(browser: Browser, tmp_path) -> None:
    archive, clock = empty_archive(tmp_path), Clock()
    add_staff(archive)
    agent = FakeAgent(archive, "228-a", at("00:00"))
    record(agent, "10:00", "10:02")
    clock.set_us = at("10:02:10")
    with serving(archive, clock) as url:
        page = browser.new_context(viewport=DESKTOP, base_url=url, locale="uk-UA").new_page()
        log_in(page, "auditor")
        page.goto(f"/staff/rooms/228-a/day?date={DATE}&t=10:01:57")
        shows(page, "10:01:57")
        record(agent, "10:02", "10:03")
        clock.set_us = at("10:03:10")
        page.evaluate("document.querySelector('video').muted = true")
        page.locator("[data-strip]").focus()
        page.keyboard.press("k")
        expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^10:02:0[1-9]"), timeout=PLAYS_MS)

        go_to(page, "10:02:58")
        expect(page.locator("[data-said]")).to_contain_text("ще надходить", timeout=PLAYS_MS)
        # What is not there yet is asked about before it is said to be missing.
        record(agent, "10:03", "10:04")
        miss(agent, "10:04", "10:05", "camera_stalled")
        clock.set_us = at("10:05:10")
        go_to(page, "10:03:30")
        shows(page, "10:03:30")
        # What is written below is of now, too.
        expect(page.locator("table.gaps")).to_contain_text("камера зависла")
        expect(page.locator(".stretches a")).to_have_text("10:00:00–10:04:00")
        # The hint told of the time before, and the keyboard's focus is still upon the strip.
        expect(page.locator("[data-hover]")).to_be_hidden()
        page.context.close()
    archive.close()
