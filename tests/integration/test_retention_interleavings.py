"""A thousand interleavings of hold, purge and accept on the same room-days, by threads and by processes:
no interleaving destroys what is held, and none leaves what is not.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from archive import certified, custody
from archive.check import check
from archive.models import Garbage, Hold, Segment
from archive.system import Archive
from retention import certificate
from tests.archive_model import due_us, instant_us
from tests.archive_truths import HARMLESS
from tests.footage import FakeAgent, tiny_media
from tests.integration.room_day_race import Contender, Lane
from tests.requesting import purge_at

ROOT = Path(__file__).parents[2]
ROOMS = ("108", "228-a")
ROLES = ("hold", "accept", "purge", "purge")
FIRST = date(2026, 1, 1)


class Course:
    """An archive with so many room-days, each with a segment that is there and one that comes late."""

    def __init__(self, archive: Archive, days: int) -> None:
        self.archive = archive
        self.lanes: list[Lane] = []
        self.there: dict[str, int] = {}
        agents = [FakeAgent(archive, room) for room in ROOMS]
        for number in range(days):
            day, agent = FIRST + timedelta(days=number // len(ROOMS)), agents[number % len(ROOMS)]
            start_us = instant_us(day, 10)
            signed, file = agent.segment(start_us, body=tiny_media())
            assert agent.send(signed, file).outcome == "accepted"
            self.there[signed.manifest.segment_id] = number
            late, _ = agent.segment(start_us, body=tiny_media())
            self.lanes.append(
                Lane(
                    agent.room, day.isoformat(), start_us, due_us(day), agent.key.token,
                    late.manifest.segment_id, late.header, base64.b64encode(late.box).decode(),
                )
            )  # fmt: skip

    def judge(self, told: list[tuple[str, ...]]) -> None:
        """`told`: what came of each lane, in the order of ROLES. One more run leaves nothing undecided."""
        outcomes = Counter(told)
        assert {each[0] for each in outcomes} <= {"held", "gone"}, outcomes
        assert {each[1] for each in outcomes} <= {"accepted", "expired"}, outcomes
        # A day is purged by one of the two, or by the one that came before the hold and the other after it.
        assert {word for each in outcomes for word in each[2:]} <= {"purged", "idle"}, outcomes
        # It was a race: each of the two was first somewhere.
        assert len({each[0] for each in outcomes}) == len({each[1] for each in outcomes}) == 2, outcomes
        report = purge_at(self.archive, self.lanes[-1].due_us)
        assert report.failures == []
        held = {number for number, each in enumerate(told) if each[0] == "held"}
        with self.archive.database.reading() as session:
            left = set(session.scalars(select(Segment.id)))
            kept = {(row.room, row.start_us) for row in session.scalars(select(Hold))}
            assert list(session.scalars(select(Garbage.object_name))) == []
            assert list(certified.verify(session, self.archive.server_key.public_key())) == []
            assert certificate.uncertified(session) == 0
            assert list(custody.verify(session)) == []
        assert kept == {(self.lanes[each].room, self.lanes[each].start_us) for each in held}
        late = {lane.segment_id for lane, each in zip(self.lanes, told, strict=True)
                if each[:2] == ("held", "accepted")}  # fmt: skip
        assert left == late | {segment for segment, number in self.there.items() if number in held}
        assert [each for each in check(self.archive, deep=True) if each.kind not in HARMLESS] == []


def by_threads(course: Course) -> list[tuple[str, ...]]:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(ROLES)))
        contenders = []
        for seed, role in enumerate(ROLES):
            archive = Archive.open(course.archive.settings)
            stack.callback(archive.close)
            contenders.append(Contender(archive, role, seed))
        told = []
        for lane in course.lanes:
            racing = [pool.submit(contender.race, lane) for contender in contenders]
            told.append(tuple(each.result(60) for each in racing))
        return told


def by_processes(course: Course) -> list[tuple[str, ...]]:
    settings = course.archive.settings.model_dump_json()
    with ExitStack() as stack:
        processes = []
        for seed, role in enumerate(ROLES):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.room_day_race", role, settings, str(seed)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        assert [each.stdout.readline() for each in processes] == ["ready\n"] * len(ROLES)
        told = []
        for lane in course.lanes:
            for each in processes:
                each.stdin.write(f"{lane}\n")
                each.stdin.flush()
            told.append(tuple(each.stdout.readline().strip() for each in processes))
        return told


@pytest.mark.both_databases(slow=True)
@pytest.mark.parametrize(
    "count", [60, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
@pytest.mark.parametrize("race", [by_threads, by_processes])
def test_interleavings_lose_nothing_held_and_leave_nothing_else(archive, race, count):
    course = Course(archive, count)
    course.judge(race(course))
