"""Holds against purges, at once, on both databases: no interleaving loses held footage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from archive import certified, custody
from archive.check import check
from archive.models import Hold, Segment
from archive.system import Archive
from recorder.instants import US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from recorder.settings import Settings
from retention import certificate, holds, purge
from retention.errors import DayGoneError
from tests.footage import FakeAgent

pytestmark = pytest.mark.both_databases

ZONE = "Europe/Kyiv"
DAYS = 12
FIRST = date(2026, 11, 1)
DUE = local_midnight_us(date(2026, 12, DAYS), ZONE)
# The last instant at which a resident may still ask for the last of the days.
BEFORE = local_midnight_us(date(2026, 12, 1), ZONE) - 1


def ten_o_clock(number: int) -> int:
    return local_midnight_us(FIRST + timedelta(days=number), ZONE) + 36_000 * US_PER_SECOND


class Race:
    """Each contender is a process of its own to the database: its own engine and connections."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.directory, self.database_url = directory, database_url
        self.placed: list[int] = []
        self.refused: list[int] = []
        self.errors: list[object] = []
        self.start = threading.Barrier(4)
        # Both outcomes are certain at the ends of the month; in between it is a race.
        self.first_purged, self.last_held = threading.Event(), threading.Event()

    def run(self) -> None:
        contenders = [
            lambda archive: self.hold(archive, reversed(range(1, DAYS, 2))),
            lambda archive: self.hold(archive, range(0, DAYS, 2), after=self.first_purged),
            self.purge,
            self.purge,
        ]
        threads = [threading.Thread(target=self._guarded, args=(each,)) for each in contenders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)

    def _guarded(self, contender: Callable[[Archive], None]) -> None:
        archive = Archive.open(Settings(data_dir=self.directory, database_url=self.database_url, demo=True))
        try:
            contender(archive)
        except Exception as error:  # noqa: BLE001 (told by the test's assertion)
            self.errors.append(error)
        finally:
            archive.close()

    def hold(self, archive: Archive, days: Iterable[int], after: threading.Event | None = None) -> None:
        self.start.wait(30)
        assert after is None or after.wait(30)
        for number in days:
            start_us = ten_o_clock(number) + US_PER_SECOND
            order = holds.HoldOrder("108", Interval(start_us, start_us + 1), "r", "g", "user:3")
            try:
                with archive.database.transaction() as session:
                    holds.place(session, archive, [order], BEFORE)
                self.placed.append(number)
            except DayGoneError:
                self.refused.append(number)
            if number == DAYS - 1:
                self.last_held.set()

    def purge(self, archive: Archive) -> None:
        # Planned before any hold: only the decision under the lock can save what is held meanwhile.
        made, report = purge.plan(archive, DUE), purge.Report(DUE)
        told = purge.Clock(DUE, "given")
        self.start.wait(30)
        for decision in made.acting:
            if decision is made.acting[-1]:
                assert self.last_held.wait(30)
            purge._purge_day(archive, decision, made.digest, told, "system", purge.no_fault)
            purge._finish(archive, told, report, "system", purge.no_fault)
            self.first_purged.set()
        self.errors += report.failures


def test_holds_against_two_purges_lose_no_held_footage(archive, tmp_path, database_url):
    agent = FakeAgent(archive)
    recorded = {agent.record(ten_o_clock(number)): number for number in range(DAYS)}
    race = Race(tmp_path, database_url)
    race.run()
    assert race.errors == []
    assert sorted(race.placed + race.refused) == list(range(DAYS))
    assert DAYS - 1 in race.placed
    assert 0 in race.refused

    with archive.database.reading() as session:
        left = {recorded[segment] for segment in session.scalars(select(Segment.id))}
        holds_left = list(session.scalars(select(Hold.id)))
        assert list(custody.verify(session)) == []
        assert list(certified.verify(session, archive.server_key.public_key())) == []
        assert certificate.uncertified(session) == 0
    assert left == set(race.placed)
    assert len(holds_left) == len(race.placed)
    assert list(check(archive, deep=True)) == []
