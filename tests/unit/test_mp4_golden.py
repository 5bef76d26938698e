"""Digests of clips of made-up archives, head and bytes: whoever changes how clips are made sees it here.

`python -m tests.unit.test_mp4_golden` writes the table anew. What changes the bytes of a clip must change
FORMAT_VERSION too, or a reader that goes on with a range would get a mix of two files under one ETag.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archive.mp4.virtual import FORMAT_VERSION, build
from recorder.intervals import Interval
from tests.mp4_synthetic import (
    VIDEO_TICKS,
    Footage,
    MadeSegment,
    make_segment,
    video_stsd,
)

GOLDEN = Path(__file__).parent / "mp4_golden.json"
WALL = 1_795_000_000_000_000
SECOND = 1_000_000
PLAIN, REORDERED, LEADING = (0, 1, 2, 3, 4, 5, 6), (0, 3, 1, 2, 6, 4, 5), (2, 0, 1, 5, 3, 4, 6)


def segment(
    name: str,
    run: str,
    start_us: int,
    media_s: float,
    *,
    order: tuple[int, ...] = PLAIN,
    rate: int = 48_000,
    lost: range = range(0),
    pictures: bool = True,
    sounds: bool = True,
    stsd: bytes | None = None,
) -> MadeSegment:
    """4.2 s: six groups of seven pictures, and sound without the packets `lost`."""
    step = VIDEO_TICKS // 10
    video = [
        (round(media_s * VIDEO_TICKS) + (7 * group + at) * step, (position - at) * step, step, at == 0)
        for group in range(6)
        for at, position in enumerate(order)
    ]
    count = 42 * rate // 10 // 1024
    audio = [(round(media_s * rate) + n * 1024, 1024) for n in range(count) if n not in lost]
    return make_segment(
        name, run, start_us, video if pictures else [], audio if sounds else [], rate=rate, stsd=stsd
    )


def one_run() -> Footage:
    names = enumerate("abc")
    return Footage(
        [segment(name, "r", WALL + n * 4_200_000, 5000 + n * 4.2, order=PLAIN) for n, name in names], 48_000
    )


def two_runs() -> Footage:
    return Footage([segment("a", "r1", WALL, 10), segment("b", "r2", WALL + 9_876_543, 77_777)], 48_000)


def reordered() -> Footage:
    first, second = segment("a", "r1", WALL, 10, order=REORDERED), WALL + 9 * SECOND
    return Footage([first, segment("b", "r2", second, 50, order=LEADING)], 48_000)


def h265() -> Footage:
    entry = video_stsd().replace(b"avc1", b"hvc1").replace(b"avcC", b"hvcC")
    return Footage([segment("a", "r1", WALL, 10, order=REORDERED, stsd=entry)], 48_000)


def sound_lost() -> Footage:
    return Footage(
        [segment("a", "r1", WALL, 10, lost=range(40, 90)), segment("b", "r2", WALL + 4_200_000, 9)], 48_000
    )


def sound_alone() -> Footage:
    return Footage([segment("a", "r1", WALL, 10, pictures=False, rate=16_000)], 16_000)


def picture_alone() -> Footage:
    return Footage([segment("a", "r1", WALL, 10, sounds=False)], 48_000)


def camera_sound() -> Footage:
    return Footage([segment("a", "r1", WALL, 10, rate=44_100)], 44_100)


CASES: dict[str, Callable[[], Footage]] = {
    each.__name__: each
    for each in (
        one_run, two_runs, reordered, h265, sound_lost, sound_alone, picture_alone, camera_sound
    )
}  # fmt: skip
ASKED = {"whole": Interval(WALL, WALL + 30 * SECOND), "inside": Interval(WALL + 710_001, WALL + 11_000_003)}


def told(footage: Footage, interval: Interval, *, exact: bool) -> dict[str, Any]:
    clip = build(footage.pieces, interval, exact=exact)
    content = hashlib.sha256(footage.content(clip)).hexdigest()
    return {
        "head": hashlib.sha256(clip.head).hexdigest(),
        "content": content,
        "etag": clip.etag,
        "size": clip.size,
        "shown_us": [clip.start_us - WALL, clip.end_us - WALL],
        "gaps_us": [[gap.track, gap.start_us - WALL, gap.end_us - WALL] for gap in clip.gaps],
    }


def table() -> dict[str, Any]:
    clips = {
        f"{name}, {asked}, {'exact' if exact else 'staff'}": told(make(), interval, exact=exact)
        for name, make in CASES.items()
        for asked, interval in ASKED.items()
        for exact in (True, False)
    }
    return {"format_version": FORMAT_VERSION, "clips": clips}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))
    return known


def test_every_clip_is_what_it_was(golden: dict[str, Any]) -> None:
    now = table()
    assert now["clips"].keys() == golden["clips"].keys()
    for name, clip in now["clips"].items():
        assert clip == golden["clips"][name], (
            f"{name}: if that is meant, raise FORMAT_VERSION and renew the table"
        )
    assert now["format_version"] == golden["format_version"]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
