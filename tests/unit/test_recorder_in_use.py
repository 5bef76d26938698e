from __future__ import annotations

import pytest

from recorder.in_use import InUse

S = 1_000_000


def heard(*peaks):
    room = InUse()
    for number, peak in enumerate(peaks):
        room.hear(peak, number * 5 * S)
    return room.is_in_use(len(peaks) * 5 * S)


@pytest.mark.parametrize(
    ("peaks", "in_use"),
    [
        ([], False),
        ([-50.0] * 60, False),
        ([-20.0] * 3, True),
        ([-20.0] * 2, False),  # a door
        ([None] * 60, False),
        ([-50.0] * 48 + [-20.0] * 12, True),
        ([-50.0] * 49 + [-20.0] * 11, False),
        ([-20.0] * 60 + [-50.0] * 60, False),  # they have left
        ([-50.0] * 60 + [-20.0] * 15, True),
    ],
)
def test_a_room_is_in_use_when_a_fifth_of_five_minutes_is_loud(peaks, in_use):
    assert heard(*peaks) is in_use
