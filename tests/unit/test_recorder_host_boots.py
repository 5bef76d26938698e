"""What the host's records say about an absence; wtmp as systemd writes it."""

from __future__ import annotations

import platform
import struct

import pytest

from recorder.host_boots import BootEvent, explain, read_boots
from recorder.manifest import GapCause

S = 1_000_000
MIN = 60 * S
T = 1_795_161_600 * S
DOWN, POWER, MAINTENANCE = GapCause.AGENT_DOWN, GapCause.POWER_LOST, GapCause.MAINTENANCE


def told(events, *, same_boot=False, now_us=T + 60 * MIN):
    return [(at - T, cause) for at, cause, _ in explain(T, now_us, events, same_boot=same_boot)]


def boot(minutes):
    return BootEvent(T + minutes * MIN, "boot")


def shutdown(minutes):
    return BootEvent(T + minutes * MIN, "shutdown")


def test_without_a_boot_it_was_the_agent():
    assert told([boot(-5), boot(10)], same_boot=True) == [(0, DOWN)]


def test_a_boot_without_a_shutdown_is_a_loss_of_power_until_the_boot():
    assert told([boot(-500), shutdown(-20), boot(10)]) == [(0, POWER), (10 * MIN, DOWN)]


def test_a_host_without_records_is_known_by_its_boot_id_alone():
    assert told([]) == [(0, POWER)]
    # A clock that was wrong at the boot says nothing.
    assert told([boot(-7), boot(100)]) == [(0, POWER)]


def test_an_orderly_shutdown_is_maintenance():
    assert told([shutdown(1), boot(10)]) == [(0, MAINTENANCE), (10 * MIN, DOWN)]


def test_an_agent_that_died_long_before_the_shutdown_was_down():
    assert told([shutdown(30), boot(40)]) == [(0, DOWN), (30 * MIN, MAINTENANCE), (40 * MIN, DOWN)]


def test_each_boot_in_between_is_told():
    assert told([boot(10), shutdown(30), boot(31), boot(50)]) == [
        (0, POWER),
        (10 * MIN, DOWN),
        (30 * MIN, MAINTENANCE),
        (31 * MIN, POWER),
        (50 * MIN, DOWN),
    ]


def record(kind, user, at_us):
    """A struct utmp by hand: type, pid, line, id, user, host, exit, session, time, address, unused."""
    words = "qqq" if platform.machine() == "aarch64" else "iii"
    text = struct.pack("<hxxi32s4s32s256shh", kind, 0, b"~", b"~~", user, b"6.12.0", 0, 0)
    text += struct.pack(f"<{words}", 0, at_us // S, at_us % S) + b"\0" * 36
    return text.ljust(400 if words == "qqq" else 384, b"\0")


@pytest.fixture
def stat(tmp_path):
    path = tmp_path / "stat"
    path.write_text(f"cpu  1 2 3\nbtime {(T + 10 * MIN) // S}\nprocesses 7\n")
    return path


def test_wtmp_tells_boots_and_shutdowns_and_the_kernel_the_present_boot(tmp_path, stat):
    wtmp = tmp_path / "wtmp"
    wtmp.write_bytes(
        record(2, b"reboot", T - 90 * MIN)
        + record(7, b"operator", T - 60 * MIN)
        + record(1, b"runlevel", T - 60 * MIN)
        + record(1, b"shutdown", T + 5 * MIN + 7)
        + record(2, b"reboot", T + 10 * MIN + 31 * S)
        + b"a record that was cut short"
    )
    assert read_boots(wtmp, stat) == [boot(-90), BootEvent(T + 5 * MIN + 7, "shutdown"), boot(10)]


def test_a_host_without_wtmp_knows_its_present_boot(tmp_path, stat):
    assert read_boots(tmp_path / "wtmp", stat) == [boot(10)]
    assert read_boots(tmp_path / "wtmp", tmp_path / "none") == []


def test_this_host_can_be_asked():
    assert all(event.at_us > 0 for event in read_boots())
