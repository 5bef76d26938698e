"""The page that is held before a camera: no barrier on it, and it flashes out of step."""

from __future__ import annotations

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.looking import PHONE, assert_fits, violations

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("page", [pytest.param(PHONE, id="phone")], indirect=True)
def test_it_flashes_and_stops_by_a_touch(page) -> None:
    page.goto("/calibrate?lang=en")
    assert not violations(page)
    page.goto("/calibrate?lang=uk")
    assert page.locator("html").get_attribute("lang") == "uk"
    assert not violations(page)
    assert_fits(page)
    expect(page.locator("#field")).to_be_hidden()
    # The frames of a busy machine are late.
    page.clock.install()
    page.evaluate(
        """() => {
            window.flashes = [];
            new MutationObserver(() => {
                if (document.getElementById("field").matches(".lit")) window.flashes.push(performance.now());
            }).observe(document.getElementById("field"), {attributeFilter: ["class"]});
        }"""
    )
    page.get_by_role("button", name="Почати").click()
    expect(page.locator("#field")).to_be_visible()
    page.clock.run_for(8000)
    flashes = page.evaluate("window.flashes")
    assert len(flashes) >= 6
    apart = [after - before for before, after in pairwise(flashes)]
    assert all(each > 950 for each in apart), apart
    assert len({round(each / 5) for each in apart}) > 1, "in step with a camera's frames"
    page.locator("#field").click()
    expect(page.locator("#field")).to_be_hidden()
