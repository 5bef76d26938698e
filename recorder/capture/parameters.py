"""Parameter sets of a coded picture: what a decoder must know first, and what tells a change of format."""

from __future__ import annotations

from typing import Any

# SPS and PPS; VPS, SPS and PPS.
_H264_SETS = frozenset({7, 8})
_H265_SETS = frozenset({32, 33, 34})
# They stand before the first slice; no camera's are longer than this.
_LOOK_BYTES = 4096


def parameter_sets(codec: str, packet: Any) -> bytes:
    """The parameter sets in an Annex B picture, joined, in their order; empty unless one of each is there.

    A picture that lost packets on its way may have lost some of them: it says nothing about the format.
    """
    data = bytes(memoryview(packet)[:_LOOK_BYTES])
    wanted = _H264_SETS if codec == "h264" else _H265_SETS
    found, kinds = [], set()
    start = data.find(b"\0\0\1")
    while start >= 0 and start + 3 < len(data):
        following = data.find(b"\0\0\1", start + 3)
        kind = data[start + 3] & 0x1F if codec == "h264" else data[start + 3] >> 1 & 0x3F
        if kind in wanted and following >= 0:
            kinds.add(kind)
            found.append(data[start + 3 : following].rstrip(b"\0"))
        start = following
    return b"".join(found) if kinds == wanted else b""
