"""Holds against purges, at once, on a real SQLite file: no interleaving loses held footage."""

from __future__ import annotations

import threading
from datetime import date, timedelta

from sqlalchemy import select

from archive import custody
from archive.check import check
from archive.models import Hold, Segment
from archive.system import Archive
from recorder.instants import US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from recorder.settings import Settings
from retention import certificate, holds, purge
from retention.errors import DayGoneError
from tests.footage import FakeAgent, make_archive

ZONE = "Europe/Kyiv"
DAYS = 12
FIRST = date(2026, 11, 1)
DUE = local_midnight_us(date(2026, 12, DAYS), ZONE)
# The last instant at which a resident may still ask for the last of the days.
BEFORE = local_midnight_us(date(2026, 12, 1), ZONE) - 1


def ten_o_clock(number: int) -> int:
    return local_midnight_us(FIRST + timedelta(days=number), ZONE) + 36_000 * US_PER_SECOND


def place(archive: Archive, number: int, placed: list[int], refused: list[int]) -> None:
    start_us = ten_o_clock(number) + US_PER_SECOND
    order = holds.HoldOrder("108", Interval(start_us, start_us + 1), "r", "g", "user:3")
    try:
        with archive.database.transaction() as session:
            holds.place(session, archive, [order], BEFORE)
        placed.append(number)
    except DayGoneError:
        refused.append(number)


def test_holds_against_two_purges_lose_no_held_footage(tmp_path):
    archive = make_archive(tmp_path)
    agent = FakeAgent(archive)
    recorded = {agent.record(ten_o_clock(number)): number for number in range(DAYS)}
    placed: list[int] = []
    refused: list[int] = []
    errors: list[BaseException] = []
    start = threading.Barrier(4)
    confirm = purge.plan(archive, DUE).digest

    def holder(numbers: list[int]) -> None:
        # Each thread is a process of its own to the database: its own engine and connections.
        other = Archive.open(Settings(data_dir=tmp_path, demo=True))
        start.wait()
        for number in numbers:
            place(other, number, placed, refused)
        other.close()

    def purger() -> None:
        other = Archive.open(Settings(data_dir=tmp_path, demo=True))
        # Planned before any hold: only the decision under the lock can save what is held meanwhile.
        made = purge.plan(other, DUE)
        start.wait()
        report = purge.Report(DUE)
        told = purge.Clock(DUE, "given")
        for decision in made.acting:
            purge._purge_day(other, decision, confirm, told, "system", purge.no_fault)
            purge._finish(other, told, report, "system", purge.no_fault)
        errors.extend(RuntimeError(line) for line in report.failures)
        other.close()

    def guarded(work, *arguments) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 (told by the assertion below)
            errors.append(error)

    # The purges go from the first day on, one holder the other way, one along with them.
    threads = [
        threading.Thread(target=guarded, args=(holder, list(reversed(range(1, DAYS, 2))))),
        threading.Thread(target=guarded, args=(holder, list(range(0, DAYS, 2)))),
        threading.Thread(target=guarded, args=(purger,)),
        threading.Thread(target=guarded, args=(purger,)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert sorted(placed + refused) == list(range(DAYS))
    assert placed, "no hold was in time: nothing was shown"
    assert refused, "no purge was in time: nothing was shown"

    with archive.database.reading() as session:
        left = {recorded[segment] for segment in session.scalars(select(Segment.id))}
        holds_left = list(session.scalars(select(Hold.id)))
        assert list(custody.verify(session)) == []
        assert list(certificate.verify(session, archive.server_key.public_key())) == []
        assert certificate.uncertified(session) == 0
    assert left == set(placed)
    assert len(holds_left) == len(placed)
    assert list(check(archive, deep=True)) == []
    archive.close()
