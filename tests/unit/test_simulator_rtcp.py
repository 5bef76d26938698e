"""A wrong clock is told by sender reports, and nothing else of the packet changes."""

from __future__ import annotations

import struct

import pytest

from simulator.rtcp import shift_sender_reports

NTP = (3_900_000_000 << 32) + (1 << 31)
REPORT = struct.pack(">BBHIQIII", 0x80, 200, 6, 0xABCD, NTP, 90_000, 7, 7000)
DESCRIPTION = struct.pack(">BBHI", 0x81, 202, 2, 0xABCD) + b"\x01\x01x\x00"


@pytest.mark.parametrize("offset_s", [0.25, -3600.0, 86_400.5])
def test_the_ntp_time_moves_and_the_rest_stays(offset_s: float) -> None:
    packet = REPORT + DESCRIPTION
    shifted = shift_sender_reports(packet, offset_s)
    (ntp,) = struct.unpack_from(">Q", shifted, 8)
    assert (ntp - NTP) / 2**32 == offset_s
    assert shifted[:8] + shifted[16:] == packet[:8] + packet[16:]


def test_packets_without_a_report_stay() -> None:
    assert shift_sender_reports(DESCRIPTION, 10.0) == DESCRIPTION
    assert shift_sender_reports(REPORT[:12], 10.0) == REPORT[:12]
    assert shift_sender_reports(b"", 10.0) == b""
