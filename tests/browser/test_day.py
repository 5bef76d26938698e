"""An operator at the day of a room: by keyboard from the board to a held meeting, and what a phone shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from archive.system import Archive
from recorder.instants import parse_instant
from retention import holds
from tests.browser.day_site import (
    DATE,
    MONDAY,
    PLAYS_MS,
    at,
    empty_archive,
    go_to,
    is_ready,
    miss,
    record,
    shows,
)
from tests.browser.looking import DESKTOP, PHONE, assert_fits, desktop_only, log_in, violations
from tests.footage import FakeAgent
from tests.web import Clock, add_staff, serving

pytestmark = pytest.mark.browser
DAY = f"/staff/rooms/228-a/day?date={DATE}"
WHY = "11:02:00–11:04:00 запису немає: камера не відповідала"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[Archive]:
    """Footage 09:59–11:02 and 11:04–11:05 with the camera away between them; room 108 sends H.265."""
    made = empty_archive(tmp_path_factory.mktemp("day"))
    add_staff(made)
    agent = FakeAgent(made, "228-a", at("00:00"))
    record(agent, "09:59", "10:03")
    record(agent, "11:00", "11:02")
    miss(agent, "11:02", "11:04", "camera_unreachable")
    record(agent, "11:04", "11:05")
    record(FakeAgent(made, "108", at("00:00")), "10:00", "10:01", "libx265")
    yield made
    made.close()


@pytest.fixture(scope="module")
def clock() -> Clock:
    made = Clock()
    made.set_us = parse_instant(f"{MONDAY}+02:00")
    return made


@pytest.fixture(scope="module")
def url(archive, clock) -> Iterator[str]:
    with serving(archive, clock) as served:
        yield served


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request, browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport=request.param, base_url=url, locale="uk-UA")
    context.set_default_timeout(PLAYS_MS)
    opened = context.new_page()
    yield opened
    context.close()


def focus_on(page: Page, selector: str) -> None:
    """By Tab alone, as who has no mouse."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


@desktop_only
def test_find_see_why_mark_and_hold_by_keyboard(page: Page, archive: Archive) -> None:
    log_in(page, "operator")
    focus_on(page, "a[href^='/staff/rooms/228-a/day']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rooms/228-a/day*")

    # 20 November: back from Monday 23 in the calendar.
    focus_on(page, "[data-calendar-button]")
    page.keyboard.press("Enter")
    expect(page.locator(".cal-day[data-date='2026-11-23']")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(f".cal-day[data-date='{DATE}']")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/day?date={DATE}")
    expect(page.locator("h1")).to_contain_text("20.11.2026")

    # The ground is asked before anything is opened.
    assert page.locator("[data-screen]").is_hidden()
    focus_on(page, "input[name=ground]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#ground-fault_check")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator(".ground-line")).to_contain_text("перевірка несправності")

    go_to(page, "10:00")
    shows(page, "10:00:00")

    # Why is there no picture from 11:02 to 11:04?
    go_to(page, "11:03")
    expect(page.locator("[data-said]")).to_contain_text(WHY)
    shows(page, "11:04:00")
    page.keyboard.press(",")
    shows(page, "11:01:59")
    page.keyboard.press(".")
    shows(page, "11:04:00")

    # The meeting.
    go_to(page, "10:00:30")
    start = shows(page, "10:00:30")[:8]
    page.keyboard.press("i")
    go_to(page, "10:02")
    shows(page, "10:02:00")
    page.keyboard.press("o")
    expect(page.locator("[data-marked]")).to_have_text(re.compile(rf"^{start}–10:02:0\d$"))
    marked = page.inner_text("[data-marked]")

    focus_on(page, "[data-hold]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/hold?*")
    assert violations(page) == []
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("Скарга на розмову")
    page.keyboard.press("Tab")
    page.keyboard.type("Доручення № 12")
    page.keyboard.press("Enter")
    expect(page.locator(".note.hold")).to_contain_text(f"поставлено: {marked}")
    with archive.database.reading() as session:
        [hold] = holds.active(session, "228-a")
    assert at(start) == hold.start_us
    assert hold.reason == "Скарга на розмову"
    expect(page.locator("svg .holds")).to_have_count(1)
    expect(page.locator("[data-marked]")).to_have_text(marked)


@desktop_only
def test_playing_over_a_gap_says_so_and_shows_no_time_of_it(page: Page) -> None:
    log_in(page, "auditor")
    page.goto(f"{DAY}&t=11:01:58")
    shows(page, "11:01:58")
    page.evaluate(
        """() => {
            window.shown = [];
            const clock = document.querySelector("[data-clock]");
            const note = () => window.shown.push(clock.textContent);
            new MutationObserver(note).observe(clock, {childList: true});
            document.querySelector("video").muted = true;
        }"""
    )
    page.locator("[data-strip]").focus()
    page.keyboard.press("k")
    expect(page.locator("[data-said]")).to_contain_text(WHY, timeout=PLAYS_MS)
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^11:04:0[1-9]"), timeout=PLAYS_MS)
    page.keyboard.press("k")
    shown = page.evaluate("window.shown")
    assert shown[0] < "11:02"
    assert [each for each in shown if "11:02:00.030" < each < "11:04"] == []


def test_the_strip_zooms_moves_and_says_where_it_is(page: Page) -> None:
    log_in(page, "auditor")
    page.goto(DAY)
    strip = page.locator("[data-strip]")
    expect(strip).to_have_attribute("aria-valuetext", "09:59:00, записано")
    strip.focus()
    page.keyboard.press("PageDown")
    expect(page.locator("[data-said]")).to_contain_text("запису немає")
    page.keyboard.press("End")
    expect(strip).to_have_attribute("aria-valuetext", re.compile(r"^11:04:5\d, записано"))
    whole = page.inner_text("[data-visible]")
    page.keyboard.press("+")
    expect(page.locator("[data-visible]")).not_to_have_text(whole)
    page.locator("[data-zoom-all]").click()
    expect(page.locator("[data-visible]")).to_have_text(whole)
    strip.hover(position={"x": 40, "y": 40})
    page.mouse.wheel(0, -400)
    expect(page.locator("[data-visible]")).not_to_have_text(whole)
    assert violations(page) == []
    assert_fits(page)
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_on_the_day_and_its_calendar(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    log_in(page, "auditor")
    # Half a month as the archive tells it, in all its states.
    states = ["purged", "open", "closed", "open", "future"]
    days = [
        {
            "date": f"2026-11-{number:02}", "planned_us": 10, "recorded_us": 9,
            "gap_us": 60_000_000 if number % 2 else 1_000_000,
            "gaps_by_cause": {}, "holds": number % 3, "requests": number % 4, "state": states[number % 5],
        }
        for number in range(1, 16)
    ]  # fmt: skip
    page.route("**/month?*", lambda route: route.fulfill(json={"days": days}))
    page.goto(DAY)
    page.locator("[data-calendar-button]").click()
    expect(page.locator(".cal-day.purged").first).to_contain_text("знищено")
    expect(page.locator("[data-date='2026-11-01'] .gap")).to_have_count(1)
    # As on the page of the month: each day begins with a second of getting ready.
    expect(page.locator("[data-date='2026-11-06'] .gap")).to_have_count(0)
    assert violations(page) == []
    assert_fits(page)
    page.keyboard.press("Escape")
    expect(page.locator("[data-calendar]")).to_be_hidden()
    expect(page.locator("[data-calendar-button]")).to_be_focused()


@desktop_only
def test_keys_can_be_switched_off(page: Page) -> None:
    log_in(page, "auditor")
    page.goto(DAY)
    is_ready(page)
    page.locator("[data-strip]").focus()
    page.keyboard.press("?")
    page.get_by_label("Клавіші ввімкнено").uncheck()
    page.get_by_role("button", name="Закрити").click()
    page.keyboard.press("i")
    expect(page.locator("[data-marked]")).to_have_text("Початок і кінець не позначено.")
    page.reload()
    is_ready(page)
    page.locator("[data-strip]").focus()
    page.keyboard.press("i")
    expect(page.locator("[data-marked]")).to_have_text("Початок і кінець не позначено.")


def test_without_scripts_the_day_is_drawn_listed_and_opened(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport=PHONE, base_url=url, locale="uk-UA", java_script_enabled=False)
    page = context.new_page()
    log_in(page, "auditor")
    page.goto(DAY)
    assert page.locator("svg.strip .gap").count() >= 1
    expect(page.locator("table.gaps")).to_contain_text("камера не відповідала")
    assert page.locator("[data-deck]").is_hidden()
    page.fill("#from", "10:00:10")
    page.fill("#to", "10:00:20")
    page.get_by_role("button", name="Відкрити").click()
    assert page.locator("#video").get_attribute("src").startswith("/api/v1/rooms/228-a/clip.mp4?")
    context.close()


@desktop_only
def test_a_clip_that_is_asked_for_is_not_taken_away(page: Page, archive: Archive) -> None:
    """Its own ground stands in the address: the day's player would open it on another one."""
    log_in(page, "operator")
    page.goto(f"{DAY}&from=10:00:10&to=10:00:20&open=true&ground=fault_check")
    expect(page.locator("#day.scripted")).to_be_visible()
    expect(page.locator("#video")).to_have_attribute("src", re.compile("ground=fault_check"))
    # One clock for one picture.
    assert page.locator("[data-deck]").is_hidden()
    page.get_by_role("link", name="Дивитися день").click()
    expect(page.locator("#video")).to_have_count(0)


@desktop_only
def test_a_picture_is_asked_for_of_the_time_that_is_pointed_at(page: Page) -> None:
    """They are made of the first keyframe after each ten seconds, and at the beginning of a stretch."""
    log_in(page, "auditor")
    asked: list[str] = []

    def note(route: Route) -> None:
        asked.append(parse_qs(urlsplit(route.request.url).query)["at"][0])
        route.fulfill(status=404)

    page.route("**/thumbnail.jpg?*", note)
    page.goto(DAY)
    is_ready(page)
    focus_on(page, "[data-strip]")
    expect(page.locator("[data-hover]")).to_be_visible()
    page.wait_for_timeout(500)
    assert asked == [f"{DATE}T07:59:02.000Z"]


@desktop_only
def test_what_the_browser_has_no_decoder_for_is_said(page: Page) -> None:
    log_in(page, "auditor")
    page.goto(f"/staff/rooms/108/day?date={DATE}&t=10:00:10")
    is_ready(page)
    if page.evaluate("MediaSource.isTypeSupported('video/mp4; codecs=\"hvc1.1.6.L60.90\"')"):
        pytest.skip("this browser plays H.265")
    expect(page.locator("[data-said]")).to_contain_text("H.265", timeout=PLAYS_MS)
    page.locator("[data-strip]").focus()
    page.keyboard.press("i")
    page.keyboard.press("PageUp")
    page.keyboard.press("o")
    expect(page.locator("[data-download]")).to_be_visible()


@desktop_only
def test_past_its_time_a_day_says_what_still_opens_it(page: Page, clock: Clock) -> None:
    before_us = clock()
    clock.set_us = parse_instant("2026-12-20T09:00:00+02:00")
    try:
        log_in(page, "auditor")
        page.goto(f"{DAY}&t=10:00:10")
        expect(page.locator(".head")).to_contain_text("Строк зберігання минув")
        expect(page.locator("[data-said]")).to_contain_text("лише для запиту", timeout=PLAYS_MS)
    finally:
        clock.set_us = before_us
