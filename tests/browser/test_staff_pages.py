"""Staff at work in a real browser: the board, a day, a clip, the log; no barrier on any page."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select

from archive import viewing
from archive.models import CustodyEvent, RoomStatus
from recorder.instants import US_PER_MINUTE, now_us
from retrieval_api.i18n import Localizer
from tests.browser.looking import DESKTOP, PHONE, assert_fits, desktop_only, log_in, violations

pytestmark = pytest.mark.browser
TEXTS = Localizer("uk")


def day_of(site) -> str:
    """The day page's address with the interval filled in."""
    day = TEXTS.iso(site.start_us)[:10]
    start, end = TEXTS.time_seconds(site.start_us), TEXTS.time_seconds(site.end_us)
    return f"/staff/rooms/108/day?date={day}&from={start}&to={end}"


@pytest.mark.parametrize(
    ("page", "language"),
    [
        # The longer words on the narrower page.
        pytest.param(PHONE, "uk", id="phone-uk"),
        pytest.param(DESKTOP, "en", id="desktop-en"),
    ],
    indirect=["page"],
)
def test_no_page_has_barriers(page, language) -> None:
    page.goto(f"/staff/login?lang={language}")
    seen = {page.url: violations(page)}
    log_in(page, "admin")
    for path in (
        "/staff/board",
        "/staff/faults",
        "/staff/rooms/108/day",
        "/staff/month",
        "/figures",
        "/staff/rooms/108/hold?date=2026-11-20",
        "/staff/rooms/108/extend",
        "/staff/alert",
        "/staff/ground",
        "/staff/custody",
        "/staff/quarantine",
        "/staff/jobs",
        "/staff/certificates",
        "/staff/certificates/1",
        "/notice/108",
        "/checkpoints",
        "/nowhere",
    ):
        page.goto(path)
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("h1").count() == 1, path
        assert_fits(page)
        seen[path] = violations(page)
    assert not {path: found for path, found in seen.items() if found}


@desktop_only
def test_dark_console_has_contrast(page) -> None:
    page.emulate_media(color_scheme="dark")
    log_in(page, "admin")
    for path in ("/staff/board", "/staff/rooms/108/day", "/staff/month", "/staff/custody"):
        page.goto(path)
        assert not violations(page), path


@desktop_only
def test_the_board_shows_faults_first_and_lives(page, site) -> None:
    log_in(page, "operator")
    expect(page.locator(".fault-row").first).to_contain_text("НЕ ЗАПИСУЄ")
    with site.archive.database.transaction() as session:
        status = json.dumps({"state": "recording", "since_us": now_us()})
        session.merge(RoomStatus(room="228-a", received_us=now_us(), status=status))
    expect(page.locator(".room.recording")).to_contain_text("228-А", timeout=10_000)
    with site.archive.database.transaction() as session:
        status = json.dumps({"state": "fault", "cause": "camera_stalled", "since_us": now_us()})
        session.merge(RoomStatus(room="228-a", received_us=now_us(), status=status))
    row = page.locator(".fault-row", has_text="228-А")
    expect(row).to_contain_text("камера зависла", timeout=10_000)
    row.get_by_text("Що робити").click()
    expect(page.locator("#camera_stalled")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_room_that_records_badly_is_not_overlooked(page, site, scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    log_in(page, "operator")
    conditions = [
        {"condition": name, "source": source, "since_us": now_us() - US_PER_MINUTE, "detail": ""}
        for name, source in (("picture_covered", "main"), ("sound_silent", "двері"), ("spool_old", ""))
    ]
    status = {"state": "recording", "since_us": now_us(), "health": {"conditions": conditions}}
    with site.archive.database.transaction() as session:
        session.merge(RoomStatus(room="108", received_us=now_us(), status=json.dumps(status)))
    room = page.locator(".room.warned")
    expect(room).to_contain_text("камера закрита", timeout=10_000)
    expect(room).to_contain_text("ЗАПИС")
    assert not violations(page)
    assert_fits(page)
    room.get_by_text("Що робити").first.click()
    expect(page.locator("#picture_covered")).to_be_in_viewport()
    assert not violations(page)
    assert_fits(page)


def test_where_no_day_can_be_played_a_clip_opens_on_a_ground_and_plays(page, site) -> None:
    page.add_init_script("window.MediaSource = window.ManagedMediaSource = undefined")
    log_in(page, "operator")
    # The same look by the same user a moment ago, on another device, would be the same viewing.
    viewing.close_idle(site.archive, now_us(), everything=True)
    with site.archive.database.reading() as session:
        began = session.scalar(select(func.max(CustodyEvent.sequence)))
    page.goto(f"{day_of(site)}&open=true")
    expect(page.locator("[role=alert]")).to_contain_text("Вкажіть підставу")
    page.check("#ground-fault_check")
    page.get_by_role("button", name="Відкрити").click()
    video = page.locator("#video")
    expect(video).to_have_js_property("readyState", 4)
    assert not violations(page)
    assert_fits(page)
    duration = video.evaluate("video => video.duration")
    assert duration == pytest.approx(30, abs=0.2)
    video.evaluate(
        """async video => {
            video.muted = true;
            video.currentTime = 20;
            await video.play();
            while (video.currentTime < 20.5) await new Promise(done => setTimeout(done, 50));
            video.pause();
        }"""
    )
    expected = TEXTS.time_seconds(site.start_us + 20_000_000)[:7]
    assert page.locator("#clock").inner_text().startswith(expected)
    page.keyboard.press("i")
    assert page.input_value("#from") >= TEXTS.time_seconds(site.start_us + 20_000_000)
    with site.archive.database.reading() as session:
        statement = select(CustodyEvent.details).where(
            CustodyEvent.action == "view_opened", CustodyEvent.sequence > began
        )
        opened = [json.loads(details) for details in session.scalars(statement)]
    assert {"fault_check"} == {each["ground"] for each in opened}


@desktop_only
def test_a_gap_is_told_with_its_cause(page, site) -> None:
    log_in(page, "operator")
    gap_us = site.end_us + US_PER_MINUTE
    day = TEXTS.iso(site.start_us)[:10]
    start, end = TEXTS.time_seconds(gap_us), TEXTS.time_seconds(gap_us + 1_000_000)
    page.goto(f"/staff/rooms/108/day?date={day}&from={start}&to={end}&ground=fault_check")
    expect(page.locator("[role=alert]")).to_contain_text("Запису за цей час немає")
    expect(page.locator("table.gaps")).to_contain_text("камера не відповідала")
    expect(page.locator("svg.strip .gaps").first).to_be_attached()


def test_from_the_month_to_a_day_by_keyboard(page, site) -> None:
    log_in(page, "operator")
    page.get_by_role("link", name="Місяць").click()
    expect(page.locator("#today")).to_be_in_viewport()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    day = TEXTS.iso(site.start_us)[:10]
    page.goto(f"/staff/month?month={day[:7]}")
    table = page.get_by_role("region", name="Чого немає у записі, за днями")
    row = table.get_by_role("row", name=re.compile("^108"))
    cell = row.locator(f"a[href$='{day}']")
    expect(cell).to_contain_text("пропуски:")
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/staff/rooms/108/day?date={day}")
    page.goto("/figures")
    expect(page.get_by_role("heading", name="Відкриті дані")).to_be_visible()


@desktop_only
def test_an_auditor_reads_who_did_what(page, site) -> None:
    log_in(page, "auditor")
    page.get_by_role("link", name="Журнал дій").click()
    page.fill("#date", TEXTS.iso(now_us())[:10])
    page.get_by_role("button", name="Показати").click()
    row = page.locator("table.log tbody tr", has_text="вхід").first
    expect(row).to_contain_text("auditor")
    with page.expect_download() as download:
        page.get_by_text("Зберегти як JSON").click()
    events = json.loads(download.value.path().read_text("utf-8"))
    assert events[-1]["action"] == "log_exported"


@pytest.mark.parametrize("page", [pytest.param(PHONE, id="phone")], indirect=True)
def test_a_phone_shows_whole_rows_of_tables(page, site) -> None:
    log_in(page, "auditor")
    for path, last in (("/staff/custody", "Що"), ("/staff/certificates", "Залишено")):
        page.goto(path)
        box = page.locator(f"td[data-label='{last}']").first.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= PHONE["width"], path
    page.goto("/staff/custody")
    login = page.locator("table.log tbody tr", has_text="вхід").first
    expect(login).to_be_visible()
    assert "роль" in login.inner_text()


@pytest.mark.parametrize("page", [pytest.param(PHONE, id="phone")], indirect=True)
def test_on_a_phone_the_header_leaves_the_screen_to_the_page(page) -> None:
    log_in(page, "admin")
    page.goto("/staff/certificates")
    assert page.locator("header.bar").bounding_box()["height"] <= 96
    page.set_viewport_size({"width": 320, "height": 640})
    page.reload()
    assert page.locator("header.bar").bounding_box()["height"] <= 96
    assert_fits(page)
    sections = page.locator(".bar-menu a")
    expect(sections.last).to_have_attribute("aria-current", "page")
    expect(sections.last).to_be_in_viewport(ratio=0.9)
    page.locator(".bar-name").focus()
    for each in sections.all():
        page.keyboard.press("Tab")
        expect(each).to_be_focused()
        box = each.bounding_box()
        seen = min(box["x"] + box["width"], 320) - max(box["x"], 0)
        assert seen >= min(box["width"], 64), each.inner_text()
    assert not violations(page)


@desktop_only
def test_everything_can_be_reached_by_keyboard(page) -> None:
    page.goto("/staff/login")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    focused = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "solid"
    small = page.evaluate(
        "[...document.querySelectorAll('a, button, input:not([type=hidden])')]"
        ".filter(e => !e.closest('.skip') && e.getBoundingClientRect().height < 43)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert [each for each in small if not re.search("skip", each)] == []
