"""A day that is watched for a hold or a request: what is held for it, and nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from archive.models import Request, Segment
from archive.system import Archive
from recorder.instants import parse_instant
from recorder.intervals import Interval
from retention import holds
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.registration import Registrar
from tests.browser.day_site import (
    DATE,
    MONDAY,
    PLAYS_MS,
    at,
    empty_archive,
    go_to,
    is_ready,
    record,
    shows,
)
from tests.browser.looking import DESKTOP, PHONE, assert_fits, log_in, violations
from tests.footage import FakeAgent
from tests.requesting import application, purge_at
from tests.thumbnails import derive_now
from tests.web import Clock, add_staff, serving

pytestmark = pytest.mark.browser
DAY = f"/staff/rooms/228-a/day?date={DATE}"
NOT_OPENED = "за цією підставою не відкрито"


class Site:
    """Footage 10:00–10:04 and 11:00–11:01. A hold of staff's own keeps 10:01–10:02, a request
    10:00:30–10:00:50 and 10:03–10:03:20.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive, self.clock, self.url = archive, Clock(), ""
        self.clock.set_us = parse_instant(f"{MONDAY}+02:00")
        add_staff(archive)
        agent = FakeAgent(archive, "228-a", at("00:00"))
        record(agent, "10:00", "10:04")
        record(agent, "11:00", "11:01")
        with archive.database.reading() as session:
            segments = session.scalars(select(Segment.id)).all()
        for segment in segments:
            derive_now(archive, segment)
        self.request = self._request("10:00:30", "10:00:50")
        self._hold("10:03", "10:03:20", self.request)
        self.hold = self._hold("10:01", "10:02")

    def _request(self, start: str, end: str) -> str:
        wanted = application(room="228-a", interval=Interval(at(start), at(end)))
        registrar = Registrar(self.archive, RequestSecrets.of(self.archive.server_key))
        return registrar.register(wanted, "127.0.0.1", self.clock()).number

    def _hold(self, start: str, end: str, request: str = "") -> int:
        with self.archive.database.transaction() as session:
            of_request = session.scalar(select(Request.id).where(Request.number == request))
            order = holds.HoldOrder(
                "228-a", Interval(at(start), at(end)), "a complaint", "order 1", "user:3", of_request
            )
            return holds.place(session, self.archive, [order], self.clock())[0].id


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    made = Site(empty_archive(tmp_path_factory.mktemp("grounds")))
    with serving(made.archive, made.clock) as made.url:
        yield made
    made.archive.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(viewport=DESKTOP, base_url=site.url, locale="uk-UA")
    context.set_default_timeout(PLAYS_MS)
    opened = context.new_page()
    log_in(opened, "operator")
    yield opened
    context.close()


def state(page: Page, kind: str, reference: str = "") -> None:
    """The ground of the visit, by its form; back to the day."""
    page.goto(f"/staff/ground?next={DAY}")
    page.check(f"#ground-{kind}")
    page.fill("#reference", reference)
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/day?*")


def says(page: Page, words: str | re.Pattern[str]) -> None:
    expect(page.locator("[data-said]")).to_contain_text(words, timeout=PLAYS_MS)


def watch_requests(page: Page) -> list[tuple[str, int]]:
    """What the page asks for from now on, and how it is answered: the last name of the path, the status."""
    seen: list[tuple[str, int]] = []
    page.on("response", lambda answer: seen.append((urlsplit(answer.url).path.split("/")[-1], answer.status)))
    return seen


def test_for_a_hold_the_day_is_what_is_held(page: Page, site: Site) -> None:
    state(page, "hold", str(site.hold))
    expect(page.locator(".ground-line")).to_contain_text("відкрито лише: 10:01:00–10:02:00")
    answers = watch_requests(page)
    go_to(page, "10:01:30")
    shows(page, "10:01:30")
    expect(page.locator("[data-said]")).to_have_text("")
    assert page.evaluate("document.querySelector('[data-video]').duration") == pytest.approx(60, abs=0.1)
    for beside, shown in (("10:00:10", "10:01:00"), ("10:03:00", "10:01:59"), ("11:00:10", "10:01:59")):
        go_to(page, beside)
        says(page, f"{beside} {NOT_OPENED}. Показано {shown}")
        shows(page, shown)
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert_fits(page)
    page.set_viewport_size(DESKTOP)
    page.evaluate("document.querySelector('[data-video]').muted = true")
    go_to(page, "10:01:58")
    shows(page, "10:01:58")
    page.locator("[data-strip]").focus()
    page.keyboard.press("k")
    says(page, "Далі за цією підставою не відкрито")
    assert {status for name, status in answers if name.endswith(".mp4")} == {200}
    assert [each for each in answers if each[1] >= 400] == []


def test_the_strip_shows_what_the_ground_leaves_closed(page: Page, site: Site) -> None:
    state(page, "hold", str(site.hold))
    is_ready(page)
    expect(page.locator(".strip-foot .legend")).to_contain_text("не відкрито за підставою")
    for _ in range(7):
        page.keyboard.press("+")
    # The strip is drawn with the next picture of the screen.
    drawn = page.evaluate(
        """async () => {
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            const parts = document.querySelectorAll("rect:is(.openable, .unopened):not(.label-ground)");
            const number = (part, name) => Number(part.getAttribute(name));
            return [...parts].map(each => [each.classList[0], number(each, "x"), number(each, "width")]);
        }"""
    )
    (before, after, opened) = drawn
    assert [each[0] for each in drawn] == ["unopened", "unopened", "openable"]
    assert before[1] + before[2] == pytest.approx(opened[1])
    assert opened[1] + opened[2] == pytest.approx(after[1])
    strip = page.locator("[data-strip]").bounding_box()
    assert strip
    for x, word in (
        (opened[1] + 20, "записано"),
        (opened[1] - 20, "записано · не відкрито за підставою"),
    ):
        page.mouse.move(strip["x"] + x, strip["y"] + 40)
        expect(page.locator("[data-hover-what]")).to_contain_text(re.compile(f"^{word}( · заборона|$)"))
    assert violations(page) == []
    state(page, "fault_check")
    is_ready(page)
    expect(page.locator("svg.day-strip rect.recorded").first).to_be_attached()
    assert page.locator("rect.unopened, .key.unopened").count() == 0


def test_no_small_picture_is_asked_for_beside_what_is_held(page: Page, site: Site) -> None:
    state(page, "hold", str(site.hold))
    page.goto(f"{DAY}&t=10:01:30")
    shows(page, "10:01:30")
    answers = watch_requests(page)
    strip = page.locator("[data-strip]")
    for _ in range(6):
        page.keyboard.press("+")
    whole, zone = strip.bounding_box(), page.inner_text("[data-visible]")
    assert whole, zone
    start, end = (at(each) for each in re.findall(r"\d\d:\d\d:\d\d", zone))
    for time, expected in (("10:00:15", 0), ("10:03:45", 0), ("10:01:45", 1)):
        x = whole["width"] * (at(time) - start) / (end - start)
        strip.hover(position={"x": x, "y": 40})
        expect(page.locator("[data-hover-time]")).to_contain_text(time[:6])
        page.wait_for_timeout(300)
        assert [each[1] for each in answers if each[0] == "thumbnail.jpg"] == [200] * expected, time
    # Who writes the address himself is refused.
    refused = page.request.get(f"/api/v1/rooms/228-a/thumbnail.jpg?at={DATE}T08:00:15Z")
    assert (refused.status, refused.json()["code"]) == (403, "outside_purpose")


def test_for_a_request_playing_goes_on_with_what_else_is_held(page: Page, site: Site) -> None:
    state(page, "request", site.request)
    line = page.locator(".ground-line")
    expect(line).to_contain_text("відкрито лише: 10:00:30–10:00:50, 10:03:00–10:03:20")
    expect(page.locator(".day-lists")).to_contain_text("20.11.2026, 10:00:30 – 10:00:50")
    page.evaluate("document.querySelector('[data-video]').muted = true")
    go_to(page, "10:00:48")
    shows(page, "10:00:48")
    page.locator("[data-strip]").focus()
    page.keyboard.press("k")
    says(page, f"10:00:50–10:03:00 {NOT_OPENED}. Показано з 10:03:00")
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^10:03:0[1-9]"), timeout=PLAYS_MS)
    go_to(page, "10:01:30")
    says(page, f"10:01:30 {NOT_OPENED}. Показано 10:03:00")


def test_past_the_due_midnight_a_hold_plays_on_its_own_ground_alone(page: Page, site: Site) -> None:
    """First while what stands beside it awaits its destruction, then when that is gone."""
    picture = f"/api/v1/rooms/228-a/thumbnail.jpg?at={DATE}T08:01:30Z"
    site.clock.set_us = parse_instant("2026-12-20T00:30:00+02:00")
    log_in(page, "operator")
    for head, reason in (("Строк зберігання минув", "expired"), ("Запис знищено", "purged")):
        state(page, "hold", str(site.hold))
        expect(page.locator(".head")).to_contain_text(head)
        go_to(page, "10:01:30")
        shows(page, "10:01:30")
        expect(page.locator("[data-said]")).to_have_text("")
        go_to(page, "10:03:10")
        says(page, f"10:03:10 {NOT_OPENED}")
        assert page.request.get(picture).status == 200
        loudness = page.request.get(f"/api/v1/rooms/228-a/loudness?date={DATE}")
        assert loudness.json()["reason"] == reason

        state(page, "fault_check")
        go_to(page, "10:01:30")
        says(page, "лише для запиту або заборони")
        assert page.request.get(picture).status == 404
        purge_at(site.archive, site.clock())
    state(page, "request", site.request)
    go_to(page, "10:01:30")
    says(page, f"10:01:30 {NOT_OPENED}. Показано 10:03:00")
    assert page.request.get(picture).status != 200
