"""What holds for every day that is played, of whatever runs, gaps and clocks."""

from __future__ import annotations

import re
import struct
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.mp4 import boxes, hls
from archive.mp4.day import Day, DaySegment, Entry, Loan, Part, lay_out
from archive.mp4.groups import groups_of
from archive.mp4.part import PartFile, Source, build, describe
from archive.mp4.sliced import Literal
from recorder.instants import to_us
from recorder.intervals import Interval
from tests.mp4_chance import WALL, footage
from tests.mp4_synthetic import VIDEO_TICKS, Footage, Made, MadeSegment, make_segment

# A tick of 16 kHz (two roundings) and the rounding of two times to microseconds.
TICK_US = 65
PACKET_TICKS = 1024
COMMON = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Shown(NamedTuple):
    """A sample as a player finds it: times in µs of its own line. `made` None: silence."""

    track: int
    decode_us: float
    start_us: float
    length_us: float
    sync: bool
    source: MadeSegment | None
    made: Made | None


class Laid:
    """Footage laid out as a day, and its parts read back."""

    def __init__(self, footage: Footage, limits: list[Interval] | None = None) -> None:
        self.footage = footage
        self.day: Day = lay_out(
            [
                DaySegment(each.name, each.run, each.start_us, groups_of(each.index))
                for each in footage.pieces
            ],
            limits,
        )
        self._sources = {each.name: Source(each.name, each.index, each.start_us) for each in footage.pieces}

    def _lent(self, loan: Loan | None) -> Source | None:
        return self._sources[loan.segment_id] if loan else None

    def file(self, part: Part) -> PartFile:
        own = self._sources[part.segment_id]
        return build(part, own, self._lent(part.still), self._lent(part.hush))

    def content(self, file: PartFile) -> bytes:
        objects = {each.piece.name: each.data for each in self.footage.segments}
        return b"".join(
            each.data
            if isinstance(each, Literal)
            else objects[each.name][each.offset : each.offset + each.length]
            for each in file.slices(0, file.size)
        )

    def samples(self, entry: Entry) -> list[Shown]:
        scales = timescales(self.describe(entry))
        return list(self._read(self.content(self.file(entry.part)), scales))

    def describe(self, entry: Entry) -> bytes:
        stretch = next(
            each for each in self.day.stretches if any(entry in entries for _, entries in each.spans)
        )
        own = self._sources[stretch.init.segment_id]
        return describe(own, self._lent(stretch.init.still), self._lent(stretch.init.hush))

    def _read(self, data: bytes, scales: list[int]):
        moof = boxes.need(data, 0, len(data), b"moof")
        for traf in (box for box in boxes.children(data, moof.start, moof.end) if box.type == b"traf"):
            tfhd = boxes.need(data, traf.start, traf.end, b"tfhd")
            track = struct.unpack_from(">I", data, tfhd.start + 4)[0]
            tfdt = boxes.need(data, traf.start, traf.end, b"tfdt")
            at = struct.unpack_from(">Q", data, tfdt.start + 4)[0]
            us = 1_000_000 / scales[track - 1]
            for trun in (box for box in boxes.children(data, traf.start, traf.end) if box.type == b"trun"):
                flags, count, offset = struct.unpack_from(">IIi", data, trun.start)
                wide = 4 if flags & 0x400 else 2
                for number in range(count):
                    fields = struct.unpack_from(">" + "I" * wide, data, trun.start + 12 + 4 * wide * number)
                    cts = struct.unpack(">i", struct.pack(">I", fields[3]))[0] if wide == 4 else 0
                    found = self.footage.find(data[offset : offset + fields[1]])
                    offset += fields[1]
                    sync = wide == 2 or not fields[2] & 0x10000
                    source, made = found or (None, None)
                    yield Shown(track, at * us, (at + cts) * us, fields[0] * us, sync, source, made)
                    at += fields[0]


def timescales(init: bytes) -> list[int]:
    moov = boxes.need(init, 0, len(init), b"moov")
    found = []
    for trak in (box for box in boxes.children(init, moov.start, moov.end) if box.type == b"trak"):
        mdhd = boxes.need(init, trak.start, trak.end, b"mdia", b"mdhd")
        found.append(struct.unpack_from(">I", init, mdhd.start + 20)[0])
    return found


def kept(laid: Laid) -> list[tuple[Entry, Shown]]:
    """Stored samples as they are played; a picture that is lent is none."""
    return [
        (entry, sample)
        for entry in laid.day.entries
        for sample in laid.samples(entry)
        if sample.made is not None and sample.source.piece.name == entry.part.segment_id
    ]


@COMMON
@given(footage())
def test_every_sample_once_in_order_but_what_no_decoder_could_show(footage: Footage) -> None:
    laid = Laid(footage)
    names = [(sample.made.piece, sample.made.kind, sample.made.number) for _, sample in kept(laid)]
    assert len(set(names)) == len(names)
    for kind in ("video", "audio"):
        for segment in footage.segments:
            numbers = [n for piece, k, n in names if (piece, k) == (segment.piece.name, kind)]
            assert numbers == sorted(numbers)
    opened = {entry.part.segment_id for entry in laid.day.entries if entry.part.from_us is not None}
    cut = {entry.part.segment_id for entry in laid.day.entries if entry.part.until_us is not None}
    missing = [
        (segment, made)
        for segment in footage.segments
        for made in segment.samples
        if (made.piece, made.kind, made.number) not in set(names)
    ]
    for segment, made in missing:
        before_the_key = made.piece in opened and segment.wall_us(made.start_s) < segment.piece.start_us
        # A later run has taken over, there or within the tenth of a second that is not worth a part.
        later = [each.piece.start_us for each in footage.segments if each.piece.run != segment.piece.run]
        end_us = segment.wall_us(made.start_s + made.duration_s)
        taken_over = any(segment.piece.start_us <= at < end_us + 200_000 for at in later)
        assert before_the_key or (made.piece in cut | {segment.piece.name} and taken_over), made


@COMMON
@given(footage())
def test_the_line_tells_the_instant_of_every_sample(footage: Footage) -> None:
    laid = Laid(footage)
    spans = {
        entry.part.segment_id: span
        for stretch in laid.day.stretches
        for span, entries in stretch.spans
        for entry in entries
    }
    for entry, sample in kept(laid):
        span = spans[entry.part.segment_id]
        told_us = span.wall_us + sample.start_us - span.player_us
        off_us = float(told_us - sample.source.wall_us(sample.made.start_s))
        assert abs(off_us) <= TICK_US, (off_us, sample.made, entry)


@COMMON
@given(footage())
def test_a_part_begins_when_the_playlist_says_and_with_a_keyframe(footage: Footage) -> None:
    laid = Laid(footage)
    entries = laid.day.entries
    for entry, after in pairwise([*entries, None]):
        samples = laid.samples(entry)
        # A player that began elsewhere may place all by ticks earlier: nothing may lie before its zero.
        lead_us = 1_000 if entry is entries[0] else 0
        assert abs(min(sample.decode_us for sample in samples) - entry.begin_us - lead_us) <= TICK_US
        assert samples[0].sync
        assert entry.duration_us > 0
        if after is not None:
            assert entry.begin_us + entry.duration_us == after.begin_us


@COMMON
@given(footage())
def test_sound_goes_on_without_a_hole_within_a_stretch(footage: Footage) -> None:
    """Players count samples of sound: what they are given lasts as long as it is said to."""
    laid = Laid(footage)
    for stretch in laid.day.stretches:
        entries = [entry for _, each in stretch.spans for entry in each]
        sound = [
            sample
            for entry in entries
            for sample in laid.samples(entry)
            if sample.made is None or sample.made.kind == "audio"
        ]
        packet_us = PACKET_TICKS / footage.rate * 1e6
        for one, two in pairwise(sound):
            # Wandering of packets by a tick, and half a packet where the hole was no multiple of one.
            assert abs(two.start_us - one.start_us - packet_us) <= packet_us / 2 + 3 * TICK_US


@COMMON
@given(footage(), st.lists(st.tuples(st.integers(-1, 8), st.integers(1, 5)), min_size=1, max_size=3))
def test_nothing_outside_the_limits(footage: Footage, wanted: list[tuple[int, int]]) -> None:
    limits = [Interval(WALL + at * 700_001, WALL + (at + length) * 700_001) for at, length in wanted]
    limits = sorted(limits)
    for one, two in pairwise(limits):
        if two.start_us <= one.end_us:
            return
    laid = Laid(footage, limits)
    for entry, sample in kept(laid):
        start_us = sample.source.wall_us(sample.made.start_s)
        end_us = start_us + sample.made.duration_s * 10**6
        within = any(each.start_us - 1 <= start_us and end_us <= each.end_us + 1 for each in limits)
        assert within, (sample.made, entry.part)


@COMMON
@given(footage())
def test_the_playlist_says_it_all(footage: Footage) -> None:
    laid = Laid(footage)
    text = hls.render(laid.day, hls.relative_address)
    lines = text.splitlines()
    told = [line for line in lines if line.startswith("media/")]
    assert [parsed(line) for line in told] == [entry.part for entry in laid.day.entries]
    longest = max(float(line[8:-1]) for line in lines if line.startswith("#EXTINF:"))
    assert longest <= int(re.search(r"TARGETDURATION:(\d+)", text)[1])
    dates = [line.split(":", 1)[1] for line in lines if line.startswith("#EXT-X-PROGRAM-DATE-TIME")]
    firsts = [entries[0] for stretch in laid.day.stretches for _, entries in stretch.spans]
    for date, entry in zip(dates, firsts, strict=True):
        assert abs(to_us(datetime.fromisoformat(date)) - entry.wall_us) <= 500
    assert lines.count("#EXT-X-DISCONTINUITY") == len(laid.day.stretches) - 1


def parsed(address: str) -> Part:
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    segment_id = address.removeprefix("media/").partition(".mp4")[0]
    return hls.from_query(segment_id, query["p"], query.get("still"), query.get("hush"))


@pytest.mark.parametrize("p", ["0.1.0.0.0.0.20000000000000", "0.1.0.-20000000000000", f"0.1.{2**53}"])
def test_an_address_of_ones_own_makes_no_silence_for_years(p) -> None:
    with pytest.raises(ValueError, match="beyond"):
        hls.from_query("a", p, None, None)


def minute(name: str, run: str, start_us: int, media_s: int, **more) -> MadeSegment:
    """Two groups of a second with their sound."""
    video = [(media_s * VIDEO_TICKS + n * 9000, 0, 9000, n % 10 == 0) for n in range(20)]
    audio = [(media_s * 48_000 + n * 1024, 1024) for n in range(94)]
    return make_segment(name, run, start_us, video, more.get("audio", audio), fragment=2)


def test_an_overlapping_run_takes_over() -> None:
    one, two = minute("a", "one", WALL, 100), minute("b", "two", WALL + 1_250_000, 500)
    laid = Laid(Footage([one, two], 48_000))
    shown = [(s.made.piece, s.source.wall_us(s.made.start_s)) for _, s in kept(laid) if s.track == 1]
    assert [piece for piece, _ in shown] == ["a"] * 12 + ["b"] * 20
    assert max(at for piece, at in shown if piece == "a") == WALL + 1_100_000
