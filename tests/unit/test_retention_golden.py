"""Whole plans, as people read them, against files: a change of the rule shows as a change of text.

`python -m tests.unit.test_retention_golden` writes the files anew; read the difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from recorder.instants import local_midnight_us, parse_instant
from recorder.intervals import Interval
from recorder.working_hours import due_us
from retention.policy import DayFacts, HoldFacts, Item, Kind, Plan, plan
from retention.rendering import plan_document, plan_lines

ZONE = "Europe/Kyiv"
GOLDEN = Path(__file__).parent / "retention_golden"
MINUTE = 60_000_000


def recorded(day: date, room: str = "108", hours: tuple[int, ...] = (9, 10)) -> DayFacts:
    """One-minute segments at the first two minutes of each hour, a gap record after them."""
    midnight = local_midnight_us(day, ZONE)
    items = []
    for hour in hours:
        start = midnight + hour * 60 * MINUTE
        items += [
            Item(Kind.SEGMENT, f"{day}T{hour:02}:{minute:02}", span(start + minute * MINUTE), 30_000_000)
            for minute in (0, 1)
        ]
        items.append(Item(Kind.GAP, f"gap-{day}T{hour:02}:02", span(start + 2 * MINUTE)))
    return DayFacts(room, day.isoformat(), due_us(day, 1, ZONE), items=tuple(items))


def span(start_us: int) -> Interval:
    return Interval(start_us, start_us + MINUTE)


def between(start: str, end: str) -> Interval:
    return Interval(parse_instant(start), parse_instant(end))


def dates(first: str, last: str) -> Iterator[date]:
    day = date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        yield day
        day += timedelta(days=1)


def ordinary_night() -> Plan:
    """A month of two rooms, at the midnight that begins 20 December: 20 November goes."""
    days = [recorded(day, room) for day in dates("2026-11-20", "2026-12-19") for room in ("108", "228-a")]
    return plan(days, [], parse_instant("2026-12-20T00:00:05+02:00"))


def end_of_january() -> Plan:
    """28, 29, 30 and 31 January are due together, at the midnight that begins 28 February."""
    days = [recorded(day) for day in dates("2027-01-26", "2027-02-27")]
    # What fell due on the nights before is gone.
    at = parse_instant("2027-02-28T00:00:00+02:00")
    night_before = parse_instant("2027-02-27T12:00:00+02:00")
    return plan([day for day in days if day.due_us > night_before], [], at)


def the_instant_before() -> Plan:
    days = [recorded(day) for day in dates("2027-01-28", "2027-02-27")]
    return plan(days, [], parse_instant("2027-02-27T23:59:59.999+02:00"))


def held_interval() -> Plan:
    """Hold 7 keeps the segments that it overlaps, whole; hold 8 abuts them and keeps nothing more;
    hold 9 keeps only a gap record.
    """
    days = [recorded(day) for day in dates("2026-11-20", "2026-12-19")]
    holds = [
        HoldFacts(7, "108", between("2026-11-20T09:00:59+02:00", "2026-11-20T09:01:10+02:00")),
        HoldFacts(8, "108", between("2026-11-20T08:00:00+02:00", "2026-11-20T09:00:00+02:00")),
        HoldFacts(9, "108", between("2026-11-20T10:02:30+02:00", "2026-11-20T10:30:00+02:00")),
    ]
    return plan(days, holds, parse_instant("2026-12-20T00:00:05+02:00"))


def summer_time_begins() -> Plan:
    """A day of 23 hours is due at a midnight like any other: 28 February 2026 at 28 March, and the
    clock's change on 29 March moves the next midnight, not the rule.
    """
    days = [recorded(day) for day in dates("2026-02-28", "2026-03-28")]
    return plan(days, [], parse_instant("2026-03-29T00:00:00+02:00"))


def back_after_weeks() -> Plan:
    """A server that comes back on 10 December: more than half is due, so a person has to say so."""
    days = [recorded(day) for day in dates("2026-10-25", "2026-11-15")]
    return plan(days, [], parse_instant("2026-12-10T09:00:00+02:00"))


CASES = (
    ordinary_night,
    end_of_january,
    the_instant_before,
    held_interval,
    summer_time_begins,
    back_after_weeks,
)


def shown(made: Plan) -> str:
    """What `protokol retention plan` prints, then the due days of its JSON."""
    document = plan_document(made, ZONE)
    document["room_days"] = [
        day for day, decision in zip(document["room_days"], made.decisions, strict=True) if decision.due
    ]
    return "\n".join(plan_lines(made, ZONE)) + "\n\n" + json.dumps(document, indent=1) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_plan_reads_as_the_golden_file(case):
    assert shown(case()) == (GOLDEN / f"{case.__name__}.txt").read_text("utf-8")


def test_the_end_of_january_is_due_on_the_28th_of_february():
    made = end_of_january()
    assert [each.date for each in made.acting] == ["2027-01-28", "2027-01-29", "2027-01-30", "2027-01-31"]
    assert datetime.fromisoformat(plan_document(made, ZONE)["now"]).isoformat() == "2027-02-28T00:00:00+02:00"
    assert the_instant_before().acting == ()


if __name__ == "__main__":
    for each in CASES:
        (GOLDEN / f"{each.__name__}.txt").write_text(shown(each()), "utf-8")
