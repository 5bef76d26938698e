"""One race a room-day: somebody holds it, somebody sends a late segment, two purge it, all at once.

As a process of its own: `python -m tests.integration.room_day_race ROLE SETTINGS SEED` races over the lines
`room date start_us due_us` of its standard input, each when its line comes, and answers each with a line.
Threads call the same `Contender`.
"""

from __future__ import annotations

import base64
import contextlib
import random
import sys
import time
from dataclasses import astuple, dataclass

from archive.ingest import Ingest
from archive.system import Archive
from archive.upload import Upload
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.settings import Settings
from retention import holds, policy, purge
from retention.errors import DayGoneError
from tests.footage import tiny_media

# How long a contender may wait before it moves: as long as a purge of such a small day takes.
_SPREAD_S = 0.008
# On every fifth lane both purges wait for so long besides: on a busy machine, or over a socket, accepting
# takes a tenth of a second, and would never be the first.
_HEAD_START_S = 0.2


@dataclass(frozen=True)
class Lane:
    """A room-day to race on, and the late segment as its agent would send it."""

    room: str
    date: str
    start_us: int
    due_us: int
    token: str
    segment_id: str
    header: str
    tail: str

    @classmethod
    def parse(cls, line: str) -> Lane:
        room, date, start_us, due_us, token, segment_id, header, tail = line.split()
        return cls(room, date, int(start_us), int(due_us), token, segment_id, header, tail)

    def __str__(self) -> str:
        return " ".join(str(each) for each in astuple(self))


class Contender:
    """One of `hold`, `accept`, `purge`, over connections of its own."""

    def __init__(self, archive: Archive, role: str, seed: int) -> None:
        self.archive, self._role = archive, role
        self._act = {"hold": self._hold, "accept": self._accept, "purge": self._purge}[role]
        self._random = random.Random(seed)

    def race(self, lane: Lane) -> str:
        """What came of it, in one word."""
        # By the lane, so that both purges wait for the same one.
        late = self._role == "purge" and random.Random(lane.segment_id).random() < 0.2
        time.sleep(self._random.random() * _SPREAD_S + late * _HEAD_START_S)
        return self._act(lane)

    def _hold(self, lane: Lane) -> str:
        """In the last instant in which that is allowed."""
        span = Interval(lane.start_us, lane.start_us + US_PER_SECOND)
        order = holds.HoldOrder(lane.room, span, "a complaint", "court order 1", "user:3")
        try:
            with self.archive.database.transaction() as session:
                holds.place(session, self.archive, [order], lane.due_us - 1)
        except DayGoneError:
            return "gone"
        return "held"

    def _accept(self, lane: Lane) -> str:
        now_us = lane.due_us - 1
        begun = Ingest(self.archive).begin(lane.room, lane.token, lane.segment_id, lane.header, now_us)
        if not isinstance(begun, Upload):
            return begun.outcome
        begun.write(tiny_media() + base64.b64decode(lane.tail))
        return begun.finish(now_us).outcome

    def _purge(self, lane: Lane) -> str:
        """Planned before anybody held: only the decision under the lock can save what is held meanwhile."""
        decision = policy.decide(policy.DayFacts(lane.room, lane.date, lane.due_us), [], lane.due_us)
        told, report = purge.Clock(lane.due_us, "given"), purge.Report(lane.due_us)
        done = purge._purge_day(self.archive, decision, "race", told, "system", purge.no_fault)
        purge._finish(self.archive, told, report, "system", purge.no_fault, day=(lane.room, lane.date))
        # Garbage that the other purger has just unlinked, or certified, is no failure.
        return " ".join(report.failures).replace(" ", "_") or ("purged" if done else "idle")


def main(role: str, settings: str, seed: str) -> None:
    with contextlib.closing(Archive.open(Settings.model_validate_json(settings))) as archive:
        contender = Contender(archive, role, int(seed))
        tiny_media()
        _answer("ready")
        for line in sys.stdin:
            _answer(contender.race(Lane.parse(line)))


def _answer(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
