"""Rooms that were cut off from the server: nothing is lost, and the present does not wait for the past."""

from __future__ import annotations

import pytest

from bench.partition import measure


def assert_whole(facts):
    assert facts["lost"] == 0
    assert facts["archive_findings"] == 0


def test_two_rooms_after_an_hour_without_the_server():
    facts = measure(hours=1, segment_mb=0.3, rooms=("201", "202"), live_every_s=0.5, live_alone=2)
    assert_whole(facts)
    assert facts["backfill_realtime"] > 20
    # Behind the whole back-fill they would all wait for its end.
    assert facts["live_beside_backfill_ms"]["median"] < facts["backfill_s"] * 1000 / 2


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_seven_rooms_after_eight_hours_without_the_server():
    facts = measure(hours=8, segment_mb=2)
    assert_whole(facts)
    assert facts["backfill_realtime"] > 20
    assert facts["live_beside_backfill_ms"]["p90"] < 10_000
