from __future__ import annotations

from recorder.in_force import InForce
from recorder.intervals import Interval
from tests.integration.ingest_double import configuration

S = 1_000_000
# 20 November 2026, 10:00 in Kyiv.
T0 = 1_795_161_600 * S
HOUR = 3600 * S


def hours(version, *windows):
    found = configuration("rtsp://127.0.0.1:9/", version=version)
    return found.model_copy(update={"hours": {"mon-sun": windows}})


def span(start, end):
    return Interval(T0 + int(start * HOUR), T0 + int(end * HOUR))


def test_a_change_holds_from_when_it_is_heard_and_both_do_while_nobody_knows():
    in_force = InForce(hours(1, "10:00-12:00"))
    in_force.learn(hours(2, "11:00-14:00"), T0 + HOUR // 2, T0 + 3 * HOUR)
    assert in_force.windows(span(-1, 9)) == [(span(0, 2), 1), (span(2, 4), 2)]


def test_what_is_closed_from_now_on_was_open_until_now():
    in_force = InForce(hours(1, "10:00-14:00"))
    in_force.learn(hours(2, "18:00-19:00"), T0 + HOUR, T0 + HOUR)
    assert in_force.windows(span(0, 10)) == [(span(0, 1), 1), (span(8, 9), 2)]
    in_force.forget_before(T0 + HOUR)
    assert in_force.windows(span(1, 10)) == [(span(8, 9), 2)]
