"""Segments without media, for properties: each sample's bytes say which one it is.

And a reader of finished clips that shares nothing with the code that writes them but the box walker.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from archive.mp4 import boxes
from archive.mp4.boxes import Fields
from archive.mp4.index import Kind, SegmentIndex, TrackIndex
from archive.mp4.virtual import Literal, Piece, VirtualMp4

VIDEO_TICKS = 90_000
SILENCE = bytes.fromhex("01182007")
_RATES = {48_000: 3, 44_100: 4, 16_000: 8, 8_000: 11}


def video_stsd(config: bytes = b"\x01\x42\xc0\x0d") -> bytes:
    entry = boxes.box(b"avc1", bytes(78), boxes.box(b"avcC", config))
    return boxes.full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)


def audio_stsd(rate: int = 48_000, object_type: int = 2) -> bytes:
    config = (object_type << 11 | _RATES[rate] << 7 | 1 << 3).to_bytes(2, "big")
    specific = b"\x05\x02" + config
    decoder = b"\x04" + bytes([13 + len(specific)]) + bytes(13) + specific
    esds = boxes.full_box(b"esds", 0, 0, b"\x03" + bytes([3 + len(decoder)]) + bytes(3) + decoder)
    entry = boxes.box(b"mp4a", bytes(28), esds)
    return boxes.full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)


@dataclass(frozen=True)
class Made:
    """One sample: its name inside the object, its media time in seconds, how long it lasts."""

    piece: str
    kind: Kind
    number: int
    start_s: Fraction
    duration_s: Fraction
    sync: bool

    @property
    def data(self) -> bytes:
        label = f"<{self.piece}|{self.kind}|{self.number}>".encode()
        return label + b"." * (self.number % 7)


@dataclass
class MadeSegment:
    piece: Piece
    data: bytes
    samples: list[Made]

    def wall_us(self, media_s: Fraction) -> Fraction:
        kind = "video" if any(s.kind == "video" for s in self.samples) else "audio"
        first = next(s.start_s for s in self.samples if s.kind == kind)
        return self.piece.start_us + (media_s - first) * 10**6


def make_segment(
    name: str,
    run: str,
    start_us: int,
    video: list[tuple[int, int, int, bool]],
    audio: list[tuple[int, int]],
    *,
    rate: int = 48_000,
    fragment: int = 5,
    stsd: bytes | None = None,
    sound_stsd: bytes | None = None,
) -> MadeSegment:
    """`video`: (dts, cts, duration, sync) in 1/90000 s; `audio`: (dts, duration) in samples.

    Laid out as a muxer does: fragments of `fragment` pictures and the sound packets beside them.
    """
    pictures = [
        Made(name, "video", n, Fraction(dts + cts, VIDEO_TICKS), Fraction(duration, VIDEO_TICKS), sync)
        for n, (dts, cts, duration, sync) in enumerate(video)
    ]
    packets = [
        Made(name, "audio", n, Fraction(dts, rate), Fraction(length, rate), True)
        for n, (dts, length) in enumerate(audio)
    ]
    blocks = max(1, -(-max(len(pictures), 1) // fragment))
    data, offsets = bytearray(b"init"), {"video": [], "audio": []}
    for block in range(blocks):
        data += b"[moof]" * 3
        share = [pictures[block * fragment : (block + 1) * fragment]]
        low, high = block * len(packets) // blocks, (block + 1) * len(packets) // blocks
        share.append(packets[low:high])
        for each in (sample for part in share for sample in part):
            offsets[each.kind].append(len(data))
            data += each.data
    data += b"[manifest]"
    tracks = []
    if video:
        tracks.append(_track("video", VIDEO_TICKS, stsd or video_stsd(), video, pictures, offsets["video"]))
    if audio:
        rows = [(dts, 0, length, True) for dts, length in audio]
        tracks.append(_track("audio", rate, sound_stsd or audio_stsd(rate), rows, packets, offsets["audio"]))
    index = SegmentIndex(len(data), len(data) - 10, tuple(tracks))
    end_s = max(s.start_s + s.duration_s for s in pictures + packets)
    first_s = (pictures or packets)[0].start_s
    end_us = start_us + round((end_s - first_s) * 1e6)
    return MadeSegment(Piece(name, index, start_us, end_us, run), bytes(data), pictures + packets)


def _track(
    kind: Kind,
    timescale: int,
    stsd: bytes,
    rows: list[tuple[int, int, int, bool]],
    made: list[Made],
    offsets: list[int],
) -> TrackIndex:
    dts, cts, duration, sync = (np.array(column) for column in zip(*rows, strict=True))
    size = [len(each.data) for each in made]
    side = (160 << 16, 120 << 16) if kind == "video" else (0, 0)
    return TrackIndex(
        kind, timescale, stsd, *side,
        dts.astype(np.int64), duration.astype(np.uint32), np.array(size, np.uint32),
        cts.astype(np.int32), sync.astype(np.bool_), np.array(offsets, np.int64),
    )  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A sample of a finished clip; times in seconds since the clip's beginning."""

    data: bytes
    decode_s: Fraction
    present_s: Fraction
    duration_s: Fraction
    sync: bool


@dataclass(frozen=True)
class Track:
    kind: str
    timescale: int
    samples: list[Sample]
    chunk_offsets: list[int]


def parse_clip(data: bytes) -> list[Track]:
    """Every sample of a progressive MP4; refuses edit lists and bytes that are not ftyp, moov, mdat."""
    top = list(boxes.children(data, 0, len(data)))
    assert [each.type for each in top] == [b"ftyp", b"moov", b"mdat"]
    moov = top[1]
    tracks = []
    for trak in boxes.children(data, moov.start, moov.end):
        if trak.type == b"trak":
            assert boxes.find(data, trak.start, trak.end, b"edts") is None
            tracks.append(_parse_trak(data, trak))
    return tracks


def _parse_trak(data: bytes, trak: boxes.Box) -> Track:
    mdia = boxes.need(data, trak.start, trak.end, b"mdia")
    handler = Fields(data, boxes.need(data, mdia.start, mdia.end, b"hdlr"))
    handler.skip(8)
    kind = {b"vide": "video", b"soun": "audio"}[handler.take(4)]
    mdhd = Fields(data, boxes.need(data, mdia.start, mdia.end, b"mdhd"))
    mdhd.skip(20)
    timescale, total = mdhd.uint(4), mdhd.uint(8)
    stbl = boxes.need(data, mdia.start, mdia.end, b"minf", b"stbl")

    def table(name: bytes, width: int, skip: int = 4) -> list[tuple[int, ...]] | None:
        found = boxes.find(data, stbl.start, stbl.end, name)
        if found is None:
            return None
        fields = Fields(data, found)
        fields.skip(skip)
        rows = [tuple(fields.sint(width if name == b"co64" else 4) for _ in range(_COLUMNS[name]))
                for _ in range(fields.uint(4))]  # fmt: skip
        assert fields.left == 0
        return rows

    durations = [value & 0xFFFFFFFF for count, value in table(b"stts", 4) or [] for _ in range(count)]
    sizes = [row[0] for row in table(b"stsz", 4, skip=8) or []]
    cts_table = table(b"ctts", 4)
    cts = [value for count, value in cts_table for _ in range(count)] if cts_table else [0] * len(sizes)
    keys = table(b"stss", 4)
    key_numbers = {row[0] for row in keys} if keys is not None else set(range(1, len(sizes) + 1))
    chunk_offsets = [row[0] for row in table(b"co64", 8) or []]
    offsets = _offsets(table(b"stsc", 4) or [], chunk_offsets, sizes)
    assert len(durations) == len(sizes) == len(cts) == len(offsets)
    assert sum(durations) == total
    samples, decode = [], 0
    for n, size in enumerate(sizes):
        samples.append(
            Sample(
                data[offsets[n] : offsets[n] + size],
                Fraction(decode, timescale),
                Fraction(decode + cts[n], timescale),
                Fraction(durations[n], timescale),
                n + 1 in key_numbers,
            )
        )
        decode += durations[n]
    return Track(kind, timescale, samples, chunk_offsets)


_COLUMNS = {b"stts": 2, b"ctts": 2, b"stss": 1, b"stsc": 3, b"stsz": 1, b"co64": 1}


def _offsets(to_chunk: list[tuple[int, ...]], chunk_offsets: list[int], sizes: list[int]) -> list[int]:
    offsets: list[int] = []
    for position, (first, per_chunk, _) in enumerate(to_chunk):
        after = to_chunk[position + 1][0] if position + 1 < len(to_chunk) else len(chunk_offsets) + 1
        for chunk in range(first, after):
            at = chunk_offsets[chunk - 1]
            for _ in range(per_chunk):
                offsets.append(at)
                at += sizes[len(offsets) - 1]
    return offsets


@dataclass
class Footage:
    segments: list[MadeSegment]
    rate: int

    @property
    def pieces(self) -> list[Piece]:
        return [segment.piece for segment in self.segments]

    def content(self, clip: VirtualMp4) -> bytes:
        return self.part(clip, 0, clip.size)

    def part(self, clip: VirtualMp4, start: int, end: int) -> bytes:
        objects = {segment.piece.name: segment.data for segment in self.segments}
        return b"".join(
            part.data if isinstance(part, Literal) else objects[part.name][part.offset :][: part.length]
            for part in clip.slices(start, end)
        )

    def find(self, data: bytes) -> tuple[MadeSegment, Made] | None:
        """The sample with exactly these bytes; None for silence; anything else fails."""
        if data == SILENCE:
            return None
        match = re.fullmatch(rb"<([^|]+)\|(\w+)\|(\d+)>\.*", data)
        assert match, data
        name, kind, number = match[1].decode(), match[2].decode(), int(match[3])
        segment = next(each for each in self.segments if each.samples[0].piece == name)
        made = next(each for each in segment.samples if (each.kind, each.number) == (kind, number))
        assert made.data == data
        return segment, made


def samples_of(footage: Footage, clip: VirtualMp4) -> list[tuple[MadeSegment, Made, Sample]]:
    return samples_in(footage, footage.content(clip))


def samples_in(footage: Footage, content: bytes) -> list[tuple[MadeSegment, Made, Sample]]:
    """The samples of a clip's bytes, without made silence; one that is not of this footage fails."""
    found = []
    for track in parse_clip(content):
        for sample in track.samples:
            known = footage.find(sample.data)
            if known is not None:
                assert known[1].kind == track.kind
                assert known[1].sync == sample.sync
                found.append((*known, sample))
    return found


@functools.cache
def minute_index(minute: int = 0) -> SegmentIndex:
    """A minute of 25 pictures/s and 48 kHz sound with the sizes of a quiet room, in fragments of 0.2 s;
    minute n of a run goes on where minute n - 1 ended.
    """
    rng = np.random.default_rng(1)
    first_packet, next_packet = (-(-n * 60 * 48_000 // 1024) for n in (minute, minute + 1))
    sound = next_packet - first_packet

    def track(kind: Kind, first: int, count: int, step: int, sizes: np.ndarray, base: int) -> TrackIndex:
        offset = base + np.cumsum(sizes) - sizes + 700 * (np.arange(count) * 300 // count)
        sync = np.arange(count) % 50 == 0 if kind == "video" else np.ones(count, np.bool_)
        return TrackIndex(
            kind, 90_000 if kind == "video" else 48_000,
            video_stsd() if kind == "video" else audio_stsd(), 0, 0,
            first + step * np.arange(count, dtype=np.int64), np.full(count, step, np.uint32),
            sizes.astype(np.uint32), np.zeros(count, np.int32), sync, offset.astype(np.int64),
        )  # fmt: skip

    pictures = rng.normal(12_000, 700, 1500).astype(np.int64)
    packets = rng.normal(170, 12, sound).astype(np.int64)
    video = track("video", minute * 1500 * 3600, 1500, 3600, pictures, 2_000)
    audio = track("audio", first_packet * 1024, sound, 1024, packets, 20_000_000)
    return SegmentIndex(30_000_000, 29_999_000, (video, audio))
