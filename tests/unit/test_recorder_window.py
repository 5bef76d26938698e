from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from recorder.instants import to_us
from recorder.manifest import GapCause
from recorder.window import SourceWindow
from tests.integration.ingest_double import configuration

S = 1_000_000
DAY = configuration("rtsp://127.0.0.1/x", hours="08:00-17:00")
AROUND = configuration("rtsp://127.0.0.1/x")


def at(hour, minute=0, second=0):
    return to_us(datetime(2026, 11, 23, hour, minute, second, tzinfo=ZoneInfo("Europe/Kyiv")))


def states(window, room, instants, uncertainty=2 * S):
    out = []
    for instant in instants:
        window.update(room, instant, uncertainty)
        out.append(window.is_wanted)
    return out


def test_the_camera_is_wanted_five_seconds_before_and_until_its_sound_has_come():
    window = SourceWindow()
    instants = [at(7, 59, 54), at(7, 59, 55), at(12), at(17), at(17, 0, 1), at(17, 0, 2), at(17, 0, 3)]
    assert states(window, DAY, instants) == [False, True, True, True, True, False, False]


def test_the_window_shrinks_by_the_uncertainty_and_the_margin_has_its_cause():
    window = SourceWindow()
    window.update(DAY, at(7, 59, 56), 2 * S)
    assert (window.recordable.start_us, window.recordable.end_us) == (at(8) + 2 * S, at(17) - 2 * S)
    assert window.reasons_at_opening(at(7, 59, 56)) == [
        (at(8), GapCause.CLOCK_UNKNOWN),
        (at(8) + 2 * S, GapCause.OPENING),
    ]
    assert window.reasons_at_opening(at(9)) == [(at(9), GapCause.OPENING)]
    assert not window.contains(at(7, 59, 59))
    assert window.contains(at(8))


def test_a_window_shorter_than_the_uncertainty_is_not_recorded():
    window = SourceWindow()
    window.update(configuration("rtsp://127.0.0.1/x", hours="08:00-08:01"), at(7, 59, 58), 31 * S)
    assert window.recordable is None
    assert not window.is_wanted


def test_midnight_is_no_end_around_the_clock():
    window = SourceWindow()
    assert states(window, AROUND, [at(23, 59, 58), at(23, 59, 59), at(23, 59) + 62 * S]) == [True] * 3
    assert window.recordable.end_us > at(23, 59) + 86_400 * S


def test_new_hours_are_in_force_at_once():
    window = SourceWindow()
    assert states(window, DAY, [at(16, 59)]) == [True]
    longer = configuration("rtsp://127.0.0.1/x", version=2, hours="08:00-19:00")
    assert states(window, longer, [at(16, 59, 30), at(17, 30)]) == [True, True]
    closed = configuration("rtsp://127.0.0.1/x", version=3, hours="08:00-10:00")
    assert states(window, closed, [at(17, 31)]) == [False]
