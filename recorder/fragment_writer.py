"""Samples in, whole fragments (`moof` with its `mdat`, ISO/IEC 14496-12) out.

Written here and not by FFmpeg, because what is in memory is lost by a kill: FFmpeg ends a fragment
only when the next packet shows that it is long enough and when the other track has caught up, while
this one can be ended at any moment, as when a burst of packets has been worked off. It also costs
less CPU than FFmpeg's interleaving queue, which takes each packet by itself.

Pure.
"""

from __future__ import annotations

import itertools
import struct

# sample_flags: a picture that depends on no other; one that does and is no place to begin.
_SYNC, _NOT_SYNC = 0x0200_0000, 0x0101_0000
_TFHD_BASE_IS_MOOF, _TFHD_FLAGS = 0x2_0000, 0x20
_TRUN_OFFSET, _TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_CTS = 0x1, 0x100, 0x200, 0x400, 0x800
_PICTURES = _TRUN_OFFSET | _TRUN_DURATION | _TRUN_SIZE | _TRUN_FLAGS | _TRUN_CTS
_SOUNDS = _TRUN_OFFSET | _TRUN_DURATION | _TRUN_SIZE
# Version 1 of `trun` has signed composition offsets: a picture with B-frames is not shown late by them.
_SIGNED_CTS = 1 << 24

_MOOF = struct.Struct(">I4sI4sII")
_TRAF = struct.Struct(">I4sI4sII")
_TFDT = struct.Struct(">I4sIQ")
_TRUN = struct.Struct(">I4sIII")
_MFHD_BYTES = 16
# A step of so many usual ones is a hole. Less is a camera that takes its time.
_HOLE = 3
_TFHD_BYTES = 16


# A sample's bytes, in order. Pictures are heavy: they are copied once, into their fragment.
Pieces = list[bytes | memoryview]


def length_prefixed(data: bytes) -> Pieces:
    """Annex B, as cameras send, → each NAL unit behind its length, as files have it.

    Zeros behind a unit are no part of it (ISO/IEC 14496-10, B.1).
    """
    out: Pieces = []
    view, whole, begin = memoryview(data), len(data), 0
    while begin < whole:
        code = data.find(b"\0\0\1", begin)
        end = code if code >= 0 else whole
        while end > begin and not data[end - 1]:
            end -= 1
        if end > begin:
            out += ((end - begin).to_bytes(4, "big"), view[begin:end])
        begin = code + 3 if code >= 0 else whole
    return out


class TrackWriter:
    """The samples of one track that are in no fragment yet. Ticks are the track's own.

    The last sample's duration is only known when the next one comes; in a fragment that ends before,
    it is as long as the one before it was. `tfdt` of the next fragment says where that one really is.
    """

    def __init__(self, track_id: int, *, pictures: bool, usual_ticks: int) -> None:
        """`usual_ticks`: the duration of a sample as long as none is known."""
        self.pictures = pictures
        self._track_id = track_id
        self._usual_ticks = usual_ticks
        self._dts: list[int] = []
        self._offsets: list[int] = []
        self._flags: list[int] = []
        self._sizes: list[int] = []
        self._data: Pieces = []
        self._last_dts: int | None = None
        # A file's decoding time begins where it is first shown, so that pictures that are decoded early
        # have negative offsets: else B-frames would move the picture against the sound.
        self._shift = 0

    def __len__(self) -> int:
        return len(self._dts)

    @property
    def pending_ticks(self) -> int:
        """Duration of all samples, 0 where there is none."""
        return self._dts[-1] - self._dts[0] + self._usual_ticks if self._dts else 0

    def must_end(self, next_dts: int, limit_ticks: int) -> bool:
        """Whether a fragment ends before that sample: it is long enough, or a hole comes, which is no
        sample's duration.
        """
        pending = self._dts
        if not pending:
            return False
        last, usual = pending[-1], self._usual_ticks
        return last - pending[0] + usual >= limit_ticks or next_dts + self._shift - last > _HOLE * usual

    def add(self, data: Pieces, pts: int, dts: int, *, sync: bool) -> None:
        """`dts` must be more than the last one's."""
        last = self._last_dts
        if last is None:
            self._shift = pts - dts
        dts += self._shift
        if last is not None:
            self._usual_ticks = min(dts - last, 2 * self._usual_ticks)
        self._last_dts = dts
        self._dts.append(dts)
        self._offsets.append(pts - dts)
        self._flags.append(_SYNC if sync else _NOT_SYNC)
        self._sizes.append(sum(map(len, data)))
        self._data += data

    def take(self) -> tuple[bytes, int, Pieces, int]:
        """A `traf` whose data offset is zero, where that stands in it, the samples and how many bytes they
        are; then it is empty.
        """
        dts, sizes, data, offsets = self._dts, self._sizes, self._data, self._offsets
        count = len(dts)
        durations = [after - before for before, after in itertools.pairwise(dts)]
        durations.append(self._usual_ticks)
        if self.pictures:
            rows = zip(durations, sizes, self._flags, offsets, strict=True)
            table = struct.pack(">" + "IIIi" * count, *itertools.chain.from_iterable(rows))
            flags, defaults = _PICTURES | _SIGNED_CTS, b""
        else:
            pairs = zip(durations, sizes, strict=True)
            table = struct.pack(f">{2 * count}I", *itertools.chain.from_iterable(pairs))
            flags, defaults = _SOUNDS, _SYNC.to_bytes(4, "big")
        tfhd_bytes = _TFHD_BYTES + len(defaults)
        tfhd_flags = _TFHD_BASE_IS_MOOF | (_TFHD_FLAGS if defaults else 0)
        trun_bytes = _TRUN.size + len(table)
        size = 8 + tfhd_bytes + _TFDT.size + trun_bytes
        traf = b"".join(
            (
                _TRAF.pack(size, b"traf", tfhd_bytes, b"tfhd", tfhd_flags, self._track_id),
                defaults,
                _TFDT.pack(_TFDT.size, b"tfdt", 1 << 24, dts[0]),
                _TRUN.pack(trun_bytes, b"trun", flags, count, 0),
                table,
            )
        )
        self._dts, self._offsets, self._flags, self._sizes, self._data = [], [], [], [], []
        return traf, size - len(table) - 4, data, sum(sizes)


def fragment(number: int, tracks: list[TrackWriter]) -> bytes:
    """All pending samples of the tracks as one fragment. `number` counts from 1 within a file."""
    taken = [track.take() for track in tracks if len(track)]
    moof_bytes = 8 + _MFHD_BYTES + sum(len(traf) for traf, _, _, _ in taken)
    offset = moof_bytes + 8
    pieces: Pieces = [_MOOF.pack(moof_bytes, b"moof", _MFHD_BYTES, b"mfhd", 0, number)]
    media: Pieces = []
    for traf, offset_at, data, data_bytes in taken:
        pieces += [traf[:offset_at], offset.to_bytes(4, "big"), traf[offset_at + 4 :]]
        offset += data_bytes
        media += data
    pieces += [(offset - moof_bytes).to_bytes(4, "big"), b"mdat", *media]
    return b"".join(pieces)
