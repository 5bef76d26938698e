from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.instants import US_PER_MINUTE, US_PER_SECOND, parse_instant
from recorder.readiness import (
    AHEAD_US,
    CameraLook,
    HostLook,
    Proof,
    Verdict,
    check_is_due,
    first_proof,
    judge,
    proof_of_start,
    recorded_us,
)
from recorder.rooms import RoomConfiguration
from recorder.working_hours import window_at

WELL = CameraLook(luma_mean=110, luma_spread=180, sound_dbfs=-40.0, bits_per_s=2_000_000)
HOST = HostLook(1000, estimated=False, accepts_footage=True, free_bytes=10**11, day_us=8 * 3600 * 10**6)


def configuration(hours, **calendar) -> RoomConfiguration:
    return RoomConfiguration.model_validate(
        {
            "version": 1,
            "council_name_uk": "Рада",
            "council_name_en": "Council",
            "timezone": "Europe/Kyiv",
            "retention_months": 1,
            "room": {
                "id": "108",
                "label": "108",
                "floor": 1,
                "cameras": [{"name": "main", "url": "rtsp://127.0.0.1/x"}],
            },
            "hours": hours,
            "calendar": calendar.get("calendar", {}),
        }
    )


OFFICE = configuration({"mon-fri": ["08:00-12:00", "13:00-17:00"]})


def at(text: str) -> int:
    return parse_instant(text)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20T07:44:59+02:00", None),
        ("2026-11-20T07:45:00+02:00", "2026-11-20T08:00:00+02:00"),
        ("2026-11-20T07:59:59+02:00", "2026-11-20T08:00:00+02:00"),
        ("2026-11-20T08:00:00+02:00", None),
        ("2026-11-20T12:50:00+02:00", None),  # the room has recorded this morning
        ("2026-11-20T18:00:00+02:00", None),
        ("2026-11-21T07:50:00+02:00", None),  # Saturday
        # The nights in which the clock changes: 08:00 is 08:00 on the wall, in winter as in summer.
        ("2026-03-30T07:45:00+03:00", "2026-03-30T08:00:00+03:00"),
        ("2026-10-26T07:45:00+02:00", "2026-10-26T08:00:00+02:00"),
    ],
)
def test_a_room_proves_itself_in_the_quarter_before_its_first_window(now, opens) -> None:
    proof = first_proof(OFFICE, at(now))
    assert proof == (None if opens is None else Proof(at(opens) - AHEAD_US, at(opens)))


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        # The quarter is one of real time, also where the wall clock skips 03:00 or shows it twice.
        ("04:05-05:00", "2026-03-29T02:50:00+02:00", "2026-03-29T04:05:00+03:00"),
        ("04:05-05:00", "2026-10-25T03:55:00+02:00", "2026-10-25T04:05:00+02:00"),
        # A window that begins right after midnight is proved for on the day before.
        ("00:05-01:00", "2026-11-19T23:55:00+02:00", "2026-11-20T00:05:00+02:00"),
        ("22:00-02:00", "2026-11-20T21:50:00+02:00", "2026-11-20T22:00:00+02:00"),
    ],
)
def test_at_night_and_in_nights_of_another_clock(hours, now, opens) -> None:
    assert first_proof(configuration({"mon-sun": [hours]}), at(now)) == Proof(at(opens) - AHEAD_US, at(opens))


def test_a_room_around_the_clock_never_stops_to_prove_itself() -> None:
    always = configuration({"mon-sun": ["00:00-24:00"]})
    assert first_proof(always, at("2026-11-19T23:50:00+02:00")) is None


def test_a_changed_calendar_moves_the_proof() -> None:
    late = configuration({"mon-fri": ["08:00-17:00"]}, calendar={"2026-11-20": ["10:00-12:00"]})
    assert first_proof(late, at("2026-11-20T07:50:00+02:00")) is None
    moved = first_proof(late, at("2026-11-20T09:50:00+02:00"))
    assert moved
    early = Verdict(at("2026-11-20T07:46:00+02:00"), ())
    assert early.ready
    assert check_is_due(moved, early, at("2026-11-20T09:50:00+02:00"), 1), "that was another proof"


@pytest.mark.parametrize(
    ("started", "now", "due"),
    [
        ("12:10:00", "12:10:05", True),
        ("12:10:00", "12:40:00", True),
        ("07:00:00", "12:10:00", False),  # it has recorded since
        ("07:50:00", "12:10:00", False),
        ("11:59:00", "12:10:00", False),
        ("12:10:00", "13:00:00", False),
        ("17:10:00", "17:20:00", False),  # nothing is to come: no camera is opened for nothing
        ("03:00:00", "03:00:05", False),
        ("12:10:00", "17:20:00", False),
    ],
)
def test_an_agent_that_starts_at_noon_proves_itself_at_once(started, now, due) -> None:
    day = "2026-11-20T"
    proof = proof_of_start(OFFICE, at(f"{day}{now}+02:00"), at(f"{day}{started}+02:00"))
    assert (proof is not None) == due
    if proof:
        assert proof.opens_us == at("2026-11-20T13:00:00+02:00")


@given(st.integers(at("2026-03-27T00:00:00Z"), at("2026-04-02T00:00:00Z")), st.integers(0, 10**11))
def test_no_check_begins_in_a_window_or_ends_in_one(now_us, ago_us) -> None:
    for proof in (first_proof(OFFICE, now_us), proof_of_start(OFFICE, now_us, now_us - ago_us)):
        if proof is None:
            continue
        assert proof.from_us <= now_us < proof.opens_us
        assert window_at(OFFICE, now_us) is None
        assert window_at(OFFICE, proof.opens_us)
        if check_is_due(proof, None, now_us, 2):
            # Two cameras, each 6 s to open and 4 s to look at; the recorder connects 5 s before.
            assert now_us + 20 * US_PER_SECOND <= proof.opens_us - 5 * US_PER_SECOND


def test_a_failed_proof_is_tried_again_each_minute_and_a_passed_one_is_not() -> None:
    proof = Proof(0, AHEAD_US)
    passed = Verdict(10, ())
    failed = judge({"main": CameraLook(error="no")}, None, HOST, 10)
    assert check_is_due(proof, None, 0, 1)
    assert not check_is_due(proof, passed, 14 * US_PER_MINUTE, 1)
    assert not check_is_due(proof, failed, US_PER_MINUTE, 1)
    assert check_is_due(proof, failed, 10 + US_PER_MINUTE, 1)
    assert not check_is_due(proof, failed, AHEAD_US - 15 * US_PER_SECOND, 1), "too late"
    assert check_is_due(proof, Verdict(-1, ()), 5, 1), "of yesterday"
    assert check_is_due(proof, passed, 5, 1), "of a clock that has been set back since"


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (WELL, None),
        (CameraLook(error="Connection refused"), "camera_unreachable"),
        (CameraLook(error="the camera refuses the user or the password", refused=True), "camera_refused"),
        (replace(WELL, luma_mean=None, luma_spread=None), "picture_missing"),
        (replace(WELL, luma_mean=16, luma_spread=1), "picture_black"),
        (replace(WELL, luma_mean=20, luma_spread=30), None),  # a dark room with something lit in it
        (replace(WELL, luma_mean=128, luma_spread=2), "picture_uniform"),
        (replace(WELL, sound_dbfs=None), "sound_missing"),
        (replace(WELL, sound_dbfs=-120.0), "sound_silent"),
        (replace(WELL, sound_dbfs=-72.2), "sound_silent"),  # silence in A-law
        (replace(WELL, sound_dbfs=-60.0), None),
    ],
)
def test_what_a_camera_may_lack(look, code) -> None:
    verdict = judge({"main": look}, None, HOST, 5)
    assert [each.code for each in verdict.reasons] == ([code] if code else [])
    assert verdict.ready == (code is None)
    json.dumps(verdict.document())


@pytest.mark.parametrize(
    ("microphone", "camera_dbfs", "reasons", "warnings"),
    [
        (-30.0, None, [], []),
        (-120.0, -40.0, [], ["microphone_lost"]),
        ("no such device", -40.0, [], ["microphone_lost"]),
        ("no such device", None, ["microphone_lost"], []),
        (-120.0, -120.0, ["microphone_lost"], []),
    ],
)
def test_sound_of_the_microphone_or_of_the_camera(microphone, camera_dbfs, reasons, warnings) -> None:
    verdict = judge({"main": replace(WELL, sound_dbfs=camera_dbfs)}, microphone, HOST, 5)
    assert [each.code for each in verdict.reasons] == reasons
    assert [each.code for each in verdict.items if each.warning] == warnings


def test_one_camera_that_hears_is_enough_and_each_must_see() -> None:
    deaf = replace(WELL, sound_dbfs=None)
    assert judge({"main": deaf, "door": WELL}, None, HOST, 5).ready
    verdict = judge({"main": WELL, "door": CameraLook(error="gone")}, None, HOST, 5)
    assert [(each.code, each.source) for each in verdict.reasons] == [("camera_unreachable", "door")]


@pytest.mark.parametrize(
    ("change", "code", "ready"),
    [
        ({"uncertainty_us": 61_000_000}, "clock_unknown", False),
        ({"estimated": True}, "clock_estimated", True),
        ({"accepts_footage": False}, "spool_full", False),
        # 2 Mbit/s over 8 h are 7.2 GB, and a quarter more for livelier hours.
        ({"free_bytes": 8_900_000_000}, "disk_short", False),
        ({"free_bytes": 9_100_000_000}, "", True),
        ({"server_error": "no route"}, "server_away", True),
    ],
)
def test_what_the_host_may_lack(change, code, ready) -> None:
    verdict = judge({"main": WELL}, None, replace(HOST, **change), 5)
    assert [each.code for each in verdict.items if each.code] == ([code] if code else [])
    assert verdict.ready == ready


def test_the_day_is_as_long_as_its_windows() -> None:
    proof = first_proof(OFFICE, at("2026-11-20T07:50:00+02:00"))
    assert proof
    assert recorded_us(OFFICE, proof) == 8 * 3600 * US_PER_SECOND
