"""A whole day in a browser by hls.js: every picture at its own time by bar code, across gaps and runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, now_us
from tests.footage import FakeAgent, make_archive
from tests.mp4_media import Shape
from tests.numbered import FRAME_US, READ_NUMBER, send_run
from tests.web import PASSWORD, add_staff, serving

pytestmark = pytest.mark.browser

# What the page of the day does, in a few lines, and a reader of the simulator's bar code.
SCRIPT = """async (url) => {
  const { follow } = await import("/static/js/wall-clock.js");
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const hls = new Hls({ enableWorker: false });
  const errors = [];
  hls.on(Hls.Events.ERROR, (_, data) => errors.push(`${data.fatal} ${data.details} ${data.error ?? ""}`));
  const clock = follow(hls, Hls);
  const number = () => (READ_NUMBER)(video);
  async function at(wallUs) {
    const playerS = clock.playerS(wallUs);
    if (playerS === null) return { playerS, nearest: clock.nearest(wallUs) };
    const presented = new Promise((done) => video.requestVideoFrameCallback((_, frame) => done(frame)));
    const there = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    video.currentTime = playerS;
    await there;
    await presented;
    return { playerS, number: number(), wallUs: clock.wallUs(video.currentTime) };
  }
  async function play(seconds) {
    const seen = [];
    const from = video.currentTime;
    let on = true;
    const look = (_, frame) => {
      seen.push([frame.mediaTime, clock.wallUs(frame.mediaTime), number()]);
      if (on) video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    await video.play();
    const until = performance.now() + 1000 * seconds + 8000;
    while (video.currentTime < from + seconds && performance.now() < until)
      await new Promise((done) => setTimeout(done, 50));
    video.pause();
    on = false;
    return { from, to: video.currentTime, seen };
  }
  const begun = performance.now();
  const ready = new Promise((done) => video.addEventListener("loadeddata", done, { once: true }));
  hls.loadSource(url);
  hls.attachMedia(video);
  await ready;
  Object.assign(window, { hls, video, clock, errors, at, play });
  return { readyMs: performance.now() - begun, duration: video.duration, errors };
}""".replace("READ_NUMBER", READ_NUMBER)


class Day:
    """Room 108, half an hour ago: runs that touch, with gaps, without sound, without pictures."""

    def __init__(self, archive) -> None:
        self.archive = archive
        self.agent = FakeAgent(archive)
        self.start_us = (now_us() - 30 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
        self.date = format_instant(self.start_us, "Europe/Kyiv")[:10]

    def add(self, at_s: float, **shape) -> None:
        """A run that begins `at_s` after the start, its pictures numbered by the wall clock."""
        at_us = round(at_s * US_PER_SECOND)
        if shape.get("video", True):
            shape["first_number"] = at_us // FRAME_US
        run = Shape(**{"media_start_s": 1000 + 37 * round(at_s), **shape})
        send_run(self.agent, self.start_us + at_us, run)

    @property
    def url(self) -> str:
        return f"/api/v1/rooms/108/day.m3u8?date={self.date}&ground=fault_check"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[tuple[str, Day]]:
    archive = make_archive(tmp_path_factory.mktemp("day"))
    add_staff(archive)
    day = Day(archive)
    day.add(0, seconds=8)
    # After a gap of 12 s, with B-frames; then at once another run, a codec change of the sound.
    day.add(20, seconds=8, bframes=2)
    day.add(28, seconds=6, rate=16_000)
    # The microphone is gone, then the camera.
    day.add(40, seconds=6, audio=False)
    day.add(50, seconds=6, video=False)
    day.add(60, seconds=8)
    with serving(archive) as url:
        yield url, day
    archive.close()


@pytest.fixture
def page(browser: Browser, site) -> Iterator[Page]:
    url, _ = site
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto("/staff/login")
    page.fill("#name", "operator")
    page.fill("#password", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url("**/staff/board")
    page.goto("/staff/ground")
    page.add_script_tag(url="/static/vendor/hls.min.js")
    yield page
    context.close()


def expected(at_s: float) -> int:
    """The number of the picture that is shown then."""
    return int(at_s * US_PER_SECOND + 1) // FRAME_US


def test_every_picture_stands_at_its_own_time(page: Page, site) -> None:
    """By bar code: within runs, before and after a gap and a change of runs, forwards and back."""
    _, day = site
    opened = page.evaluate(SCRIPT, day.url)
    assert opened["duration"] == pytest.approx(42, abs=0.1)
    for at_s in (0.02, 7.98, 20.02, 25.3, 27.9, 28.06, 33.1, 61.02, 41.3, 2.22, 67.9):
        at_us = day.start_us + round(at_s * US_PER_SECOND)
        seen = page.evaluate(f"at({at_us})")
        # What is told is the instant of the very picture that is shown. Where the player had not loaded
        # anything of that coding before, the goal itself may be missed by less than a frame.
        assert seen["number"] == expected((seen["wallUs"] - day.start_us) / US_PER_SECOND), (at_s, seen)
        assert seen["wallUs"] == pytest.approx(at_us, abs=25_000)
    # In the gaps there is nothing to go to, and the page is told where there is.
    for at_s, goal_s in ((12, 20), (37, 40), (58, 60)):
        seen = page.evaluate(f"at({day.start_us + at_s * US_PER_SECOND})")
        assert seen == {"playerS": None, "nearest": day.start_us + goal_s * US_PER_SECOND}
    # While sound alone was recorded, the last keyframe of the pictures before it stands.
    seen = page.evaluate(f"at({day.start_us + 52 * US_PER_SECOND})")
    assert seen["number"] == expected(45)
    assert seen["wallUs"] == pytest.approx(day.start_us + 52 * US_PER_SECOND, abs=25_000)
    fatal = [each for each in page.evaluate("errors") if not each.startswith("false")]
    assert not fatal


@pytest.mark.parametrize(("from_s", "gap_s"), [(6.6, (8, 20)), (32.6, (34, 40))], ids=["gap", "no-sound"])
def test_it_plays_over_a_gap_and_tells_the_right_time(page: Page, site, from_s: float, gap_s) -> None:
    _, day = site
    page.evaluate(SCRIPT, day.url)
    page.evaluate(f"at({day.start_us + round(from_s * US_PER_SECOND)})")
    played = page.evaluate("play(3)")
    assert played["to"] >= played["from"] + 3, played
    told = [((wall_us - day.start_us) / US_PER_SECOND, number) for _, wall_us, number in played["seen"]]
    assert min(wall for wall, _ in told) < gap_s[0] - 0.5
    assert max(wall for wall, _ in told) > gap_s[1] + 0.5
    assert not [wall for wall, _ in told if gap_s[0] + 0.05 < wall < gap_s[1]]
    # A canvas sees the picture that is on the screen now, which may be one later than the one called for.
    wrong = [(wall, number) for wall, number in told if abs(number - wall * 25) > 2.1]
    assert len(wrong) <= len(told) // 10, wrong


def test_a_day_that_goes_on_is_loaded_anew(page: Page, site) -> None:
    """What was there already keeps its times, and the end is no end any more."""
    _, day = site
    page.evaluate(SCRIPT, day.url)
    before = page.evaluate("clock.spans")
    etag = page.request.get(day.url).headers["etag"]
    assert page.request.get(day.url, headers={"If-None-Match": etag}).status == 304
    day.add(70, seconds=4)
    reloaded = page.request.get(day.url, headers={"If-None-Match": etag})
    assert reloaded.status == 200
    page.evaluate(
        """async (url) => {
      const loaded = new Promise((done) => hls.once(Hls.Events.LEVEL_LOADED, done));
      hls.loadSource(url);
      await loaded;
    }""",
        day.url,
    )
    after = page.evaluate("clock.spans")
    assert after[: len(before)] == before
    at_us = day.start_us + 72 * US_PER_SECOND
    assert page.evaluate(f"at({at_us})")["number"] == expected(72)
