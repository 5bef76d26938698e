"""Accept, hold, request, open, purge, die, reopen, in any order and at any time: a real archive and its
model must agree at each step (invariants 6 and 7).
"""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import ExitStack
from datetime import date, time, timedelta
from typing import ClassVar
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from archive import derive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from retention import purge
from retention.errors import ClockError
from retrieval_api.requests.asked_interval import About, Remembered, asked_interval
from tests import archive_truths as truths
from tests.archive_driver import Driver
from tests.archive_model import Span, date_of, due_us, instant_us
from tests.footage import make_archive
from tests.postgresql import Server
from tests.requesting import KYIV

ROOMS = ("108", "228-a")
HOUR_US = 60 * US_PER_MINUTE
# Nights on which a month, a day or an hour is not what one thinks.
NIGHTS = [
    date(2026, 10, 25),  # 25 hours
    date(2027, 3, 28),  # 23 hours
    date(2027, 1, 31),  # due on 28 February
    date(2028, 1, 31),  # due on the leap day
    date(2028, 2, 29),
    date(2027, 5, 31),  # due on 30 June, like the day before
    date(2026, 12, 31),
]
CRASHES = (*purge.STEPS, "half_unlinked")

# How long before the clock's now something was recorded: at night, days ago, about a month ago.
_ago_us = st.one_of(
    st.integers(0, 30).map(lambda minutes: minutes * US_PER_MINUTE),
    st.integers(0, 40).map(lambda days: days * 24 * HOUR_US),
    st.integers(26 * 24, 33 * 24).map(lambda hours: hours * HOUR_US),
)
_length_s = st.sampled_from([1, 20, 60, 120])
_step = st.sampled_from(["", "approve", "refuse", "withdraw"])
_some = st.integers(0, 2**16)


class Life(RuleBasedStateMachine):
    """One archive's life. Whatever a rule cannot do in this state, it leaves alone."""

    seen: ClassVar[Counter[str]] = Counter()
    make = staticmethod(make_archive)

    @initialize(night=st.sampled_from(NIGHTS), hour=st.sampled_from([0, 3, 10, 23]))
    def begin(self, night: date, hour: int) -> None:
        self.driver = Driver(self.make(), ROOMS)
        self.now_us = instant_us(night, hour)
        self.spool: list = []
        self.under_way: list = []

    def span(self, ago_us: int, length_s: int, *, at_midnight: bool) -> Span:
        """An interval that has passed; `at_midnight`: across the last midnight before its time."""
        end_us = self.now_us - ago_us
        if at_midnight:
            end_us = instant_us(date_of(end_us)) + length_s * US_PER_SECOND // 2
            end_us = min(end_us, self.now_us)
        return Span(end_us - length_s * US_PER_SECOND, end_us)

    # --- accept

    @rule(room=st.sampled_from(ROOMS), ago_us=_ago_us, length_s=_length_s, at_midnight=st.booleans())
    def accept(self, room, ago_us, length_s, at_midnight):
        made = self.driver.record(room, self.span(ago_us, length_s, at_midnight=at_midnight))
        self.driver.send(made, self.now_us)

    @rule(room=st.sampled_from(ROOMS), ago_us=_ago_us, length_s=_length_s)
    def spool_a_segment(self, room, ago_us, length_s):
        self.spool.append(self.driver.record(room, self.span(ago_us, length_s, at_midnight=False)))

    @precondition(lambda self: self.spool)
    @rule(which=_some, whole=st.booleans())
    def ship_late(self, which, whole):
        made = self.spool.pop(which % len(self.spool))
        if whole:
            self.driver.send(made, self.now_us)
        else:
            self.under_way.append((made, self.driver.begin(made, self.now_us)))

    @precondition(lambda self: self.under_way)
    @rule(which=_some)
    def finish_an_upload(self, which):
        made, begun = self.under_way.pop(which % len(self.under_way))
        self.driver.end(made, begun, self.now_us)

    @precondition(lambda self: self.driver.sent)
    @rule(which=_some)
    def send_again(self, which):
        made = self.driver.sent[which % len(self.driver.sent)]
        if made not in self.spool and all(made is not each for each, _ in self.under_way):
            self.driver.send(made, self.now_us)

    @rule(room=st.sampled_from(ROOMS), ago_us=_ago_us)
    def die_in_an_upload(self, room, ago_us):
        made = self.driver.record(room, self.span(ago_us, 20, at_midnight=False))
        self.driver.die_in_upload(made, self.now_us)
        self.under_way.clear()

    @rule(room=st.sampled_from(ROOMS), ago_us=_ago_us)
    def send_damaged(self, room, ago_us):
        made = self.driver.record(room, self.span(ago_us, 20, at_midnight=False))
        self.driver.sent.remove(made)
        self.driver.refuse(made, self.now_us)

    @rule(room=st.sampled_from(ROOMS), ago_us=_ago_us, length_s=_length_s)
    def send_a_gap(self, room, ago_us, length_s):
        self.driver.gap(room, self.span(ago_us, length_s, at_midnight=False), self.now_us)

    # --- hold and request

    def something(self, which: int) -> tuple[str, Span]:
        """A room and an interval that was recorded, or the clock's last minute."""
        items = list(self.driver.model.items.values())
        if not items:
            return ROOMS[0], Span(self.now_us - US_PER_MINUTE, self.now_us)
        item = items[which % len(items)]
        return item.room, item.span

    @rule(which=_some, before_s=st.integers(-30, 7200), after_s=st.integers(-30, 90_000))
    def place_a_hold(self, which, before_s, after_s):
        room, span = self.something(which)
        start_us, end_us = span.start_us - before_s * US_PER_SECOND, span.end_us + after_s * US_PER_SECOND
        if start_us < end_us:
            self.driver.keeping.hold(room, Span(start_us, end_us), self.now_us)

    @precondition(lambda self: self.driver.model.holds)
    @rule(which=_some)
    def release_a_hold(self, which):
        held = sorted(self.driver.model.holds)
        self.driver.keeping.release(held[which % len(held)], self.now_us)

    @precondition(lambda self: len(self.driver.keeping.requests) < 3)
    @rule(which=_some, any_room=st.booleans(), about=st.sampled_from(About), step=_step)
    def register_a_request(self, which, any_room, about, step):
        room, span = self.something(which)
        day = date_of(span.start_us)
        minutes = (span.start_us - instant_us(day)) // US_PER_MINUTE % (24 * 60)
        remembered = Remembered(day, about, time(*divmod(minutes, 60)) if about.needs_time else None)
        interval = asked_interval(remembered, KYIV)
        number = self.driver.keeping.register(None if any_room else room, remembered, interval, self.now_us)
        if number and step:
            self.driver.keeping.decide(number, step, self.now_us)
        if number and step == "refuse":
            # Invariant 7: the appeal period has just begun.
            self.driver.keeping.decide(number, "close", self.now_us)
            if which % 2:
                self.driver.keeping.decide(number, "reopen", self.now_us)

    @precondition(lambda self: self.driver.keeping.requests)
    @rule(which=_some, step=st.sampled_from(["approve", "refuse", "withdraw", "reopen", "close", "close"]))
    def decide_a_request(self, which, step):
        numbers = sorted(self.driver.keeping.requests)
        self.driver.keeping.decide(numbers[which % len(numbers)], step, self.now_us)

    # --- time

    @rule(minutes=st.integers(1, 36 * 60))
    def wait(self, minutes):
        self.now_us += minutes * US_PER_MINUTE

    @rule(days=st.integers(2, 33))
    def wait_long(self, days):
        self.now_us = instant_us(date_of(self.now_us) + timedelta(days=days), 3, 30)

    @precondition(lambda self: self.driver.model.items)
    @rule(which=_some, offset_us=st.sampled_from([-1, 0, 1, US_PER_MINUTE]), purged=st.booleans())
    def wait_for_a_due_midnight(self, which, offset_us, purged):
        _, span = self.something(which)
        self.now_us = max(self.now_us, due_us(date_of(span.start_us)) + offset_us)
        if purged:
            self.driver.purge(self.now_us)

    @rule(minutes=st.integers(1, 4))
    def set_the_clock_back(self, minutes):
        """Across a due midnight as well: what was destroyed or closed stays so."""
        self.now_us -= minutes * US_PER_MINUTE

    # --- purge and restart

    @rule(which=_some, step=st.sampled_from([None, None, *derive.STEPS]))
    def make_thumbnails(self, which, step):
        if self.driver.derive(which, self.now_us, step):
            self.under_way.clear()

    @rule()
    def purge(self):
        self.driver.purge(self.now_us)

    @rule(which=_some, nth=st.integers(1, 2))
    def die_in_a_purge(self, which, nth):
        _, span = self.something(which)
        self.now_us = max(self.now_us, due_us(date_of(span.start_us)))
        # Not drawn: many lives are made of pieces of earlier ones, and would all die at the same few steps.
        step = CRASHES[crc32(f"{which} {self.now_us}".encode()) % len(CRASHES)]
        self.driver.die_in_purge(self.now_us, step, nth)
        self.under_way.clear()

    @rule()
    def purge_by_two_clocks(self):
        """The system's clock is where the test is, the database's is not: nothing may go."""
        with pytest.raises(ClockError):
            purge.run(self.driver.archive, actor="system", system_clock=lambda: self.now_us)

    @rule()
    def restart(self):
        self.under_way.clear()
        self.driver.reopen()

    # --- the door

    @rule(which=_some, other=_some, margin_s=st.sampled_from([0, 1, 1800]))
    def open_footage(self, which, other, margin_s):
        """On each ground that there is."""
        room, span = self.something(which)
        wide = Span(span.start_us - margin_s * US_PER_SECOND, span.end_us + margin_s * US_PER_SECOND)
        held, numbers = sorted(self.driver.model.holds), sorted(self.driver.keeping.requests)
        grounds = ["audit", "fault_check"]
        grounds += [f"hold:{held[other % len(held)]}"] if held else []
        grounds += [f"request:{numbers[other % len(numbers)]}"] if numbers else []
        for ground in grounds:
            self.driver.open(room, wide, ground, self.now_us)

    @invariant()
    def index_and_model_agree(self):
        self.driver.assert_index(self.now_us)

    @invariant()
    def the_oldest_footage_is_within_the_rule(self):
        oldest = sorted(self.driver.model.items.values(), key=lambda item: item.span)[:2]
        for item in oldest:
            self.driver.open(item.room, item.span, "audit", self.now_us)

    def teardown(self):
        """Two years later everything that nobody holds is gone, and every chain is whole."""
        if hasattr(self, "driver"):
            self.driver.purge(self.now_us)
            self.now_us += 2 * 366 * 24 * HOUR_US
            self.driver.purge(self.now_us)
            self.driver.derive_what_died(self.now_us)
            truths.chains(self.driver.archive, strays=bool(self.driver.strays))
            self.driver.archive.close()
            type(self).seen += self.driver.seen


def live(tmp_path, examples: int, steps: int, server: Server | None = None) -> Counter[str]:
    """So many lives of so many steps, on SQLite or in databases of that server; what happened in them."""
    numbers = itertools.count()
    databases = ExitStack()

    class Here(Life):
        seen: ClassVar[Counter[str]] = Counter()

        @staticmethod
        def make():
            directory = tmp_path / str(next(numbers))
            directory.mkdir()
            settings = {"open_requests_per_contact": 10**6, "open_requests_per_address": 10**6}
            if server is not None:
                databases.close()
                settings["database_url"] = databases.enter_context(server.database())
            return make_archive(directory, **settings)

    with databases:
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                derandomize=True,
                deadline=None,
                database=None,
                # A life that failed is told step by step; to shrink it takes minutes.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    return Here.seen


def test_lives_of_an_archive(tmp_path):
    seen = live(tmp_path, examples=26, steps=45)
    # What comes seldom is asked of the many lives below: which of it few lives meet is chance.
    for what in (
        "accepted", "expired", "quarantined", "held", "released", "registered", "destroyed", "kept past due",
        "opened: audit", "door: expired", "door: purged", "died in an upload",
    ):  # fmt: skip
        assert seen[what], f"no life came to this: {what}; {seen}"
    assert any(what.startswith("died at") for what in seen), seen


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_lives_of_an_archive_on_postgresql(tmp_path, postgresql):
    seen = live(tmp_path, examples=40, steps=45, server=postgresql)
    for what in ("accepted", "held", "registered", "destroyed", "kept past due", "died in an upload"):
        assert seen[what], f"no life came to this: {what}; {seen}"
    assert any(what.startswith("died at") for what in seen), seen


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_long_lives_of_an_archive(tmp_path):
    seen = live(tmp_path, examples=150, steps=60)
    assert [step for step in CRASHES if not seen[f"died at {step}"]] == [], seen
    for what in (
        "gap", "refuse", "approve", "opened: hold", "made", "gone",
        "accepted again", "day gone", "request too late", "release refused", "appeal running", "close",
        "reopen", "opened past due", "stray destroyed",
    ):  # fmt: skip
        assert seen[what], f"no life came to this: {what}; {seen}"
