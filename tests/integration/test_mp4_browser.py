"""Clips in a real browser: Chromium plays, seeks, and hears what was recorded, when it was."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page

from archive.mp4.virtual import build
from recorder.intervals import Interval
from tests.mp4_media import US, Shape, content, record

pytestmark = pytest.mark.browser

WALL = 1_795_000_000_000_000
SECOND_RUN = WALL + 9_876_543
PAGE = b"""<!doctype html><meta charset=utf-8>
<video muted width=160></video><canvas width=160 height=120></canvas>
<script>
const video = document.querySelector('video'), pen = document.querySelector('canvas').getContext('2d');
const once = name => new Promise((done, fail) => {
  video.addEventListener(name, done, {once: true});
  video.addEventListener('error', () => fail(new Error(video.error.message)), {once: true});
});
async function open_() {
  const ready = once('canplay');
  video.src = 'clip.mp4';
  await ready;
  return video.duration;
}
function white() {
  pen.drawImage(video, 0, 0, 160, 120);
  return pen.getImageData(80, 100, 1, 1).data[0];
}
async function seek(to) {
  // "seeked" comes when the picture is decoded; the canvas sees it when it is presented.
  const presented = new Promise(done => video.requestVideoFrameCallback(done));
  const there = once('seeked');
  video.currentTime = to;
  await there;
  await presented;
  return white();
}
async function play() {
  const begun = video.currentTime;
  await video.play();
  await new Promise(done => setTimeout(done, 700));
  video.pause();
  return video.currentTime - begun;
}
async function beeps() {
  const data = await (await fetch('clip.mp4')).arrayBuffer();
  const sound = await new OfflineAudioContext(1, 1, 48000).decodeAudioData(data);
  const wave = sound.getChannelData(0), found = [];
  for (let i = 0, last = -1e9; i < wave.length; i++)
    if (Math.abs(wave[i]) > 0.2) { if (i - last > 24000) found.push(i / 48000); last = i; }
  return found;
}
</script>"""


class _Handler(BaseHTTPRequestHandler):
    """One page and one file, with single ranges, as the council server has them."""

    clip = b""

    def do_GET(self) -> None:
        if self.path != "/clip.mp4":
            self._answer(200, PAGE, "text/html")
            return
        wanted = self.headers.get("Range")
        if wanted is None:
            self._answer(200, self.clip, "video/mp4")
            return
        start, _, end = wanted.removeprefix("bytes=").partition("-")
        part = self.clip[int(start) : int(end) + 1 if end else None]
        self._answer(
            206, part, "video/mp4",
            {"Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(self.clip)}"},
        )  # fmt: skip

    def log_message(self, *arguments: object) -> None:
        """Nobody reads a log of a test's requests."""

    def _answer(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Accept-Ranges": "bytes"}
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        # A browser that seeks hangs up on the range it no longer needs.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> Iterator[Page]:
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page = browser.new_page(base_url=f"http://127.0.0.1:{server.server_port}")
    page.set_default_timeout(30_000)
    page.handler = handler
    yield page
    page.close()
    server.shutdown()
    server.server_close()
    thread.join()


def opened(page: Page, shape: Shape, *, exact: bool = True) -> float:
    """Opens a clip of two runs with a gap; returns the browser's idea of its duration."""
    first, second = record(shape), record(Shape(**{**shape.__dict__, "media_start_s": 77_777}))
    pieces = first.pieces(WALL, "one") + second.pieces(SECOND_RUN, "two")
    clip = build(pieces, Interval(WALL + 500_000, SECOND_RUN + 6 * US), exact=exact)
    objects = first.objects("one") | second.objects("two")
    page.handler.clip = content(clip, objects)
    page.goto("/")
    return float(page.evaluate("open_()"))


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "staff"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_chromium_plays_and_seeks(chromium: Page, bframes: int, exact: bool) -> None:
    duration = opened(chromium, Shape(bframes=bframes), exact=exact)
    # From the keyframe at 1 s to 6 s of the second run.
    assert duration == pytest.approx(14.88, abs=0.05)
    chromium.evaluate(f"seek({duration * 0.75})")
    assert chromium.evaluate("video.currentTime") == pytest.approx(duration * 0.75, abs=0.001)
    assert chromium.evaluate("video.readyState") >= 2
    # A white picture each second, dark ones between: of the second run at 8.88, 9.88, …
    for second in (9, 11, 13):
        assert chromium.evaluate(f"seek({second - 0.1235 + 0.03})") > 150
        assert chromium.evaluate(f"seek({second - 0.1235 + 0.5})") < 100
    # Backwards, into the freeze: the last picture of the first run stands.
    assert chromium.evaluate("seek(7.2)") < 100
    assert chromium.evaluate("seek(3.04)") > 150
    assert 0.2 < chromium.evaluate("play()") < 1.5
    assert chromium.evaluate("video.error") is None


@pytest.mark.parametrize("rate", [48_000, 16_000])
def test_chromium_hears_each_beep_with_its_flash(chromium: Page, rate: int) -> None:
    """Browsers count samples: the made silence must be as long as what was lost."""
    opened(chromium, Shape(rate=rate))
    heard = [beep for beep in chromium.evaluate("beeps()") if beep > 0.5]
    assert len(heard) >= 9
    for beep in heard:
        # White from this instant on, dark until now.
        assert chromium.evaluate(f"seek({beep + 0.01})") > 150
        assert chromium.evaluate(f"seek({beep - 0.01})") < 100
