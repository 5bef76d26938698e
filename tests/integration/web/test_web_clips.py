"""Clips over HTTP: ranges, conditions, grounds, viewings, and why there is none."""

from __future__ import annotations

import io
import json
from urllib.parse import quote

import av
import pytest
from sqlalchemy import select

from archive import viewing
from archive.models import RoomDay
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, format_instant, now_us, to_datetime
from recorder.intervals import Interval
from tests.agent_media import Bytes, mux, pictures, sounds
from tests.custody_log import events
from tests.footage import FakeAgent
from tests.holding import hold
from tests.web import Client, logged_in, problem

ZONE = "Europe/Kyiv"
SEGMENT_US = 2 * US_PER_SECOND


class Recorded:
    """Ten seconds of room 108 from `start_us`, then a minute's gap; a hold on its first four seconds."""

    def __init__(self, archive) -> None:
        self.archive = archive
        self.start_us = (now_us() - 30 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
        self.end_us = self.start_us + 5 * SEGMENT_US
        agent = FakeAgent(archive)
        for number in range(5):
            agent.record(self.start_us + number * SEGMENT_US)
        assert agent.send(agent.gap(self.end_us, self.end_us + US_PER_MINUTE)).outcome == "accepted"
        self.hold = hold(archive, self.start_us, self.start_us + 2 * SEGMENT_US)

    def url(self, start_us: int | None = None, end_us: int | None = None, room: str = "108", **more) -> str:
        start = quote(format_instant(self.start_us if start_us is None else start_us, ZONE))
        end = quote(format_instant(self.end_us if end_us is None else end_us, ZONE))
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return f"/api/v1/rooms/{room}/clip.mp4?from={start}&to={end}{query}"


@pytest.fixture(scope="module")
def recorded(archive):
    return Recorded(archive)


def test_the_whole_clip_plays_and_tells_its_interval(recorded, operator) -> None:
    answer = operator.get(recorded.url(ground="fault_check"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["Content-Disposition"].startswith('inline; filename="108_20')
    assert answer.headers["Protokol-Start"] == format_instant(recorded.start_us, ZONE)
    with av.open(io.BytesIO(answer.content)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 250


def test_every_range_equals_the_same_slice_of_the_whole(recorded, operator) -> None:
    address = recorded.url(ground="fault_check")
    whole = operator.get(address).content
    size = len(whole)
    for first, last in ((0, 0), (0, 1023), (size // 3, size // 2), (size - 1, size - 1), (size - 5000, size)):
        part = operator.get(address, headers={"Range": f"bytes={first}-{last}"})
        assert part.status_code == 206
        assert part.content == whole[first : last + 1]
        assert part.headers["Content-Range"] == f"bytes {first}-{min(last, size - 1)}/{size}"
    beyond = operator.get(address, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert beyond.headers["Content-Type"] == "application/problem+json"


def test_conditions_and_head(recorded, operator) -> None:
    address = recorded.url(ground="fault_check")
    head = operator.head(address)
    etag = head.headers["ETag"]
    assert not etag.startswith("W/")
    assert int(head.headers["Content-Length"]) > 0
    assert operator.get(address, headers={"If-None-Match": etag}).status_code == 304
    changed = operator.get(address, headers={"If-Range": '"x"', "Range": "bytes=0-1"})
    assert changed.status_code == 200
    assert operator.get(address, headers={"If-Match": '"x"'}).status_code == 412


def test_download_is_an_attachment(recorded, operator) -> None:
    answer = operator.head(recorded.url(ground="fault_check", download=1))
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_ranges_of_one_look_are_one_viewing(recorded, auditor) -> None:
    before = len(events(recorded.archive, "view_opened"))
    address = recorded.url(recorded.start_us, recorded.start_us + 3 * SEGMENT_US)
    for start in (0, 5000, 90_000):
        auditor.get(address, headers={"Range": f"bytes={start}-{start + 999}"})
    opened = events(recorded.archive, "view_opened")[before:]
    assert len(opened) == 1
    assert json.loads(opened[0].details)["ground"] == "audit"
    viewing.close_idle(recorded.archive, now_us() + US_PER_DAY)
    closed = json.loads(events(recorded.archive, "view_closed")[-1].details)
    assert closed["served_bytes"] == 3000
    assert recorded.start_us <= closed["served_start_us"] < closed["served_end_us"]


def test_nothing_is_opened_without_bytes(recorded, operator) -> None:
    before = len(events(recorded.archive, "view_opened"))
    address = recorded.url(recorded.start_us, recorded.start_us + SEGMENT_US, ground="fault_check")
    etag = operator.head(address).headers["ETag"]
    operator.get(address, headers={"If-None-Match": etag})
    operator.get(address, headers={"Range": "bytes=999999999-"})
    assert len(events(recorded.archive, "view_opened")) == before


def test_a_reader_that_goes_away_is_recorded(recorded, url, operator) -> None:
    address = recorded.url(recorded.start_us, recorded.start_us + 4 * SEGMENT_US, ground="fault_check")
    with operator.stream("GET", address) as answer:
        next(answer.iter_raw(1000))
    operator.get("/staff/board")
    viewing.close_idle(recorded.archive, now_us() + US_PER_DAY)
    assert json.loads(events(recorded.archive, "view_closed")[-1].details)["served_bytes"] > 0


def test_staff_state_a_ground_of_their_own(recorded, operator, auditor) -> None:
    told = problem(operator.get(recorded.url()), 428, "ground_required")
    assert "ground=request:NUMBER" in told["detail"]
    assert told["grounds"] == ["request", "hold", "fault_check"]
    problem(operator.get(recorded.url(ground="audit")), 403, "ground_not_yours")
    problem(operator.get(recorded.url(ground="curiosity")), 422, "bad_ground")
    problem(operator.get(recorded.url(ground="request:2026-000000")), 422, "bad_ground")
    assert auditor.head(recorded.url()).status_code == 200


def test_a_hold_opens_what_it_holds_and_nothing_beside_it(recorded, operator) -> None:
    ground = f"hold:{recorded.hold}"
    inside = recorded.url(end_us=recorded.start_us + 2 * SEGMENT_US, ground=ground)
    assert operator.head(inside).status_code == 200
    beside = recorded.url(end_us=recorded.start_us + 2 * SEGMENT_US + 1000, ground=ground)
    problem(operator.get(beside), 403, "outside_purpose")
    elsewhere = recorded.url(end_us=recorded.start_us + SEGMENT_US, room="228-a", ground=ground)
    problem(operator.get(elsewhere), 403, "outside_purpose")


def test_why_there_is_none(recorded, auditor, clock) -> None:
    gap_us = recorded.end_us + US_PER_SECOND
    told = problem(auditor.get(recorded.url(gap_us, gap_us + US_PER_SECOND)), 404, "no_footage")
    assert told["reason"] == "gap"
    assert told["gaps"][0]["cause"] == "camera_unreachable"
    ahead = now_us() + 60 * US_PER_MINUTE
    told = problem(auditor.get(recorded.url(ahead, ahead + US_PER_SECOND)), 404, "no_footage")
    assert told["reason"] == "future"


def test_past_the_due_midnight_only_the_hold_opens_it(recorded, url, clock) -> None:
    clock.set_us = now_us() + 40 * US_PER_DAY
    try:
        with logged_in(url, "admin") as admin:
            held = Interval(recorded.start_us, recorded.start_us + SEGMENT_US)
            told = problem(
                admin.get(recorded.url(held.start_us, held.end_us, ground="audit")), 404, "no_footage"
            )
            assert told["reason"] == "expired"
            by_hold = recorded.url(held.start_us, held.end_us, ground=f"hold:{recorded.hold}")
            assert admin.get(by_hold).status_code == 200
    finally:
        clock.set_us = None


def test_bad_input_is_named(recorded, auditor) -> None:
    start = format_instant(recorded.start_us, ZONE)
    backwards = recorded.url(recorded.end_us, recorded.start_us)
    assert "backwards" in problem(auditor.get(backwards), 400, "bad_time")["detail"]
    naive = "/api/v1/rooms/108/clip.mp4?from=2026-11-20T10:00:00&to=2026-11-20T10:01:00"
    assert "time zone" in problem(auditor.get(naive), 400, "bad_time")["detail"]
    garbage = f"/api/v1/rooms/108/clip.mp4?from={quote(start)}&to=tomorrow"
    problem(auditor.get(garbage), 400, "bad_time")
    unknown = problem(auditor.get(recorded.url(room="999")), 404, "unknown_room")
    assert "108, 228-А" in unknown["detail"]
    problem(auditor.get("/api/v1/rooms/108/clip.mp4"), 422, "invalid_input")
    huge = f"/api/v1/rooms/108/clip.mp4?from={'9' * 20_000}&to=x"
    problem(auditor.get(huge), 400, "bad_time")


def test_a_room_answers_to_its_label_and_to_look_alikes(recorded, auditor) -> None:
    for name in ("228-a", "228-А", "228-A"):
        answer = auditor.get(f"/api/v1/rooms/{quote(name)}/coverage?date=2026-11-20")
        assert answer.json()["room"] == "228-a"


def test_strangers_get_nothing(recorded, url) -> None:
    with Client(base_url=url) as stranger:
        for path in (recorded.url(ground="audit"), "/api/v1/rooms", "/api/v1/rooms/108/coverage?date=x"):
            problem(stranger.get(path), 401, "not_logged_in")
    with logged_in(url, "clerk") as clerk:
        problem(clerk.get(recorded.url(ground="audit")), 403, "forbidden")


def test_rooms_coverage_and_segments(recorded, auditor) -> None:
    rooms = auditor.get("/api/v1/rooms").json()["rooms"]
    assert [room["label"] for room in rooms] == ["108", "228-А"]
    assert rooms[0]["state"] == "fault"
    assert rooms[0]["cause"] == "agent_down"
    date = format_instant(recorded.start_us, ZONE)[:10]
    facts = auditor.get(f"/api/v1/rooms/108/coverage?date={date}").json()
    assert facts["recorded"] == [
        {"from": format_instant(recorded.start_us, ZONE), "to": format_instant(recorded.end_us, ZONE)}
    ]
    assert "camera_unreachable" in {gap["cause"] for gap in facts["gaps"]}
    assert [hold["id"] for hold in facts["holds"]] == [recorded.hold]
    start, end = (quote(format_instant(each, ZONE)) for each in (recorded.start_us, recorded.end_us))
    listed = auditor.get(f"/api/v1/segments?room=108&from={start}&to={end}").json()["segments"]
    assert len(listed) == 5
    problem(auditor.get("/api/v1/rooms/108/coverage?date=20.11.2026"), 400, "bad_time")


def test_a_day_of_a_room_is_a_page(recorded, operator) -> None:
    date = format_instant(recorded.start_us, ZONE)[:10]
    page = operator.get(f"/staff/rooms/108/day?date={date}").text
    assert "камера не відповідала" in page
    assert "1 заборона знищення" in page
    # Not the rest of `date`: within half an hour after midnight that is over.
    tomorrow = format_instant(now_us() + US_PER_DAY, ZONE)[:10]
    asked = f"date={tomorrow}&from=23:59:58&to=23:59:59&ground=fault_check"
    nothing = operator.get(f"/staff/rooms/108/day?{asked}")
    assert nothing.status_code == 404
    assert "Цей час ще не настав" in nothing.text
    assert 'value="23:59:58"' in nothing.text, "what was filled in stays"
    no_ground = operator.get(f"/staff/rooms/108/day?date={date}&from=10:00&to=10:01&open=true")
    assert no_ground.status_code == 428
    assert "Вкажіть підставу" in no_ground.text
    with recorded.archive.database.reading() as session:
        assert session.scalars(select(RoomDay)).all()


def test_h265_is_said_where_it_may_not_play(recorded, operator) -> None:
    footage = Bytes()
    mux(footage, pictures(2, codec="libx265"), sounds(2), codec="hevc")
    agent = FakeAgent(recorded.archive, room="228-a")
    start_us = recorded.start_us
    signed, body = agent.segment(start_us, body=footage.data)
    assert agent.send(signed, body).outcome == "accepted"
    end_us = start_us + SEGMENT_US
    answer = operator.head(recorded.url(start_us, end_us, room="228-a", ground="fault_check"))
    assert answer.headers["Protokol-Coding"] == "h265"
    answer = operator.head(recorded.url(ground="fault_check"))
    assert answer.headers["Protokol-Coding"] == "h264"
    day, start, end = (to_datetime(at, ZONE) for at in (start_us, start_us, end_us))
    asked = f"date={day:%Y-%m-%d}&from={start:%H:%M:%S}&to={end:%H:%M:%S}&ground=fault_check"
    assert "у форматі H.265" in operator.get(f"/staff/rooms/228-a/day?{asked}").text
    assert "in H.265" in operator.get(f"/staff/rooms/228-a/day?{asked}&lang=en").text
    assert "H.265" not in operator.get(f"/staff/rooms/108/day?{asked}&lang=uk").text
