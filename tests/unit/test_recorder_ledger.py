"""The account where the script of faults does not reach: new sources and keys, wrong clocks."""

from __future__ import annotations

import contextlib
from pathlib import Path

from recorder.chain import read_manifest
from recorder.host_boots import BootEvent
from recorder.ledger import Ledger
from recorder.manifest import GapCause, GapManifest, Track
from recorder.recovery import Recovered
from recorder.spool import Spool
from tests.integration.ingest_double import IngestDouble, configuration

S = 1_000_000
# 20 November 2026, 10:00 in Kyiv; the room is recorded around the clock.
T0 = 1_795_161_600 * S
NOTHING = Recovered([], None)
ROOM = configuration("rtsp://127.0.0.1:9/")


def double(**keys):
    return IngestDouble(Path(), ROOM, port=9, **keys)


def begun(spool, now_us, boot_id="boot-1", *, restarted=False, boots=(), superseded_us=None):
    ledger = Ledger(spool, spool.chain("main"), lambda: ROOM, now_us, superseded_us=superseded_us)
    ledger.begin(NOTHING, boot_id, now_us, restarted=restarted, boots=boots)
    return ledger


def gaps(spool):
    manifests = [read_manifest(entry.path).manifest for entry in spool.entries()]
    return [
        ((m.start_us - T0) // S, (m.end_us - T0) // S, m.cause)
        for m in manifests
        if isinstance(m, GapManifest)
    ]


def test_the_hosts_records_tell_a_shutdown_from_a_loss_of_power(tmp_path):
    room = double()
    begun(Spool(tmp_path, room.agent_key(), limit_bytes=10**9), T0)
    spool = Spool(tmp_path, room.agent_key(), limit_bytes=10**9)
    boots = [BootEvent(T0 + 30 * S, "shutdown"), BootEvent(T0 + 90 * S, "boot")]
    begun(spool, T0 + 120 * S, "boot-2", boots=boots)
    assert gaps(spool) == [(0, 90, "maintenance"), (90, 120, "agent_down")]

    again = Spool(tmp_path, room.agent_key(), limit_bytes=10**9)
    begun(again, T0 + 600 * S, "boot-3", boots=[*boots, BootEvent(T0 + 500 * S, "boot")])
    assert gaps(again)[2:] == [(120, 500, "power_lost"), (500, 600, "agent_down")]


def test_a_new_enrolment_goes_on_where_the_old_one_ended(tmp_path):
    """Else nothing would ever account for the time between an agent's end and its new key."""
    old = Spool(tmp_path, double().agent_key(), limit_bytes=10**9)
    ledger = begun(old, T0)
    ledger.note(T0, GapCause.CAMERA_UNREACHABLE)
    ledger.stop(T0 + 10 * S)
    anew = Spool(tmp_path, double().agent_key(), limit_bytes=10**9)
    begun(anew, T0 + 60 * S)
    assert gaps(anew) == [(0, 10, "camera_unreachable"), (10, 60, "maintenance")]
    assert anew.chain("main").next_link.sequence == 1


def test_a_source_that_a_change_brought_in_is_accounted_for_from_the_change(tmp_path):
    spool = Spool(tmp_path, double().agent_key(), limit_bytes=10**9)
    begun(spool, T0 + 4 * S, restarted=True, superseded_us=lambda: T0)
    assert gaps(spool) == [(0, 4, "restart")]


def test_a_source_that_came_back_does_not_answer_for_the_time_without_it(tmp_path):
    room = double()
    begun(Spool(tmp_path, room.agent_key(), limit_bytes=10**9), T0).stop(T0)
    spool = Spool(tmp_path, room.agent_key(), limit_bytes=10**9)
    begun(spool, T0 + 7204 * S, restarted=True, superseded_us=lambda: T0 + 7200 * S)
    assert gaps(spool) == [(7200, 7204, "restart")]


def test_time_that_a_wrong_clock_had_accounted_for_is_accounted_for_again(tmp_path):
    """A clock an hour ahead, put right: the hour to come is not covered by what was said of it before."""
    spool = Spool(tmp_path, double().agent_key(), limit_bytes=10**9)
    ledger = begun(spool, T0)
    ledger.flush(dict.fromkeys(Track, T0 + 3600 * S))
    ledger.clock_went_back(T0 + 5 * S)
    ledger.clock_went_back(T0 + 6 * S)
    ledger.flush(dict.fromkeys(Track, T0 + 65 * S))
    assert gaps(spool) == [(0, 3600, "opening"), (5, 65, "clock_step")]


def test_an_agent_starts_on_a_full_disk(tiny_disk):
    """What fills it is shipped only by an agent that runs."""
    room = double()
    spool = Spool(tiny_disk / "spool", room.agent_key(), limit_bytes=10**9)
    begun(spool, T0)
    with (tiny_disk / "rest").open("wb", buffering=0) as rest, contextlib.suppress(OSError):
        while rest.write(bytes(4096)):
            pass
    again = Spool(tiny_disk / "spool", room.agent_key(), limit_bytes=10**9)
    begun(again, T0 + 60 * S)
    assert gaps(again) == [(0, 60, "agent_down")]
