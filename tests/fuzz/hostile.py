"""Segment files as an attacker builds them: right in form, with any field a lie.

The same builder serves Hypothesis and libFuzzer: each gives a `Chooser`. One that always chooses the
first of what it is offered makes an honest file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

from archive.mp4 import boxes
from recorder.manifest import MANIFEST_BOX_UUID
from tests.mp4_synthetic import audio_stsd, video_stsd

# Ends of 16, 31, 32, 53, 63 and 64 bits, and a few small numbers that mean something.
EDGES = (
    0,
    1,
    2,
    7,
    8,
    16,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


class Chooser(Protocol):
    def choose(self, options: Sequence[int]) -> int: ...


class Honest:
    """Always the first: the true value stands first wherever something is chosen."""

    def choose(self, options: Sequence[int]) -> int:
        return options[0]


class Attacker:
    """Builds one file. Every `choose` is a fork in which a lie may be told."""

    def __init__(self, chooser: Chooser) -> None:
        self._pick = chooser.choose

    def file(self) -> bytes:
        out = bytearray(self._box(b"ftyp", b"iso6" + bytes(4)))
        out += self._moov()
        at_s = 10
        for _ in range(self._pick((2, 0, 1, 3))):
            out += self._fragment(len(out), at_s)
            at_s += 1
        if self._pick((1, 0)):
            out += self._box(b"uuid", MANIFEST_BOX_UUID.bytes, b"{}")
        return bytes(out[: len(out) - self._pick((0, 1, 9, 40))])

    def _int(self, width: int, true: int) -> bytes:
        value = self._pick((true, *EDGES))
        return (value % 2 ** (8 * width)).to_bytes(width, "big")

    def _box(self, kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        for _ in range(self._pick((0, 0, 0, 1))):
            # The same payload a second time, or the box inside itself.
            body = body + body if self._pick((1, 0)) else boxes.box(kind, body)
        form = self._pick((0, 1, 2))
        if form == 1:
            return struct.pack(">I4s", 1, kind) + self._int(8, 16 + len(body)) + body
        if form == 2:
            return self._int(4, 8 + len(body)) + kind + body
        return boxes.box(kind, body)

    def _full(self, kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
        version, flags = self._pick((version, 0, 1, 255)), flags ^ self._pick((0, 1, 2, 0x100, 0x400, 0x800))
        return self._box(kind, struct.pack(">I", version << 24 | flags & 0xFFFFFF), *parts)

    def _moov(self) -> bytes:
        mvhd = self._full(b"mvhd", 0, 0, bytes(8), self._int(4, 1000), bytes(84))
        tracks = [self._trak(1, b"vide", 90_000, video_stsd()), self._trak(2, b"soun", 48_000, audio_stsd())]
        extends = [
            self._full(
                b"trex", 0, 0, struct.pack(">II", number, 1), *(self._int(4, true) for true in (0, 0, 0))
            )
            for number in (1, 2)
        ]
        keep = self._pick((2, 1, 0))
        return self._box(b"moov", mvhd, *tracks[:keep], self._box(b"mvex", *extends))

    def _trak(self, number: int, handler: bytes, timescale: int, stsd: bytes) -> bytes:
        tkhd = self._full(b"tkhd", 0, 7, bytes(8), self._int(4, number), bytes(60), bytes(8))
        mdhd = self._full(b"mdhd", 0, 0, bytes(8), self._int(4, timescale), bytes(8))
        hdlr = self._full(b"hdlr", 0, 0, bytes(4), handler, bytes(12))
        spoilt = self._pick((0, 1))
        if spoilt:
            at = self._pick(range(len(stsd)))
            stsd = stsd[:at] + self._int(4, 1) + stsd[at + 4 :]
        minf = self._box(b"minf", self._box(b"stbl", stsd))
        edits = b""
        if self._pick((0, 1)):
            version, count = self._pick((0, 1)), self._pick((1, 2, 0, 3))
            width = 8 if version else 4
            rows = [self._int(width, 0) + self._int(width, 0) + bytes(4) for _ in range(count)]
            head = struct.pack(">I", version << 24) + self._int(4, count)
            edits = self._box(b"edts", self._box(b"elst", head, *rows))
        return self._box(b"trak", tkhd, edits, self._box(b"mdia", mdhd, hdlr, minf))

    def _fragment(self, at: int, at_s: int) -> bytes:
        """`moof` and `mdat`; the first choice of data offsets is right, as sizes are known beforehand."""
        content = bytes(range(200))
        # Twice: what the boxes weigh decides on the offsets in them. Choices are replayed, not made anew.
        told: list[int] = []
        pick, self._pick = self._pick, self._recorder(told)
        moof_bytes = len(self._moof(at, at_s, 0))
        self._pick = self._player(told)
        moof = self._moof(at, at_s, moof_bytes + 8)
        self._pick = pick
        return moof + self._box(b"mdat", content)

    def _moof(self, at: int, at_s: int, data_at: int) -> bytes:
        mfhd = self._full(b"mfhd", 0, 0, bytes(4))
        video = self._traf(1, at, at_s * 90_000, data_at, [(3600, 20)] * 5)
        sound = self._traf(2, at, at_s * 48_000, data_at + 100, [(1024, 10)] * 9)
        return self._box(b"moof", mfhd, video, sound)

    def _traf(self, number: int, at: int, dts: int, data_at: int, rows: list[tuple[int, int]]) -> bytes:
        base = self._pick((0, 1))
        tfhd = self._full(
            b"tfhd", 0, 1 if base else 0x20000, self._int(4, number), self._int(8, at) if base else b""
        )
        tfdt = self._full(b"tfdt", 1, 0, self._int(8, dts))
        runs = [self._trun(data_at, rows) for _ in range(self._pick((1, 2, 0)))]
        return self._box(b"traf", tfhd, tfdt, *runs)

    def _trun(self, data_at: int, rows: list[tuple[int, int]]) -> bytes:
        count = self._int(4, len(rows))
        table = [self._int(4, duration) + self._int(4, size) for duration, size in rows]
        return self._full(b"trun", 0, 0x301, count, self._int(4, data_at), *table)

    def _recorder(self, told: list[int]):
        pick = self._pick

        def record(options: Sequence[int]) -> int:
            told.append(pick([*range(len(options))]))
            return options[told[-1]]

        return record

    def _player(self, told: list[int]):
        rest = iter(told)
        return lambda options: options[next(rest)]
