"""A whole day in a real browser by hls.js: every picture at its own time by bar code, across gaps and runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from uuid6 import uuid7

from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, now_us
from tests.footage import FakeAgent, make_archive
from tests.mp4_media import Shape, manifest_box, record
from tests.web import PASSWORD, add_staff, serving

pytestmark = pytest.mark.browser

FRAME_US = 40_000
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
  const pen = new OffscreenCanvas(160, 120).getContext("2d", { willReadFrequently: true });
  function number() {
    pen.drawImage(video, 0, 0, 160, 120);
    const row = pen.getImageData(0, 3, 160, 1).data;
    const cells = Array.from({ length: 20 }, (_, place) => row[4 * (place * 8 + 4)] > 128 ? 1 : 0);
    const bits = cells.slice(2, 18);
    const parity = bits.reduce((sum, bit) => sum ^ bit, 0);
    if (cells.slice(0, 2).join() !== "1,0" || cells[19] !== 1 || cells[18] !== parity) return null;
    return bits.reduce((sum, bit) => 2 * sum + bit, 0);
  }
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
}"""


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
            shape["number"] = at_us // FRAME_US
        recorded = record(Shape(**{"media_start_s": 1000 + 37 * round(at_s), **shape}))
        run = str(uuid7())
        for piece, file in zip(recorded.pieces(self.start_us + at_us), recorded.segments, strict=True):
            body = file[: -len(manifest_box())]
            signed, whole = self.agent.segment(
                piece.start_us, body=body, run=run, end_us=piece.end_us, media_bytes=len(body)
            )
            answer = self.agent.send(signed, whole)
            assert answer.outcome == "accepted", answer

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


def test_every_picture_stands_at_its_own_time(page: Page, site) -> None:
    _, day = site
    opened = page.evaluate(SCRIPT, day.url)
    assert opened["errors"] == []
    assert opened["duration"] == pytest.approx(42, abs=0.3)
    for at_s in (0.02, 3.5, 7.98, 20.02, 25.3, 27.9, 28.06, 33.1, 61, 41.3, 2.22, 67.9):
        at_us = day.start_us + round(at_s * US_PER_SECOND)
        seen = page.evaluate(f"at({at_us})")
        print(at_s, seen, page.evaluate('[...clock.shiftUs]'), page.evaluate('errors'))
