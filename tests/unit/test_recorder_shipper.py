from __future__ import annotations

from datetime import date

import pytest

from recorder.instants import local_midnight_us
from recorder.intervals import Interval
from recorder.shipper import Retry, is_due, judge
from recorder.uplink import Answer, Uplink, UplinkError
from tests.integration.ingest_double import configuration

MISMATCH = {"type": "https://example/problems/digest_mismatch"}


@pytest.mark.parametrize("outcome", ["accepted", "quarantined", "expired"])
@pytest.mark.parametrize("status", [200, 201])
def test_terminal_answers(status, outcome):
    assert judge(Answer(status, {"outcome": outcome})) == outcome


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {}),
        Answer(200, {"outcome": "perhaps"}),
        Answer(202, {"outcome": "accepted"}),
        Answer(302, {"outcome": "accepted"}),
        Answer(404, {}),
        Answer(413, {"outcome": "expired"}),
        Answer(422, {"type": "https://example/problems/another"}),
        Answer(503, {"detail": "away"}),
    ],
)
def test_everything_else_is_tried_again(answer):
    verdict = judge(answer)
    assert isinstance(verdict, Retry)
    assert verdict.reason
    assert not verdict.damaged


def test_refusals_are_repeated_rarely_and_mismatches_are_looked_into():
    for status in (401, 403):
        verdict = judge(Answer(status, {}))
        assert isinstance(verdict, Retry)
        assert verdict.after_s == 60
    verdict = judge(Answer(422, MISMATCH))
    assert isinstance(verdict, Retry)
    assert verdict.damaged


@pytest.mark.parametrize(("asked_s", "kept_s"), [(None, None), (7, 7), (100_000, 300)])
def test_a_server_that_asks_for_patience_gets_it_within_reason(asked_s, kept_s):
    verdict = judge(Answer(429, {"detail": "too many"}, asked_s))
    assert isinstance(verdict, Retry)
    assert (verdict.after_s, verdict.damaged) == (kept_s, None)


def test_spooled_footage_is_due_at_the_midnight_a_month_later_unless_held():
    room = configuration("rtsp://127.0.0.1/x")
    start_us = local_midnight_us(date(2026, 10, 20), "Europe/Kyiv") + 10 * 3600 * 10**6
    footage = Interval(start_us, start_us + 60_000_000)
    due_us = local_midnight_us(date(2026, 11, 20), "Europe/Kyiv")
    assert not is_due(footage, [], room, due_us - 1)
    assert is_due(footage, [], room, due_us)
    assert not is_due(footage, [Interval(start_us + 59_999_999, start_us + 10**9)], room, due_us)
    assert is_due(footage, [Interval(start_us - 10**9, start_us)], room, due_us)


def test_a_server_that_is_not_there_is_an_error_to_wait_for():
    with pytest.raises(UplinkError, match="cannot be reached: Connection refused"):
        Uplink("http://127.0.0.1:1", "token").post("/x", {})
