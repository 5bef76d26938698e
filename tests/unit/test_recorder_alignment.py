from __future__ import annotations

import pytest

from recorder.alignment import Alignment

S = 1_000_000


def play(alignment, seconds, *, start=0, ppm=0.0, jitter=lambda second: 0.0, ntp=7_000 * S):
    """One report of each track a second; the sound's counter runs `ppm` slow against the camera's clock."""
    for second in range(start, start + seconds):
        true = second * S
        alignment.picture(true, ntp + true)
        alignment.sound(true * (1 - ppm * 1e-6), ntp + true + jitter(second))


def test_tracks_that_count_alike_stay_as_they_are():
    alignment = Alignment()
    play(alignment, 3600)
    assert alignment.sound_us == 0


@pytest.mark.parametrize("ppm", [-80, 30])
def test_sound_that_drifts_is_followed_all_day(ppm):
    alignment = Alignment()
    play(alignment, 9 * 3600, ppm=ppm)
    # The first few seconds are where it began.
    assert alignment.sound_us == pytest.approx(9 * 3600 * ppm, abs=6 * abs(ppm))


def test_a_report_that_is_off_moves_nothing():
    alignment = Alignment()
    play(alignment, 600, jitter=lambda second: 40_000 if second % 50 == 49 else 0)
    assert abs(alignment.sound_us) < 1


def test_a_camera_that_sets_its_clock_between_two_reports_is_not_believed():
    alignment = Alignment()
    play(alignment, 60)
    alignment.picture(60 * S, 9_000 * S)
    alignment.sound(60 * S, 7_060 * S)
    play(alignment, 60, start=61, ntp=9_000 * S)
    assert alignment.sound_us == 0
