"""How long a room's own verdict counts on the board, and in what words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.room_states import SILENT_AFTER_US
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, parse_instant
from retrieval_api.i18n import Localizer
from retrieval_api.readiness_view import REASONS, BoardReadiness, RoomReadiness, Shortcoming, judge
from tests.unit.test_recorder_readiness import configuration

OFFICE = configuration({"mon-fri": ["08:00-12:00", "13:00-17:00"]})


def at(clock: str) -> int:
    return parse_instant(f"2026-11-20T{clock}+02:00")


def beat(checked_us=None, state="ready", items=()):
    return {"readiness": {"state": state, "checked_us": checked_us, "items": list(items)}}


def said(now: str, heartbeat, *, seen_ago_us=US_PER_SECOND):
    return judge(OFFICE, heartbeat, at(now) - seen_ago_us, at(now))


def test_a_verdict_of_this_morning_counts() -> None:
    assert said("07:50:00", beat(at("07:45:10"))) == RoomReadiness("ready", True, at("07:45:10"))
    item = {"source": "door", "code": "camera_unreachable", "detail": "Connection refused", "warning": False}
    warning = {"source": None, "code": "clock_estimated", "detail": "", "warning": True}
    broken = said("07:50:00", beat(at("07:45:10"), "not_ready", [item, warning]))
    assert broken
    assert broken.state == "not_ready"
    assert broken.reasons == (Shortcoming("camera_unreachable", "Connection refused", "door"),)
    assert broken.reasons[0].text == "камера не відкривається"
    assert [each.code for each in broken.warnings] == ["clock_estimated"]


@pytest.mark.parametrize(
    "heartbeat",
    [
        {},
        beat(),
        beat(at("07:45:10") - US_PER_DAY),
        beat(at("07:44:59")),
        beat(at("07:46:00"), "unknown"),
        {"readiness": "fine"},
        {"readiness": {"state": "ready", "checked_us": "now"}},
        {"readiness": {"state": "ready", "checked_us": at("07:46:00"), "items": [7]}},
    ],
)
def test_no_verdict_of_this_morning_is_not_ready(heartbeat) -> None:
    assert said("07:45:20", heartbeat) == RoomReadiness("checking", counted=True)
    late = said("07:50:00", heartbeat)
    assert late
    assert (late.state, [each.code for each in late.reasons]) == ("not_ready", ["unproven"])
    assert said("06:00:00", heartbeat) is None
    assert said("08:00:00", heartbeat) is None


def test_a_silent_agent_is_not_ready_whatever_it_said() -> None:
    silent = said("07:50:00", beat(at("07:45:10")), seen_ago_us=SILENT_AFTER_US + 1)
    assert silent
    assert [each.code for each in silent.reasons] == ["agent_down"]
    never = judge(OFFICE, {}, None, at("07:46:00"))
    assert never
    assert never.state == "not_ready"


def test_a_first_check_that_takes_long_is_waited_for() -> None:
    assert said("07:50:00", beat(None, "checking")) == RoomReadiness("checking", counted=True)


@pytest.mark.parametrize(
    ("now", "checked", "told"),
    [
        ("12:30:00", "12:20:00", True),  # the agent started at noon
        ("12:30:00", "07:45:10", False),  # the room has recorded since
        ("17:30:00", "17:20:00", False),  # nothing is to come today
        ("09:00:00", "07:45:10", False),
        ("12:30:00", "12:40:00", False),
    ],
)
def test_between_windows_a_verdict_counts_for_the_tile_alone(now, checked, told) -> None:
    judged = said(now, beat(at(checked)))
    assert (judged is not None) == told
    if judged:
        assert not judged.counted


@given(st.integers(at("00:00:00"), at("00:00:00") + 7 * US_PER_DAY), st.integers(0, 2**53))
def test_a_room_is_ready_by_its_own_fresh_word_alone(now_us, checked_us) -> None:
    judged = judge(OFFICE, beat(checked_us), now_us, now_us)
    if judged and judged.state == "ready" and judged.counted:
        assert now_us - checked_us <= 15 * US_PER_MINUTE


def test_the_count() -> None:
    ready, other = RoomReadiness("ready", counted=True), RoomReadiness("not_ready", counted=True)
    board = BoardReadiness({"1": ready, "2": other, "3": RoomReadiness("checking", counted=True),
                            "4": RoomReadiness("ready", counted=False)})  # fmt: skip
    assert (board.ready, board.total) == (1, 3)
    assert board.is_unready("2")
    assert not board.is_unready("3")
    assert not board.is_unready("9")
    assert not board.is_counted("4")


@pytest.mark.parametrize(
    ("count", "uk", "en"),
    [
        (0, "0 з 25 готові", "0 of 25 ready"),
        (1, "1 з 25 готовий", "1 of 25 ready"),
        (2, "2 з 25 готові", "2 of 25 ready"),
        (7, "7 з 25 готові", "7 of 25 ready"),
        (11, "11 з 25 готові", "11 of 25 ready"),
        (21, "21 з 25 готовий", "21 of 25 ready"),
    ],
)
def test_the_headline_agrees_with_its_number(count, uk, en) -> None:
    ids = "%(num)s з %(total)s готовий", "%(num)s з %(total)s готові"
    assert Localizer("uk").ngettext(*ids, count, total=25) == uk
    assert Localizer("en").ngettext(*ids, count, total=25) == en


def test_every_code_of_an_agent_has_its_words() -> None:
    codes = "camera_unreachable camera_refused picture_missing picture_black picture_uniform sound_missing"
    codes += " sound_silent microphone_lost clock_unknown clock_estimated spool_full disk_short server_away"
    assert set(codes.split()) | {"agent_down", "unproven"} == set(REASONS)
    assert Shortcoming("of_a_newer_agent", "").text == "of_a_newer_agent"
