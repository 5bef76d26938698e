"""The head of an MP4: `ftyp`, `moov`, and for a progressive one the header of the `mdat` that follows.

Offsets and the mdat's length are always 64 bits wide, so that size never changes the layout.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archive.mp4.boxes import box, full_box
from archive.mp4.index import Flags, Ints, TrackIndex

# iso6 for signed composition offsets; the others because old players look for them.
FTYP = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2iso6mp41")
_MDAT_HEADER_BYTES = 16
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4  # the language "und"
_EPOCH_1904_S = 2_082_844_800  # from the format's epoch, 1904, to 1970


@dataclass(frozen=True, eq=False)
class TrackTables:
    """What a track's boxes say. Columns per sample, in decoding order; times in ticks of the track.
    `track` lends its description alone, not its samples.
    """

    track: TrackIndex
    duration: Ints
    cts: Ints | None
    sync: Flags | None
    size: Ints
    chunk_samples: Ints

    @property
    def total(self) -> int:
        return int(self.duration.sum())


def build(tracks: Sequence[TrackTables], chunk_at: Sequence[Ints], mdat_bytes: int, start_s: int) -> bytes:
    """The head before `mdat_bytes` of payload; `chunk_at` are offsets in the payload, one array a track.

    `start_s`: when the recording was made, seconds since 1970.
    """
    made_at = start_s + _EPOCH_1904_S
    timescale = tracks[0].track.timescale
    durations = [-(-each.total * timescale // each.track.timescale) for each in tracks]
    tables = [_sample_tables(each) for each in tracks]
    mvhd = _mvhd(made_at, timescale, max(durations), len(tracks) + 1)

    def moov(base: int) -> bytes:
        traks = (
            _trak(number + 1, each, tables[number], chunk_at[number] + base, durations[number], made_at)
            for number, each in enumerate(tracks)
        )
        return box(b"moov", mvhd, *traks)

    # Offsets have a fixed width: the first pass tells the length, the second the truth.
    base = len(FTYP) + len(moov(0)) + _MDAT_HEADER_BYTES
    mdat = struct.pack(">I4sQ", 1, b"mdat", _MDAT_HEADER_BYTES + mdat_bytes)
    return FTYP + moov(base) + mdat


def build_fragmented(tracks: Sequence[TrackIndex]) -> bytes:
    """The head of a file whose samples come in fragments: what the tracks are, numbered from 1."""
    none = np.zeros(0, np.int64)
    empty = b"".join(full_box(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc"))
    empty += full_box(b"stsz", 0, 0, bytes(8))
    traks, defaults = [], []
    for number, track in enumerate(tracks, 1):
        tables = TrackTables(track, none, None, None, none, none)
        traks.append(_trak(number, tables, track.stsd + empty, none, 0, 0))
        defaults.append(full_box(b"trex", 0, 0, struct.pack(">IIIII", number, 1, 0, 0, 0)))
    mvhd = _mvhd(0, tracks[0].timescale, 0, len(tracks) + 1)
    return FTYP + box(b"moov", mvhd, *traks, box(b"mvex", *defaults))


def _mvhd(made_at: int, timescale: int, duration: int, next_track: int) -> bytes:
    return full_box(
        b"mvhd", 1, 0,
        struct.pack(">QQIQ", made_at, made_at, timescale, duration),
        struct.pack(">IHHQ", 0x10000, 0x100, 0, 0), _MATRIX, bytes(24), struct.pack(">I", next_track),
    )  # fmt: skip


def _trak(
    number: int, made: TrackTables, tables: bytes, chunk_at: Ints, duration: int, made_at: int
) -> bytes:
    track = made.track
    picture = track.kind == "video"
    tkhd = full_box(
        b"tkhd", 1, 3,
        struct.pack(">QQIIQ", made_at, made_at, number, 0, duration), bytes(8),
        struct.pack(">HHHH", 0, 0, 0 if picture else 0x100, 0), _MATRIX,
        struct.pack(">II", track.width, track.height),
    )  # fmt: skip
    mdhd = full_box(
        b"mdhd", 1, 0,
        struct.pack(">QQIQHH", made_at, made_at, track.timescale, made.total, _UNDETERMINED, 0),
    )  # fmt: skip
    handler = b"vide" if picture else b"soun"
    hdlr = full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), b"Video\0" if picture else b"Sound\0")
    header = full_box(b"vmhd", 0, 1, bytes(8)) if picture else full_box(b"smhd", 0, 0, bytes(4))
    here = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
    co64 = full_box(b"co64", 0, 0, struct.pack(">I", len(chunk_at)), chunk_at.astype(">u8").tobytes())
    stbl = box(b"stbl", tables, co64)
    return box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, box(b"minf", header, here, stbl)))


def _sample_tables(made: TrackTables) -> bytes:
    """All boxes of `stbl` but the chunk offsets."""
    tables = [made.track.stsd, full_box(b"stts", 0, 0, _runs(made.duration))]
    if made.cts is not None and made.cts.any():
        tables.append(full_box(b"ctts", 1, 0, _runs(made.cts)))
    if made.sync is not None and not made.sync.all():
        keys = (np.flatnonzero(made.sync) + 1).astype(">u4")
        tables.append(full_box(b"stss", 0, 0, struct.pack(">I", len(keys)), keys.tobytes()))
    values, counts = _run_lengths(made.chunk_samples)
    to_chunk = np.ones((len(values), 3), ">u4")
    to_chunk[:, 0] = np.cumsum(counts) - counts + 1
    to_chunk[:, 1] = values
    sizes = made.size.astype(">u4").tobytes()
    tables.append(full_box(b"stsc", 0, 0, struct.pack(">I", len(values)), to_chunk.tobytes()))
    tables.append(full_box(b"stsz", 0, 0, struct.pack(">II", 0, len(made.size)), sizes))
    return b"".join(tables)


def _run_lengths(column: Ints) -> tuple[Ints, Ints]:
    first = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1))
    return column[first], np.diff(np.append(first, len(column)))


def _runs(column: Ints) -> bytes:
    """(count, value) pairs, as stts and ctts have them; negative values as two's complement."""
    values, counts = _run_lengths(column)
    pairs = np.empty((len(values), 2), ">u4")
    pairs[:, 0] = counts
    pairs[:, 1] = values & 0xFFFFFFFF
    return struct.pack(">I", len(values)) + pairs.tobytes()
