"""A day for a player over HTTP: grounds, purposes, retention, ranges, and what the custody log says of it."""

from __future__ import annotations

import io
import json
import re
import threading

import av
import pytest
from sqlalchemy import event, select

from archive import viewing
from archive.models import Viewing
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, format_instant, now_us
from tests.custody_log import events
from tests.footage import FakeAgent
from tests.holding import hold
from tests.web import Client, logged_in, problem

ZONE = "Europe/Kyiv"
SEGMENT_US = 2 * US_PER_SECOND


class Recorded:
    """Ten seconds of room 108, then a minute's gap and two seconds; a hold on `[2.5 s, 7 s)` of it."""

    def __init__(self, archive) -> None:
        self.archive = archive
        self.start_us = (now_us() - 30 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
        agent = FakeAgent(archive)
        self.day_before = agent.record(self.start_us - US_PER_DAY)
        for number in range(5):
            agent.record(self.start_us + number * SEGMENT_US)
        agent.record(self.start_us + 5 * SEGMENT_US + US_PER_MINUTE)
        self.held = (self.start_us + 2_500_000, self.start_us + 7_000_000)
        self.hold = f"hold:{hold(archive, *self.held)}"
        self.date = format_instant(self.start_us, ZONE)[:10]

    def url(self, ground: str = "fault_check", room: str = "108", date: str = "") -> str:
        return f"/api/v1/rooms/{room}/day.m3u8?date={date or self.date}&ground={ground}"


@pytest.fixture(scope="module")
def recorded(archive):
    return Recorded(archive)


def addresses(playlist: str) -> list[str]:
    """Of the parts, as a player resolves them."""
    return [f"/api/v1/rooms/108/{line}" for line in playlist.splitlines() if line.startswith("media/")]


def init_of(playlist: str) -> str:
    return "/api/v1/rooms/108/" + re.search(r'EXT-X-MAP:URI="([^"]+)"', playlist)[1]


def test_the_day_is_whole_and_plays(recorded, admin) -> None:
    answer = admin.get(recorded.url())
    assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Protokol-Coding"] == "h264"
    assert len(addresses(answer.text)) == 6
    data = b"".join(admin.get(each).content for each in [init_of(answer.text), *addresses(answer.text)])
    with av.open(io.BytesIO(data)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 300
    with av.open(io.BytesIO(data)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) / 48_000 == pytest.approx(
            12, abs=0.1
        )


def test_conditions_and_ranges(recorded, admin) -> None:
    answer = admin.get(recorded.url())
    etag = answer.headers["ETag"]
    assert admin.get(recorded.url(), headers={"If-None-Match": etag}).status_code == 304
    address = addresses(answer.text)[1]
    whole = admin.get(address)
    assert whole.headers["Content-Type"] == "video/mp4"
    size = len(whole.content)
    for first, last in ((0, 0), (0, 1023), (size // 3, size // 2), (size - 1, size - 1)):
        part = admin.get(address, headers={"Range": f"bytes={first}-{last}"})
        assert part.status_code == 206
        assert part.content == whole.content[first : last + 1]
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    problem(admin.get(address, headers={"Range": f"bytes={size}-"}), 416, "range_not_satisfiable")
    assert admin.get(address, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert int(admin.head(address).headers["Content-Length"]) == size


def test_a_look_at_a_day_is_one_event_and_costs_no_write_for_each_part(recorded, admin, clock) -> None:
    clock.forward(10 * US_PER_MINUTE)
    try:
        viewing.close_idle(recorded.archive, clock())
        before = len(events(recorded.archive, "view_opened"))
        assert admin.head(recorded.url()).status_code == 200
        assert len(events(recorded.archive, "view_opened")) == before, "nothing is opened without bytes"
        parts = addresses(admin.get(recorded.url()).text)
        opened = events(recorded.archive, "view_opened")[before:]
        assert [json.loads(each.details)["ground"] for each in opened] == ["fault_check"]
        writes = []
        watched = recorded.archive.database.engine

        def note(connection, cursor, statement, *rest) -> None:
            del connection, cursor, rest
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN")):
                writes.append(statement)

        for engine in (watched, recorded.archive.database._writer):
            event.listen(engine, "before_cursor_execute", note)
        first_two = sum(len(admin.get(each).content) for each in parts[1:3])
        assert writes == []
        clock.forward(21 * US_PER_SECOND)
        sent = first_two + len(admin.get(parts[2]).content)
        wait_until(lambda: writes)
        for engine in (watched, recorded.archive.database._writer):
            event.remove(engine, "before_cursor_execute", note)
        assert len(events(recorded.archive, "view_opened")) == before + 1
        # What is told of the second part may come just before or just after the clock's step.
        wait_until(lambda: served(recorded)[2] in (sent, first_two))
        assert served(recorded)[:2] == (
            pytest.approx(recorded.start_us + SEGMENT_US, abs=30_000),
            pytest.approx(recorded.start_us + 3 * SEGMENT_US, abs=30_000),
        )
    finally:
        clock.set_us = None


def served(recorded) -> tuple[int, int, int]:
    with recorded.archive.database.reading() as session:
        row = session.scalars(select(Viewing).order_by(Viewing.id.desc())).first()
        return row.served_start_us, row.served_end_us, row.served_bytes


def wait_until(holds) -> None:
    """What is told of a part is told after its last byte."""
    for _ in range(100):
        if holds():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not come")


def test_a_hold_shows_what_it_holds_and_nothing_beside_it(recorded, admin) -> None:
    answer = admin.get(recorded.url(recorded.hold))
    parts = addresses(answer.text)
    spans = re.findall(r"WALL-US=(\d+),END-US=(\d+)", answer.text)
    assert min(int(start) for start, _ in spans) == recorded.start_us + 3_000_000
    assert max(int(end) for _, end in spans) <= recorded.held[1]
    data = b"".join(admin.get(each).content for each in [init_of(answer.text), *parts])
    with av.open(io.BytesIO(data)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 100
    # The same parts without their bounds, and those of other segments, are not of this purpose.
    whole = addresses(admin.get(recorded.url()).text)
    for address in (whole[0], whole[1], whole[3], whole[5]):
        beside = address.replace("ground=fault_check", f"ground={recorded.hold}")
        problem(admin.get(beside), 403, "outside_purpose")
    problem(admin.get(recorded.url(recorded.hold, room="228-a")), 403, "outside_purpose")


def test_a_part_shows_no_picture_of_another_day(recorded, admin) -> None:
    """Whoever writes addresses of his own gets at nothing beside the look that is on record."""
    address = addresses(admin.get(recorded.url()).text)[2]
    # So short that no picture ends in it: one is lent.
    sound_alone = re.sub(r"p=[^&]*", "p=0.1.0.0.30000", address)
    own = re.search(r"media/([^.]+)", address)[1]
    assert admin.get(f"{sound_alone}&still={own}.0").status_code == 200
    problem(admin.get(f"{sound_alone}&still={recorded.day_before}.0"), 404, "no_footage")


def test_a_look_that_is_asked_for_again_and_again_is_not_closed_meanwhile(recorded, admin, clock) -> None:
    """A playlist each half minute is no footage; what is served after five minutes of it is told still."""
    clock.forward(20 * US_PER_MINUTE)
    try:
        viewing.close_idle(recorded.archive, clock())
        parts = addresses(admin.get(recorded.url()).text)
        for _ in range(12):
            clock.forward(30 * US_PER_SECOND)
            viewing.close_idle(recorded.archive, clock())
            assert admin.get(recorded.url()).status_code == 200
        sent = len(admin.get(parts[0]).content)

        def is_told() -> bool:
            clock.forward(21 * US_PER_SECOND)
            admin.get(parts[1], headers={"Range": "bytes=0-0"})
            return served(recorded)[2] >= sent

        wait_until(is_told)
    finally:
        clock.set_us = None


def test_a_ground_is_needed_and_a_role(recorded, url) -> None:
    part = f"/api/v1/rooms/108/media/{'0' * 36}.mp4?p=0.1.0"
    with Client(base_url=url) as client:
        for address in (recorded.url(), part):
            problem(client.get(address), 401, "not_logged_in")
        client.log_in("operator")
        problem(client.get(recorded.url("")), 428, "ground_required")
        problem(client.get(part), 428, "ground_required")
        client.form("/staff/ground", ground="fault_check")
        assert client.get(recorded.url("")).status_code == 200
    with logged_in(url, "clerk") as clerk:
        problem(clerk.get(recorded.url()), 403, "forbidden")


def test_why_there_is_none(recorded, admin) -> None:
    tomorrow = format_instant(now_us() + US_PER_DAY, ZONE)[:10]
    assert problem(admin.get(recorded.url(date=tomorrow)), 404, "no_footage")["reason"] == "future"
    assert problem(admin.get(recorded.url(room="228-a")), 404, "no_footage")["reason"] == "gap"
    problem(admin.get(recorded.url(date="20.11.2026")), 400, "bad_time")
    problem(admin.get(recorded.url(room="999")), 404, "unknown_room")
    # The last one asks for a year of silence, which would be made in memory.
    for p in (
        "",
        "x",
        "1.2",
        "5.4.0",
        "0.999.0",
        "0.1." + "9" * 30,
        "-1.1.0",
        f"0.1.0...0.{366 * US_PER_DAY}",
    ):
        address = addresses(admin.get(recorded.url()).text)[0]
        assert admin.get(re.sub(r"p=[^&]*", f"p={p}", address)).status_code == 404, p
    other = addresses(admin.get(recorded.url()).text)[0].replace("/rooms/108/", "/rooms/228-a/")
    problem(admin.get(other), 404, "no_footage")


def test_past_the_due_midnight_only_the_hold_opens_a_day(recorded, url, clock, admin) -> None:
    parts = addresses(admin.get(recorded.url()).text)
    clock.set_us = now_us() + 40 * US_PER_DAY
    try:
        with logged_in(url, "admin") as client:
            told = problem(client.get(recorded.url()), 404, "no_footage")
            assert told["reason"] == "expired"
            assert problem(client.get(parts[0]), 404, "no_footage")["reason"] == "expired"
            held = client.get(recorded.url(recorded.hold))
            assert client.get(addresses(held.text)[0]).status_code == 200
    finally:
        clock.set_us = None
