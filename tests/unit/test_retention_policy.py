"""The room-day rule: properties that hold for every archive, and its edges by example."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.instants import US_PER_DAY
from recorder.intervals import Interval
from retention.policy import Amount, DayFacts, HoldFacts, Item, Kind, decide, plan

ROOMS = ("108", "228-a")
NOW = 1_000

intervals = st.builds(
    lambda start, length: Interval(start, start + length), st.integers(0, 200), st.integers(1, 60)
)


@st.composite
def archives(draw):
    """Room-days on both sides of NOW, and holds that may touch, miss or only abut their items."""
    days = []
    for room in ROOMS:
        for date in draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)):
            items = tuple(
                Item(draw(st.sampled_from(Kind)), f"{room}-{date}-{number}", draw(intervals), number * 10)
                for number in range(draw(st.integers(0, 5)))
            )
            due_us = NOW + draw(st.integers(-2, 2))
            days.append(DayFacts(room, date, due_us, draw(st.booleans()), items))
    holds = [
        HoldFacts(number, draw(st.sampled_from(ROOMS)), draw(intervals))
        for number in range(draw(st.integers(0, 4)))
    ]
    return days, holds


def is_held(room: str, item: Item, holds: list[HoldFacts]) -> bool:
    """Said once more, instant by instant: every instant of the small intervals is an integer."""
    instants = range(item.interval.start_us, item.interval.end_us)
    return any(hold.room == room and any(map(hold.interval.contains, instants)) for hold in holds)


@given(archives())
def test_destroyed_is_exactly_what_is_due_and_unheld(facts):
    days, holds = facts
    made = plan(days, holds, NOW)
    destroyed = {(each.room, each.date, item) for each in made.decisions for item in each.destroy}
    expected = {
        (day.room, day.date, item)
        for day in days
        if day.due_us <= NOW
        for item in day.items
        if not is_held(day.room, item, holds)
    }
    assert destroyed == expected


@given(archives())
def test_every_item_of_a_due_day_is_either_destroyed_or_kept_whole_with_its_holds(facts):
    days, holds = facts
    by_id = {hold.id: hold for hold in holds}
    for day, decision in zip(
        sorted(days, key=lambda day: (day.room, day.date)), plan(days, holds, NOW).decisions, strict=True
    ):
        if not decision.due:
            assert decision.destroy == decision.keep == ()
            continue
        told = [*decision.destroy, *(kept.item for kept in decision.keep)]
        assert sorted(told) == sorted(day.items)
        for kept in decision.keep:
            assert kept.holds
            assert all(by_id[hold].interval.overlaps(kept.item.interval) for hold in kept.holds)


@given(archives(), st.randoms())
def test_the_order_of_the_facts_does_not_matter(facts, random):
    days, holds = facts
    before = plan(days, holds, NOW)
    random.shuffle(days)
    random.shuffle(holds)
    assert plan(days, holds, NOW) == before


@given(archives())
def test_another_hold_never_destroys_more_and_a_later_run_never_less(facts):
    days, holds = facts
    few = {item for each in plan(days, holds, NOW).decisions for item in each.destroy}
    without = {item for each in plan(days, holds[1:], NOW).decisions for item in each.destroy}
    later = {item for each in plan(days, holds, NOW + 1).decisions for item in each.destroy}
    assert few <= without
    assert few <= later


@given(archives())
def test_once_carried_out_the_plan_is_empty(facts):
    days, holds = facts
    left = [
        DayFacts(each.room, each.date, each.due_us, True, tuple(kept.item for kept in each.keep))
        for each in plan(days, holds, NOW).decisions
        if each.due
    ]
    again = plan(left, holds, NOW)
    assert again.acting == ()
    assert not again.needs_confirmation


def test_a_hold_that_only_abuts_keeps_nothing():
    day = DayFacts("108", "d", NOW, items=(Item(Kind.SEGMENT, "s", Interval(100, 160), 1),))
    before, after = HoldFacts(1, "108", Interval(40, 100)), HoldFacts(2, "108", Interval(160, 200))
    assert decide(day, [before, after], NOW).keep == ()
    one_instant = HoldFacts(3, "108", Interval(159, 200))
    assert decide(day, [before, after, one_instant], NOW).keep[0].holds == (3,)


def test_a_hold_of_another_room_keeps_nothing():
    day = DayFacts("108", "d", NOW, items=(Item(Kind.SEGMENT, "s", Interval(0, 9), 1),))
    assert decide(day, [HoldFacts(1, "228-a", Interval(0, 9))], NOW).keep == ()


def test_a_day_is_due_at_its_midnight_and_not_an_instant_before():
    day = DayFacts("108", "d", NOW, items=(Item(Kind.SEGMENT, "s", Interval(0, 9), 1),))
    assert not decide(day, [], NOW - 1).acts
    assert decide(day, [], NOW).destroyed == Amount(1, 1)


def test_an_empty_due_day_is_closed_once():
    assert decide(DayFacts("108", "d", NOW), [], NOW).acts
    assert not decide(DayFacts("108", "d", NOW, purged=True), [], NOW).acts


def stored(date: str, size_bytes: int, due_us: int) -> DayFacts:
    return DayFacts("108", date, due_us, items=(Item(Kind.SEGMENT, date, Interval(0, 9), size_bytes),))


def test_exactly_half_goes_unasked_and_more_than_half_does_not():
    long_due = NOW - US_PER_DAY - 1
    half = [stored("a", 5, long_due), stored("b", 5, NOW + 1)]
    assert not plan(half, [], NOW).needs_confirmation
    by_bytes = [stored("a", 6, long_due), stored("b", 5, NOW + 1)]
    assert plan(by_bytes, [], NOW).needs_confirmation
    by_days = [stored("a", 1, long_due), stored("b", 1, NOW), stored("c", 90, NOW + 1)]
    assert plan(by_days, [], NOW).needs_confirmation


def test_what_fell_due_last_night_goes_unasked_however_young_the_archive():
    first_night = [stored("a", 9, NOW - US_PER_DAY), stored("b", 1, NOW + 1)]
    assert not plan(first_night, [], NOW).needs_confirmation
    # 28 to 31 January fall due together.
    end_of_february = [stored(day, 9, NOW) for day in "abcd"]
    assert not plan(end_of_february, [], NOW).needs_confirmation


def test_days_that_are_not_due_count_for_the_guard_by_their_totals_alone():
    later = DayFacts("108", "b", NOW + 1, total=Amount(500, 10**9))
    assert not plan([stored("a", 10**6, NOW), later], [], NOW).needs_confirmation


def test_the_digest_tells_what_is_destroyed_and_not_when_it_was_asked():
    days = [stored("a", 1, NOW), stored("b", 1, NOW + 50)]
    first = plan(days, [], NOW).digest
    assert plan(days, [], NOW + 49).digest == first
    assert plan(days, [], NOW + 50).digest != first
    assert plan(days, [HoldFacts(1, "108", Interval(8, 20))], NOW).digest != first
