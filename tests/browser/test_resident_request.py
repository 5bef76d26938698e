"""A resident on a desk and on a phone, with scripts and without: from the door's QR code to the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Browser, Page

from recorder.instants import to_datetime
from tests.browser.conftest import DESKTOP, PHONE, Site
from tests.browser.looking import assert_fits, violations
from tests.requesting import KYIV


def look_at(page: Page, *, axe: bool) -> None:
    assert_fits(page)
    assert not axe or violations(page) == []


@pytest.fixture(
    params=[(DESKTOP, True), (PHONE, True), (PHONE, False)], ids=["desktop", "phone", "phone-without-scripts"]
)
def plain_page(request, browser: Browser, site: Site):
    """A browser, once with no script of a page running in it."""
    viewport, scripts = request.param
    context = browser.new_context(viewport=viewport, base_url=site.url, java_script_enabled=scripts)
    context.set_default_timeout(15_000)
    opened = context.new_page()
    # axe-core needs timers, which stand still where scripts are off.
    yield opened, partial(look_at, axe=scripts)
    context.close()


def go_on(page: Page) -> None:
    page.click(".actions button")


def fill_in(page: Page, looked_at: Callable[[Page], None], site: Site, contact: str) -> None:
    """From the notice to the check."""
    moment = to_datetime(site.start_us, KYIV)
    page.goto("/request?room=108")
    looked_at(page)
    page.click("text=Отримати запис своєї зустрічі")
    assert page.input_value("#room") == "108"
    page.fill("#date", moment.strftime("%Y-%m-%d"))
    page.fill("#time", moment.strftime("%H:%M"))
    looked_at(page)
    go_on(page)
    page.fill("#official", "Олена Коваль, відділ субсидій")
    page.fill("#purpose", "Перевірити пояснення.")
    looked_at(page)
    go_on(page)
    page.fill("#name", "Марія Іваненко")
    page.check("#contact_kind")
    page.fill("#email", contact)
    looked_at(page)
    go_on(page)


def test_from_the_door_to_the_state(plain_page, site: Site, request) -> None:
    page, looked_at = plain_page
    fill_in(page, looked_at, site, f"{request.node.callspec.id}@example.com".lower())
    assert "Перевірте, чи все правильно" in page.inner_text("h1")
    looked_at(page)
    go_on(page)
    page.wait_for_url("**/request/receipt")
    looked_at(page)
    number, pin = (page.inner_text(f"[data-test={name}]") for name in ("number", "pin"))
    page.reload()
    assert page.inner_text("[data-test=pin]") == pin

    page.click(".actions a")
    assert page.input_value("#number") == number, "the link fills the number in, never the PIN"
    assert page.input_value("#pin") == ""
    page.fill("#pin", pin)
    looked_at(page)
    go_on(page)
    page.wait_for_url("**/my")
    looked_at(page)
    assert page.inner_text("[aria-current=step]").startswith("Пошук Вашої зустрічі")

    page.click("text=Відкликати запит")
    looked_at(page)
    page.click("button.danger")
    page.wait_for_url("**/my")
    assert "Запит відкликано" in page.inner_text(".letter")
    looked_at(page)


def test_errors_lead_to_their_fields_and_keep_what_was_typed(plain_page, site: Site) -> None:
    page, looked_at = plain_page
    page.goto("/request/new")
    page.fill("#time", "пополудні")
    go_on(page)
    looked_at(page)
    assert page.title().startswith("Помилка")
    assert page.locator("[role=alert] a").count() == 3
    assert page.input_value("#time") == "пополудні"
    page.click("[role=alert] a:has-text('10:30')")
    assert page.url.endswith("#time")
    page.check("#about-morning")
    page.select_option("#room", "unknown")
    page.fill("#date", to_datetime(site.start_us, KYIV).strftime("%Y-%m-%d"))
    go_on(page)
    page.press("#official", "Enter")
    assert page.locator("[role=alert] a").count() == 2, "Enter goes on, not back"
    page.click("button.back")
    assert page.input_value("#room") == "unknown"
    assert page.is_checked("#about-morning")


def test_the_field_of_a_choice_appears_with_it(page: Page) -> None:
    page.goto("/request/new")
    page.select_option("#room", "unknown")
    page.check("#about-morning")
    page.fill("#date", page.get_attribute("#date", "max"))
    go_on(page)
    page.fill("#official", "Коваль")
    page.fill("#purpose", "скарга")
    go_on(page)
    assert not page.is_visible("#email")
    page.check("#contact_kind-phone")
    assert page.is_visible("#phone")
    assert not page.is_visible("#email")


def test_english_is_whole(plain_page) -> None:
    page, looked_at = plain_page
    page.goto("/?lang=en")
    assert page.get_attribute("html", "lang") == "en"
    page.click("text=Get the recording of my meeting")
    go_on(page)
    looked_at(page)
    assert "Enter the date of the meeting." in page.inner_text("[role=alert]")
    text = page.inner_text("main")
    assert not any("А" <= letter <= "я" for letter in text.replace("228-А", ""))
