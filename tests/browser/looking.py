"""What a browser test does to a page: log in, look for barriers, measure that it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.web import PASSWORD

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
# For what does not depend on the width of the window.
desktop_only = pytest.mark.parametrize("page", [pytest.param(DESKTOP, id="desktop")], indirect=True)
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def log_in(page: Page, role: str) -> None:
    page.goto("/staff/login")
    page.fill("#name", role)
    page.fill("#password", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url("**/staff/board")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is, a line each. Run beside the page's own policy."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run(document)).violations")
    return [f"{each['id']}: {each['help']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def assert_fits(page: Page) -> None:
    """Nothing sticks out sideways: a phone must not have to scroll to and fro."""
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{page.url} is {overflow}px wider than the window"
