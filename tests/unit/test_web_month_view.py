"""How a day looks on the heat map, and that causes add up to what is missing."""

from __future__ import annotations

from datetime import date

import pytest

from archive.figures import Cause, Figures
from archive.month import Day, RoomMonth
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from retrieval_api import month_view

HOUR = 60 * US_PER_MINUTE
DAY = date(2026, 11, 20)


def day(state="open", missing_us=0, planned_us=8 * HOUR, pending_us=0, unknown_us=0) -> Day:
    recorded_us = planned_us - missing_us - pending_us - unknown_us
    causes = {"restart": Cause(1, missing_us)} if missing_us else {}
    figures = Figures(planned_us, recorded_us, missing_us, pending_us, unknown_us, causes=causes)
    return Day(DAY, state, figures, 0, 0)


@pytest.mark.parametrize(
    ("found", "look"),
    [
        (day("closed", planned_us=0), "closed"),
        (day("future", pending_us=8 * HOUR), "future"),
        (day(pending_us=8 * HOUR), "future"),
        (day("purged", unknown_us=8 * HOUR), "unknown"),
        (day(), "whole"),
        (day(missing_us=59 * US_PER_SECOND), "whole"),
        (day(missing_us=US_PER_MINUTE), "few"),
        (day("purged", missing_us=10 * US_PER_MINUTE), "some"),
        (day(missing_us=HOUR), "much"),
        (day(missing_us=8 * HOUR), "all"),
    ],
)
def test_a_day_looks_by_what_is_missing(found, look) -> None:
    assert month_view.look(found) == look


def test_causes_add_up_by_room_and_the_dearest_comes_first() -> None:
    one = day(missing_us=HOUR)
    other = Day(
        DAY, "open", Figures(8 * HOUR, 5 * HOUR, 3 * HOUR, causes={"power_lost": Cause(1, 3 * HOUR)}), 0, 0
    )
    table = month_view.table([RoomMonth("108", "108", (one, one)), RoomMonth("116", "116", (other,))], [DAY])
    assert [(each.code, each.count, each.by_room) for each in table.causes] == [
        ("power_lost", 1, (0, 3 * HOUR)),
        ("restart", 2, (2 * HOUR, 0)),
    ]
    assert sum(each.missing_us for each in table.causes) == table.figures.missing_us
