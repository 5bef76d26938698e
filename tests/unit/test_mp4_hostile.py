"""The MP4 reader against files that lie: bounded work, bounded memory, Mp4Error or an index."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.mp4 import boxes
from archive.mp4.boxes import Mp4Error
from archive.mp4.reader import read_index
from tests.fuzz.hostile import Attacker, Honest
from tests.fuzz.measuring import MAX_PEAK_BYTES, peak_of, steps_of
from tests.fuzz.targets import read_segment
from tests.mp4_synthetic import audio_stsd, video_stsd


class Drawn:
    """Lies by Hypothesis; it shrinks towards the honest file."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def choose(self, options: Sequence[int]) -> int:
        lies = self._data.draw(st.integers(0, 31)) == 31
        return self._data.draw(st.sampled_from(options)) if lies else options[0]


def indexed(file: bytes):
    return read_index(lambda at, length: file[at : at + length], len(file))


def test_the_honest_file_is_read() -> None:
    assert [len(track) for track in indexed(Attacker(Honest()).file()).tracks] == [10, 18]


@settings(max_examples=250)
@given(st.data())
def test_any_lie_is_refused_or_read(data: st.DataObject) -> None:
    file = Attacker(Drawn(data)).file()
    assert steps_of(lambda: read_segment(file)) < 5_000 + 40 * len(file)


# --- files that a fuzzer does not find in seconds, as it would have to write megabytes


def moov(edit: tuple[int, int] | None = None, movie_timescale: int = 1000) -> bytes:
    mvhd = boxes.full_box(b"mvhd", 0, 0, bytes(8), struct.pack(">I", movie_timescale), bytes(84))
    traks = []
    for number, handler, scale, stsd in (
        (1, b"vide", 384_000, video_stsd()),
        (2, b"soun", 48_000, audio_stsd()),
    ):
        tkhd = boxes.full_box(b"tkhd", 0, 7, bytes(8), struct.pack(">I", number), bytes(68))
        mdhd = boxes.full_box(b"mdhd", 0, 0, bytes(8), struct.pack(">I", scale), bytes(8))
        hdlr = boxes.full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12))
        edits = b""
        if edit:
            rows = struct.pack(">IQqI", 2, edit[0], -1, 0) + struct.pack(">QqI", 0, edit[1], 0)
            edits = boxes.box(b"edts", boxes.full_box(b"elst", 1, 0, rows))
        minf = boxes.box(b"minf", boxes.box(b"stbl", stsd))
        traks.append(boxes.box(b"trak", tkhd, edits, boxes.box(b"mdia", mdhd, hdlr, minf)))
    trex = [boxes.full_box(b"trex", 0, 0, struct.pack(">IIIII", number, 1, 1, 0, 0)) for number in (1, 2)]
    return boxes.box(b"moov", mvhd, *traks, boxes.box(b"mvex", *trex))


def moof(*runs: bytes, base: int | None = None, tracks: Sequence[int] = (1, 2), trafs: int = 1) -> bytes:
    flags, stated = (0x20000, b"") if base is None else (1, struct.pack(">Q", base))
    parts = [
        boxes.box(
            b"traf",
            boxes.full_box(b"tfhd", 0, flags, struct.pack(">I", track), stated),
            boxes.full_box(b"tfdt", 1, 0, bytes(8)),
            *runs,
        )
        for _ in range(trafs)
        for track in tracks
    ]
    return boxes.box(b"moof", *parts)


def placed(*runs: bytes) -> bytes:
    """A fragment whose samples of no bytes lie in its mdat, as it must be: behind its moof."""
    head = moof(*runs)
    for _ in range(2):
        head = moof(trun_at(len(head) + 8), *runs)
    return head + MDAT


def trun_at(offset: int) -> bytes:
    """A run of one sample without bytes; those that follow in its track lie where it ends."""
    return trun(1, 0x1, struct.pack(">i", offset))


def trun(count: int, flags: int = 0, *columns: bytes) -> bytes:
    return boxes.full_box(b"trun", 0, flags, struct.pack(">I", count), *columns)


MDAT = boxes.box(b"mdat")


def test_an_offset_beyond_any_file_is_refused() -> None:
    with pytest.raises(Mp4Error, match="where no file is"):
        indexed(moov() + moof(trun(1), base=2**64 - 1) + MDAT)


def test_an_edit_list_beyond_time_is_refused() -> None:
    with pytest.raises(Mp4Error, match="out of time"):
        indexed(moov(edit=(2**53, 0), movie_timescale=1) + placed(trun(1)))


def test_a_hundred_thousand_runs_of_one_sample_are_refused_before_they_fill_the_memory() -> None:
    file = moov() + b"".join(placed(*[trun(1)] * 900) for _ in range(50))

    def read() -> None:
        with pytest.raises(Mp4Error, match="runs"):
            indexed(file)

    assert peak_of(read) < MAX_PEAK_BYTES - len(file)


def test_as_many_samples_as_are_allowed_fit_into_the_memory() -> None:
    rows = struct.pack(">IIII", 1, 0, 0, 0) * 24_000
    file = moov() + b"".join(moof(trun(24_000, 0xF00, rows), tracks=[track]) + MDAT for track in (1, 2, 1, 2))

    def read() -> None:
        # Time goes backwards between the fragments: all columns were joined before that is seen.
        with contextlib.suppress(Mp4Error):
            read_segment(file)

    assert peak_of(read) < MAX_PEAK_BYTES


@pytest.mark.parametrize(
    "filling",
    [
        pytest.param(moof(trafs=499), id="empty tracks"),
        pytest.param(boxes.box(b"moof", *[boxes.box(b"traf", bytes(0))] * 990), id="tracks without a head"),
        pytest.param(moof(*[boxes.box(b"free")] * 990, trafs=60), id="boxes of no bytes"),
        pytest.param(moof(*[trun(0)] * 990, trafs=30), id="runs of no sample"),
        pytest.param(boxes.box(b"free"), id="empty boxes of the file"),
    ],
)
def test_work_is_bounded_however_long_the_file_is(filling: bytes) -> None:
    """The file is thought, not made: every read of it gets the same part again and again."""
    head, part = moov(), filling + MDAT
    size = len(head) + len(part) * (900 * 2**20 // len(part))

    def pread(at: int, length: int) -> bytes:
        if at < len(head):
            return (head + part * (1 + length // len(part)))[at : at + length]
        start = (at - len(head)) % len(part)
        return (part * (2 + length // len(part)))[start : start + length]

    def read() -> None:
        with pytest.raises(Mp4Error):
            read_index(pread, size)

    assert steps_of(read) < 8_000_000
