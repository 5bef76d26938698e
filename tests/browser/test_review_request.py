"""An operator finds the meeting, marks it in the player and releases it; the resident watches it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page
from sqlalchemy import select

from archive.models import Request, Viewing
from recorder.instants import US_PER_SECOND, local_date, now_us, to_datetime
from recorder.intervals import Interval
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.receipts import Receipt
from retrieval_api.requests.registration import Registrar
from tests.browser.conftest import Site
from tests.browser.looking import assert_fits, log_in, violations
from tests.requesting import APPLICATION, KYIV

MINUTE = 60 * US_PER_SECOND


@pytest.fixture
def receipt(site: Site, request) -> Receipt:
    """A request for the site's footage, by somebody who does not remember the room."""
    asked = Interval(site.start_us - 10 * MINUTE, site.end_us + 10 * MINUTE)
    remembered = replace(APPLICATION.remembered, day=local_date(site.start_us, KYIV))
    application = replace(
        APPLICATION, room=None, remembered=remembered, interval=asked, contact=request.node.callspec.id
    )
    registrar = Registrar(site.archive, RequestSecrets.of(site.archive.server_key))
    return registrar.register(application, "192.0.2.1", now_us())


def looked_at(page: Page) -> None:
    assert_fits(page)
    assert violations(page) == []


def seek(page: Page, seconds: float) -> None:
    """Play as far as it needs to have data, then stand at that second."""
    page.evaluate(
        """async (seconds) => {
            const player = document.getElementById("player");
            await player.play();
            player.pause();
            const there = new Promise((done) => player.addEventListener("seeked", done, {once: true}));
            player.currentTime = seconds;
            await there;
        }""",
        seconds,
    )


def clock(instant_us: int) -> str:
    return to_datetime(instant_us, KYIV).strftime("%H:%M:%S")


def test_matched_marked_released_and_watched(page: Page, site: Site, receipt: Receipt) -> None:
    log_in(page, "operator")
    page.goto("/staff/requests")
    looked_at(page)
    row = page.locator("tr", has_text=receipt.number)
    assert "усі кабінети" in row.inner_text()
    row.locator("a").click()
    page.wait_for_url(f"**/{receipt.number}")
    looked_at(page)
    assert page.locator("video").count() == 0, "nothing is shown before a room is chosen"

    page.check("#room-108")
    page.click("#match button")
    page.wait_for_selector("#player")
    with site.archive.database.reading() as session:
        looked = select(Viewing).where(Viewing.ground == f"request:{receipt.number}")
        assert session.scalar(looked) is None, "nothing is opened before the player is started"

    seek(page, 4.0)
    page.click("[data-take=in]")
    seek(page, 20.0)
    page.keyboard.press("Tab")
    page.locator("#player").focus()
    page.keyboard.press("o")
    assert page.input_value("#in") == clock(site.start_us + 4 * US_PER_SECOND)
    assert page.input_value("#out") == clock(site.start_us + 20 * US_PER_SECOND)
    page.click("text=Зберегти межі")
    page.wait_for_selector(".note.good")
    looked_at(page)

    page.check("#basis-document")
    page.click("#identity button")
    page.wait_for_selector("#identity .state.done")
    page.check("#outcome-released")
    page.click("#decision button")
    page.wait_for_selector("text=Закрити доступ і зняти заборону знищення")
    looked_at(page)
    with site.archive.database.reading() as session:
        found = session.scalar(select(Request).where(Request.number == receipt.number))
        assert found is not None
        assert (found.status, found.outcome, found.matched_room) == ("decided", "released", "108")

    page.goto(f"/status?number={receipt.number}")
    page.fill("#pin", receipt.pin)
    page.click(".actions button")
    page.wait_for_url("**/my")
    seconds = page.evaluate(
        """async () => {
            const player = document.querySelector("video");
            await player.play();
            return player.duration;
        }"""
    )
    # Snapped inward, so at most 16 s of footage; the silence that fills the tiny holes between this
    # footage's segments comes in whole packets and makes it a little longer.
    assert 14 <= seconds < 16.1
    page.reload()
    assert "оператор" in page.inner_text("table")
    looked_at(page)
