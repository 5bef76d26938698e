"""RTCP as far as a wrong clock needs it. Pure."""

from __future__ import annotations

import struct

_SENDER_REPORT = 200
_NTP_AT = 8  # header and SSRC come before the 64-bit NTP time of a sender report
_NTP_SECOND = 1 << 32


def shift_sender_reports(packet: bytes, offset_s: float) -> bytes:
    """A compound RTCP packet whose sender reports tell a clock that is `offset_s` ahead."""
    shifted = bytearray(packet)
    at = 0
    while at + 4 <= len(packet):
        kind, words = packet[at + 1], int.from_bytes(packet[at + 2 : at + 4], "big")
        end = at + 4 * (words + 1)
        if kind == _SENDER_REPORT and end <= len(packet) and at + _NTP_AT + 8 <= end:
            (ntp,) = struct.unpack_from(">Q", packet, at + _NTP_AT)
            ntp = (ntp + round(offset_s * _NTP_SECOND)) % (1 << 64)
            struct.pack_into(">Q", shifted, at + _NTP_AT, ntp)
        at = end
    return bytes(shifted)
