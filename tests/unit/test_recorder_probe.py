from __future__ import annotations

from recorder.capture.probe import Pictures

TICK_S = 1 / 90_000


def test_groups_and_rate_are_read_from_the_pictures_times():
    seen = Pictures(TICK_S, [None, *(3600 * n for n in range(1, 60))], keyframes=[4, 29, 54])
    assert seen.facts() == {"fps": 25.0, "gop_frames": 25, "gop_s": 1.0, "b_frames": False}


def test_what_was_lost_on_the_way_makes_no_group_shorter():
    times = [3600 * n for n in range(60) if n not in (7, 8, 33)]
    keyframes = [times.index(3600 * n) for n in (0, 25, 50)]
    assert Pictures(TICK_S, [*times], keyframes).facts()["gop_frames"] == 25


def test_b_frames_are_pictures_that_go_back():
    seen = Pictures(TICK_S, [0, 10_800, 3600, 7200, 21_600, 14_400, 18_000], keyframes=[0])
    assert seen.facts() == {"fps": 25.0, "gop_frames": None, "gop_s": None, "b_frames": True}


def test_nothing_seen_is_nothing_told():
    assert Pictures(TICK_S).facts() == {"fps": None, "gop_frames": None, "gop_s": None, "b_frames": False}
