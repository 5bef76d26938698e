"""What tiles draw of an agent's figures, whatever an agent says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.room_states import RoomState
from retrieval_api import room_meters

NOW = 1_800_000_000_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def room(state: str = "recording", **heartbeat) -> RoomState:
    return RoomState(
        room="108",
        label="108",
        floor=1,
        state=state,
        since_us=NOW,
        cause=None,
        detail="",
        window=None,
        next_window=None,
        last_seen_us=NOW,
        heartbeat=heartbeat,
        conditions=(),
    )


def health(levels) -> dict:
    return {"health": {"sources": {"main": {"levels": levels}}}}


def test_a_meter_has_a_bar_for_each_second_and_a_word() -> None:
    meter = room_meters.meter(room(**health([[-90, -60], [-30, -12.4], [0, 0]])))
    assert meter
    assert meter.bars == ((1, 1), (12, 19), (24, 24))
    assert meter.peak_dbfs == 0
    assert meter.is_loud
    quiet = room_meters.meter(room(**health([[-60, -40]] * 12)))
    assert quiet
    assert len(quiet.bars) == 10
    assert not quiet.is_loud
    assert room_meters.meter(room("closed", **health([[-30, -12]]))) is None


@given(JSON)
def test_no_agent_can_break_the_board_of_all(said) -> None:
    for heartbeat in ({"health": said, "clock": said, "spool": said}, health(said)):
        found = room(**heartbeat)
        meter, clock = room_meters.meter(found), room_meters.clock(found)
        assert meter is None or all(
            1 <= height <= room_meters.BAR_HEIGHT for bar in meter.bars for height in bar
        )
        assert clock is None or clock.uncertainty_ms is None or clock.uncertainty_ms >= 0
        assert room_meters.waiting(found) >= 0


@pytest.mark.parametrize(
    ("clock", "expected"),
    [({"uncertainty_us": 2500, "estimated": False}, 3), ({"uncertainty_us": 2500, "estimated": True}, None)],
)
def test_a_clock_is_known_to_the_millisecond_or_not_at_all(clock, expected) -> None:
    assert room_meters.clock(room(clock=clock)) == (expected,)
    assert room_meters.clock(room()) is None
