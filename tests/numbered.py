"""Footage whose pictures bear their numbers in the simulator's bar code, sent into an archive, and the reader
of it in a browser: what is seen tells which camera took it, and when.
"""

from __future__ import annotations

from playwright.sync_api import Page
from uuid6 import uuid7

from tests.footage import FakeAgent
from tests.mp4_media import Shape, manifest_box, record

FRAME_US = 40_000
# Of a video element → the number in its picture, null where there is none.
READ_NUMBER = """(video) => {
  const pen = new OffscreenCanvas(160, 120).getContext("2d", { willReadFrequently: true });
  pen.drawImage(video, 0, 0, 160, 120);
  const row = pen.getImageData(0, 3, 160, 1).data;
  const cells = Array.from({ length: 20 }, (_, place) => row[4 * (place * 8 + 4)] > 128 ? 1 : 0);
  const bits = cells.slice(2, 18);
  const parity = bits.reduce((sum, bit) => sum ^ bit, 0);
  if (cells.slice(0, 2).join() !== "1,0" || cells[19] !== 1 || cells[18] !== parity) return null;
  return bits.reduce((sum, bit) => 2 * sum + bit, 0);
}"""


def send_run(agent: FakeAgent, start_us: int, shape: Shape) -> None:
    """A run of the agent's source that begins then; every segment of it is accepted."""
    recorded, run = record(shape), str(uuid7())
    for piece, file in zip(recorded.pieces(start_us), recorded.segments, strict=True):
        body = file[: -len(manifest_box())]
        signed, whole = agent.segment(
            piece.start_us, body=body, run=run, end_us=piece.end_us, media_bytes=len(body)
        )
        answer = agent.send(signed, whole)
        assert answer.outcome == "accepted", answer


def picture_shown(page: Page, video: str, told: str) -> tuple[int, str]:
    """The number in the picture of `video` once there is one, and the text of `told` beside it (selectors).
    A canvas sees what is shown: a page that is on its way to another moment is waited for.
    """
    number, text = page.evaluate(
        """async ([video, told]) => {
          const find = (selector) => document.querySelector(selector);
          for (let waited = 0; waited < 15_000; waited += 50) {
            const number = find(video).readyState < 2 ? null : (READ_NUMBER)(find(video));
            if (number !== null && !find("#day.moving")) return [number, find(told).textContent];
            await new Promise((done) => setTimeout(done, 50));
          }
          return [null, find(told).textContent];
        }""".replace("READ_NUMBER", READ_NUMBER),
        [video, told],
    )
    assert number is not None, f"no picture with a number; the page says {text}"
    return number, text
