"""What is served is what was recorded: archives, intervals and byte ranges by chance, over real HTTP.

The samples bear their names and lie sealed in a store; only that nobody signed them is not as in service.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.models import SampleIndex, Segment
from archive.mp4.virtual import CodecChangeError, NothingRecordedError, VirtualMp4, build
from archive.store import object_name
from archive.system import Archive
from recorder.instants import (
    US_PER_SECOND,
    format_exactly,
    local_date,
    local_midnight_us,
    now_us,
    parse_instant,
)
from recorder.intervals import Interval
from tests.mp4_chance import WALL, asked, check_samples, footage
from tests.mp4_synthetic import Footage, MadeSegment, make_segment, samples_in
from tests.web import Client, logged_in

ZONE = "Europe/Kyiv"
# An example needs half a minute of the archive's time, those of all tests less than a day.
SLOT_US = 60 * US_PER_SECOND
# Each costs a dozen requests; the builder alone is tried more often, in tests/unit.
EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Served:
    """An archive that takes made-up segments in as accepting would store them, and its server."""

    def __init__(self, archive: Archive, client: Client) -> None:
        self.archive, self.client = archive, client
        self._slots = itertools.count()
        self._first_us = now_us() - 20 * 3600 * US_PER_SECOND

    def shift_us(self) -> int:
        """From WALL to a time of the archive where nothing is recorded yet."""
        return self._first_us + next(self._slots) * SLOT_US - WALL

    def store(self, made: Footage, shift_us: int, source: str) -> Footage:
        return replace(made, segments=[self._store(each, shift_us, source) for each in made.segments])

    def _store(self, made: MadeSegment, shift_us: int, source: str) -> MadeSegment:
        identity = str(uuid4())
        start_us, end_us = made.piece.start_us + shift_us, made.piece.end_us + shift_us
        date = local_date(start_us, ZONE).isoformat()
        name = object_name("108", date, f"{identity}-0")
        writer = self.archive.store.writer(name)
        writer.write(made.data)
        encoded = writer.seal_index(made.piece.index.to_bytes())
        writer.commit()
        digest = hashlib.sha256(made.data).hexdigest()
        run = f"{shift_us}-{source}-{made.piece.run}"[-36:]
        with self.archive.database.transaction() as session:
            row = Segment(
                id=identity, room="108", date=date, source=source, run=run, start_us=start_us, end_us=end_us,
                object_name=name, size_bytes=len(made.data), file_sha256=digest, manifest_sha256=digest,
                clock_estimated=False, overlaps=False, accepted_us=end_us,
            )  # fmt: skip
            session.add(row)
            session.add(SampleIndex(segment_id=identity, encoded=encoded))
        moved = replace(made.piece, name=name, start_us=start_us, end_us=end_us, run=run)
        return replace(made, piece=moved)

    def address(self, interval: Interval, source: str, kind: str = "mp4") -> str:
        start, end = (quote(format_exactly(at, ZONE)) for at in (interval.start_us, interval.end_us))
        return f"/api/v1/rooms/108/clip.{kind}?from={start}&to={end}&source={source}"

    def get(self, address: str, **headers: str) -> httpx.Response:
        return self.client.get(
            address, headers={name.replace("_", "-"): each for name, each in headers.items()}
        )


@pytest.fixture(scope="module")
def served(archive: Archive, url: str) -> Iterator[Served]:
    with logged_in(url, "auditor") as client:
        yield Served(archive, client)


def moved(interval: Interval, shift_us: int) -> Interval:
    return Interval(interval.start_us + shift_us, interval.end_us + shift_us)


def built(made: Footage, interval: Interval) -> VirtualMp4 | None:
    try:
        return build(made.pieces, interval, exact=False)
    except NothingRecordedError:
        return None


@EXAMPLES
@given(footage(), footage(), asked(), st.data())
def test_every_sample_is_served_once_and_every_range_is_that_slice_of_the_whole(
    served: Served, main: Footage, side: Footage, interval: Interval, data: st.DataObject
) -> None:
    shift_us = served.shift_us()
    interval = moved(interval, shift_us)
    cameras = {"main": served.store(main, shift_us, "main"), "side": served.store(side, shift_us, "side")}
    for source, recorded in cameras.items():
        address = served.address(interval, source)
        whole = served.get(address)
        clip = built(recorded, interval)
        if clip is None:
            assert whole.status_code == 404, whole.text
            continue
        assert whole.status_code == 200, whole.text
        assert whole.headers["ETag"] == clip.etag
        # A sample of the other camera, or one that is no sample at all, fails here.
        held = samples_in(recorded, whole.content)
        check_samples(recorded, interval, Interval(clip.start_us, clip.end_us), held, exact=False)
        size = len(whole.content)
        for _ in range(3):
            first = data.draw(st.integers(0, size - 1))
            last = data.draw(st.integers(first, size + 10))
            part = served.get(address, Range=f"bytes={first}-{last}", If_Range=clip.etag)
            assert part.status_code == 206
            assert part.content == whole.content[first : last + 1]
        described = served.get(served.address(interval, source, "json")).json()
        assert described["size_bytes"] == size
        assert len(described["gaps"]) == len(clip.gaps) == int(whole.headers["Protokol-Gaps"])


def clips_of(document: dict[str, Any]) -> list[Interval]:
    return [Interval(parse_instant(each["from"]), parse_instant(each["to"])) for each in document["clips"]]


@EXAMPLES
@given(footage(codings=True))
def test_what_cannot_be_one_clip_lists_those_that_can(served: Served, made: Footage) -> None:
    shift_us = served.shift_us()
    recorded = served.store(made, shift_us, "main")
    interval = Interval(WALL + shift_us, WALL + shift_us + SLOT_US)
    answer = served.get(served.address(interval, "main"))
    try:
        build(recorded.pieces, interval, exact=False)
    except CodecChangeError:
        assert answer.status_code == 422, answer.text
    else:
        assert answer.status_code == 200
        return
    document = answer.json()
    assert document["code"] == "codec_change"
    parts = clips_of(document)
    assert len(parts) >= 2
    assert all(before.end_us <= after.start_us for before, after in itertools.pairwise(parts))
    held: set[tuple[str, str, int]] = set()
    for part, listed in zip(parts, document["clips"], strict=True):
        served_part = served.get(listed["url"])
        assert served_part.status_code == 200, served_part.text
        samples = samples_in(recorded, served_part.content)
        names = {(sample.piece, sample.kind, sample.number) for _, sample, _ in samples}
        assert not held & names
        held |= names
        assert interval.start_us <= part.start_us < part.end_us <= interval.end_us
    for segment in recorded.segments:
        key = next(each for each in segment.samples if each.sync)
        assert (key.piece, key.kind, key.number) in held, "a segment that is in no part"


def test_more_than_three_hours_list_their_parts_on_the_page_too(served: Served) -> None:
    day = local_date(now_us() - 3 * 24 * 3600 * US_PER_SECOND, ZONE)
    nine_us = local_midnight_us(day, ZONE) + 9 * 3600 * US_PER_SECOND
    hour_us = 3600 * US_PER_SECOND
    video = [(n * 9000, 0, 9000, n % 7 == 0) for n in range(42)]
    segments = [make_segment(f"h{n}", f"r{n}", nine_us + n * hour_us, video, []) for n in range(5)]
    served.store(Footage(segments, 48_000), 0, "main")
    asked = Interval(nine_us, nine_us + 5 * hour_us)
    for kind in ("mp4", "json"):
        answer = served.get(served.address(asked, "main", kind))
        assert (answer.status_code, answer.json()["code"]) == (422, "clip_too_long")
        parts = clips_of(answer.json())
        assert len(parts) == 2
        assert all(part.duration_us <= 3 * hour_us for part in parts)
        assert (parts[0].start_us, parts[-1].end_us) == (nine_us, segments[-1].piece.end_us)
        assert all(served.get(each["url"]).status_code == 200 for each in answer.json()["clips"])
    page = served.get(f"/staff/rooms/108/day?date={day}&from=09:00&to=14:00&ground=audit")
    assert page.status_code == 422
    links = re.findall(r'<a href="(\?date=[^"]+#player)">', page.text)
    assert len(links) == 2
    for link in links:
        opened = served.get(f"/staff/rooms/108/day{html.unescape(link)}")
        assert opened.status_code == 200
        assert 'id="video"' in opened.text
