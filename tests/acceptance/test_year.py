"""A year of the house in simulation: seven rooms, 252 working days, a purge each night, holds and requests.

At each instant that is looked at, each night and in between, the oldest footage that the door opens is within
the rule, every hold is whole, and every other day is gone: rows and objects.
"""

from __future__ import annotations

import random
from datetime import date, time, timedelta

import pytest
from sqlalchemy import insert

from archive import room_days
from archive.models import SampleIndex, Segment, SegmentManifestRow
from archive.mp4.reader import read_index
from archive.store import object_name
from archive.system import Archive
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND
from recorder.settings import Settings
from retrieval_api.requests.asked_interval import About, Remembered, asked_interval
from tests.archive_driver import Driver
from tests.archive_model import Item, Span, date_of, instant_us
from tests.footage import tiny_media
from tests.requesting import KYIV

YEAR = 2027  # 31 January falls due on the 28th; clocks change in the nights to 28 March and 31 October
WORKING_DAYS = 252
LENGTH_US = 60 * US_PER_SECOND
# The longest month: nothing older opens for an audit. The hour is the one that October has twice.
MONTH_US = 31 * US_PER_DAY + 60 * US_PER_MINUTE


def working_days(rng: random.Random, count: int) -> set[date]:
    every = [date(YEAR, 1, 1) + timedelta(days=number) for number in range(365)]
    weekdays = [day for day in every if day.isoweekday() <= 5]
    return set(rng.sample(weekdays, count))


class House:
    """The archive, its model, and the clock."""

    def __init__(self, archive: Archive, seed: int) -> None:
        with archive.database.reading() as session:
            rooms = [room.id for room in archive.configurations.current(session)[1].rooms]
        assert len(rooms) == 7
        self.driver = Driver(archive, rooms)
        self.archive, self.rooms, self.rng = archive, rooms, random.Random(seed)
        media = tiny_media(LENGTH_US // US_PER_SECOND)
        self._index = read_index(lambda at, length: media[at : at + length], len(media)).to_bytes()
        self._sealed: dict[str, bytes] = {}
        self._number = 0

    def record(self, day: date, per_room: int) -> None:
        """A day's segments of all rooms, as rows and objects that accepting would have made."""
        rows = []
        for room in self.rooms:
            minutes = sorted(self.rng.sample(range(8 * 60, 17 * 60), per_room))
            rows += [self._segment(room, day, minute) for minute in minutes]
        with self.archive.database.transaction() as session:
            days = [(room, day.isoformat()) for room in self.rooms]
            room_days.lock(session, self.archive.configurations, days)
            session.execute(insert(Segment), rows)
            manifests = [{"segment_id": row["id"], "encoded": b"manifest"} for row in rows]
            session.execute(insert(SegmentManifestRow), manifests)
            indexes = [{"segment_id": row["id"], "encoded": self._sealed.pop(row["id"])} for row in rows]
            session.execute(insert(SampleIndex), indexes)

    def _segment(self, room: str, day: date, minute: int) -> dict[str, object]:
        self._number += 1
        identity = f"00000000-0000-7000-8000-{self._number:012x}"
        span = Span(instant_us(day, *divmod(minute, 60)), instant_us(day, *divmod(minute, 60)) + LENGTH_US)
        name = object_name(room, day.isoformat(), f"{identity}-0")
        writer = self.archive.store.writer(name)
        media = tiny_media(LENGTH_US // US_PER_SECOND)
        writer.write(media)
        self._sealed[identity] = writer.seal_index(self._index)
        writer.commit()
        self.driver.model.items[identity] = Item("segment", identity, room, span)
        return {
            "id": identity, "room": room, "date": day.isoformat(), "source": "main", "run": identity,
            "start_us": span.start_us, "end_us": span.end_us, "object_name": name,
            "size_bytes": len(media), "file_sha256": "0" * 64, "manifest_sha256": "0" * 64,
            "clock_estimated": False, "overlaps": False, "accepted_us": span.end_us,
        }  # fmt: skip

    def act(self, now_us: int) -> None:
        """Somebody comes: to hold, to ask, to decide, to let go."""
        items = list(self.driver.model.items.values())
        if not items:
            return
        item, chance = self.rng.choice(items), self.rng.random()
        if chance < 0.3:
            before, after = (self.rng.randrange(3 * 24 * 60) * US_PER_MINUTE for _ in range(2))
            self.driver.keeping.hold(
                item.room, Span(item.span.start_us - before, item.span.end_us + after), now_us
            )
        elif chance < 0.6 and len(self.driver.keeping.requests) < 40:
            self._ask(item, now_us)
        elif chance < 0.9 and self.driver.keeping.requests:
            step = self.rng.choice(["approve", "approve", "refuse", "withdraw", "close"])
            self.driver.keeping.decide(self.rng.choice(sorted(self.driver.keeping.requests)), step, now_us)
        elif self.driver.model.holds:
            self.driver.keeping.release(self.rng.choice(sorted(self.driver.model.holds)), now_us)

    def _ask(self, item: Item, now_us: int) -> None:
        day = date_of(item.span.start_us)
        minute = (item.span.start_us - instant_us(day)) // US_PER_MINUTE % (24 * 60)
        remembered = Remembered(day, About.HALF_HOUR, time(*divmod(minute, 60)))
        room = None if self.rng.random() < 0.2 else item.room
        self.driver.keeping.register(room, remembered, asked_interval(remembered, KYIV), now_us)

    def look(self, now_us: int) -> None:
        """At the oldest of each room without a purpose, and at what is held with one."""
        model = self.driver.model
        for room in self.rooms:
            mine = sorted(
                (item for item in model.items.values() if item.room == room), key=lambda each: each.span
            )
            opened = next((item for item in mine if model.may_open(item, now_us)), None)
            if opened is not None:
                assert now_us - opened.span.start_us <= MONTH_US
                self.driver.open(room, opened.span, "audit", now_us)
            if mine:
                self.driver.open(room, mine[0].span, "fault_check", now_us)
        for hold in self.rng.sample(sorted(model.holds), min(3, len(model.holds))):
            held = model.holds[hold]
            for item in [
                each for each in model.items.values() if hold in _ids(model.keepers(each.room, each.span))
            ][:2]:
                self.driver.open(held.room, item.span, f"hold:{hold}", now_us)


def _ids(holds: list) -> set[int]:
    return {hold.id for hold in holds}


@pytest.mark.parametrize(
    ("nights", "working", "per_room"),
    [
        # From the last days of January to the end of March: the 31st and the night of 23 hours are in it.
        (range(28, 90), WORKING_DAYS // 2, 1),
        pytest.param(range(365), WORKING_DAYS, 10, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
    ids=["two months", "a year"],
)
def test_nights_of_a_year_keep_what_is_held_and_nothing_else(tmp_path, nights, working, per_room):
    settings = Settings(
        data_dir=tmp_path, demo=True, open_requests_per_contact=10**6, open_requests_per_address=10**6
    )
    archive = Archive.open(settings, migrate=True)
    house = House(archive, seed=YEAR)
    recorded = working_days(house.rng, working)
    assert len(recorded) == working
    for number in nights:
        day = date(YEAR, 1, 1) + timedelta(days=number)
        midnight_us = instant_us(day)
        # In the first instant of the day what fell due is closed, purged or not.
        house.look(midnight_us)
        house.driver.purge(midnight_us + 5 * US_PER_SECOND, certified=day.day == 1)
        house.driver.assert_index(midnight_us)
        if day in recorded:
            house.record(day, per_room)
        instant = instant_us(day, 17) + house.rng.randrange(6 * 60) * US_PER_MINUTE
        house.act(instant)
        if house.rng.random() < 0.2:
            house.look(instant)
    seen = house.driver.seen
    for what in ("held", "registered", "approve", "refuse", "released", "kept past due", "opened past due"):
        assert seen[what], seen
    # A year later only what is held is left.
    end_us = instant_us(date(YEAR + 1, 12, 31))
    house.driver.purge(end_us)
    assert all(house.driver.model.keepers(item.room, item.span) for item in house.driver.model.items.values())
    archive.close()
