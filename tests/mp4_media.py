"""Runs of stored segments for tests: encoded by PyAV, cut and muxed as an agent does it.

Each whole second of a run begins with one white picture and 40 ms of a 1 kHz tone over faint noise, so
that the offset of picture and sound can be measured; noise makes every packet unlike all others.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from archive.mp4.reader import read_index
from archive.mp4.virtual import Literal, Piece, VirtualMp4
from recorder.manifest import MANIFEST_BOX_UUID
from simulator.picture import Painter

MUX = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets",
    "avoid_negative_ts": "disabled",
    "frag_duration": "200000",
    "flush_packets": "1",
    "max_interleave_delta": "500000",
    "write_prft": "wallclock",
}
VIDEO_TICKS = 90_000
US = 1_000_000


@dataclass(frozen=True)
class Shape:
    """What to record. Times of media begin at `media_start_s` on the run's timeline."""

    seconds: int = 6
    fps: int = 25
    gop: int = 25
    bframes: int = 0
    codec: str = "libx264"
    video: bool = True
    rate: int = 48_000
    layout: str = "mono"
    audio: bool = True
    media_start_s: int = 1000
    segment_s: int = 2
    # Seconds of the run in which nothing is heard, with loud noise before and after; instead of beeps.
    hush: tuple[float, float] | None = None
    # The number that the first picture bears in a bar code (simulator.picture); no bar code without it.
    number: int | None = None


@dataclass(frozen=True)
class Packet:
    kind: str
    start: Fraction  # seconds on the run's timeline
    dts: Fraction
    duration: Fraction
    key: bool
    digest: bytes


@dataclass(frozen=True)
class Recorded:
    """A run: its segment files, and the packets that went into each."""

    segments: tuple[bytes, ...]
    packets: tuple[tuple[Packet, ...], ...]

    def first(self, number: int) -> Fraction:
        """Presentation of the first stored picture of segment `number`, or of its first sound."""
        packets = self.packets[number]
        kind = "video" if any(p.kind == "video" for p in packets) else "audio"
        return next(p.start for p in packets if p.kind == kind)

    def pieces(self, wall_us: int, run: str = "run-1") -> list[Piece]:
        """The segments as pieces; the first segment begins at `wall_us`."""
        origin = self.first(0)
        pieces = []
        for number, data in enumerate(self.segments):
            start_us = wall_us + round((self.first(number) - origin) * US)
            end = max(p.start + p.duration for p in self.packets[number])
            end_us = wall_us + round((end - origin) * US)
            index = read_index(lambda at, length, data=data: data[at : at + length], len(data))
            pieces.append(Piece(f"{run}/{number}", index, start_us, end_us, run))
        return pieces

    def objects(self, run: str = "run-1") -> dict[str, bytes]:
        return {f"{run}/{number}": data for number, data in enumerate(self.segments)}


class _Sink:
    name = "segment.mp4"

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)


def manifest_box(encoded: bytes = b"{}") -> bytes:
    return (24 + len(encoded)).to_bytes(4, "big") + b"uuid" + MANIFEST_BOX_UUID.bytes + encoded


@lru_cache(maxsize=32)
def record(shape: Shape) -> Recorded:
    """Encodes and cuts a run; the same shape is recorded once a test session."""
    with ExitStack() as stack:
        sources: dict[str, _Source] = {}
        if shape.video:
            sources["video"] = _source(stack, _encode_video(shape))
        if shape.audio:
            sources["audio"] = _source(stack, _encode_audio(shape))
        return _cut(shape, sources)


@dataclass
class _Source:
    """An encoded stream, read back: what a camera is for an agent."""

    stream: av.stream.Stream
    packets: list[av.Packet]


def _source(stack: ExitStack, data: bytes) -> _Source:
    container = stack.enter_context(av.open(io.BytesIO(data)))
    stream = container.streams[0]
    packets = [packet for packet in container.demux(stream) if packet.size]
    # NUT stores no decoding times: the sorted presentation times, early enough for each picture.
    decode = sorted(packet.pts for packet in packets)
    late = max(at - packet.pts for at, packet in zip(decode, packets, strict=True))
    for at, packet in zip(decode, packets, strict=True):
        packet.dts = at - late
    return _Source(stream, packets)


def _cut(shape: Shape, sources: dict[str, _Source]) -> Recorded:
    video = sources["video"].packets if shape.video else []
    audio = sources["audio"].packets if shape.audio else []
    cuts = _cuts(shape, video)
    segments, packets = [], []
    for low, high in zip(cuts, [*cuts[1:], None], strict=True):
        part = [("video", p) for p in _pictures_between(video, low, high)]
        part += [("audio", p) for p in _sound_between(audio, None if low == cuts[0] else low, high)]
        part.sort(key=lambda pair: pair[1].dts * pair[1].time_base)
        segments.append(_mux(sources, part) + manifest_box())
        packets.append(tuple(_packet(kind, packet) for kind, packet in part))
    return Recorded(tuple(segments), tuple(packets))


def _cuts(shape: Shape, video: list[av.Packet]) -> list[Fraction]:
    seconds = [Fraction(shape.media_start_s + number) for number in range(shape.seconds)]
    keys = [_time(p) for p in video if p.is_keyframe] or seconds
    cuts = [keys[0]]
    for key in keys:
        if key >= cuts[-1] + shape.segment_s:
            cuts.append(key)
    return cuts


def _time(packet: av.Packet) -> Fraction:
    return packet.pts * packet.time_base


def _pictures_between(packets: list[av.Packet], low: Fraction, high: Fraction | None) -> list[av.Packet]:
    """From keyframe to keyframe, in decoding order."""
    begin = next((n for n, p in enumerate(packets) if p.is_keyframe and _time(p) >= low), len(packets))
    end = next(
        (n for n, p in enumerate(packets) if high is not None and p.is_keyframe and _time(p) >= high),
        len(packets),
    )
    return packets[begin:end]


def _sound_between(packets: list[av.Packet], low: Fraction | None, high: Fraction | None) -> list[av.Packet]:
    return [p for p in packets if (low is None or _time(p) >= low) and (high is None or _time(p) < high)]


def _encode_video(shape: Shape) -> bytes:
    width, height = 160, 120
    step = VIDEO_TICKS // shape.fps
    painter = Painter(width, height, shape.fps)
    rng = np.random.default_rng(7)
    out = io.BytesIO()
    with av.open(out, "w", format="nut") as container:
        stream = container.add_stream(shape.codec, rate=shape.fps, options=_video_options(shape))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, VIDEO_TICKS)
        for number in range(shape.seconds * shape.fps):
            if shape.number is not None:
                frame = av.VideoFrame.from_ndarray(painter.paint(shape.number + number), "yuv420p")
            else:
                picture = np.full((height, width, 3), 235 if number % shape.fps == 0 else 40, np.uint8)
                picture[: height // 4] = rng.integers(40, 80, (1, 1, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = shape.media_start_s * VIDEO_TICKS + number * step
            frame.time_base = Fraction(1, VIDEO_TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def _video_options(shape: Shape) -> dict[str, str]:
    if shape.codec == "libx265":
        params = f"log-level=none:keyint={shape.gop}:min-keyint={shape.gop}:scenecut=0:pools=1"
        return {"preset": "ultrafast", "x265-params": f"{params}:bframes={shape.bframes}:open-gop=1"}
    common = {"g": str(shape.gop), "keyint_min": str(shape.gop), "sc_threshold": "0", "threads": "1"}
    if not shape.bframes:
        return common | {"preset": "ultrafast", "tune": "zerolatency"}
    return common | {
        "preset": "veryfast",
        "bf": str(shape.bframes),
        "x264-params": "open-gop=1:b-pyramid=none",
    }


def _encode_audio(shape: Shape) -> bytes:
    count = shape.seconds * shape.rate
    time_s = np.arange(count) / shape.rate
    wave = np.random.default_rng(3).normal(0, 0.004, count)
    wave += np.where(time_s % 1 < 0.04, 0.5 * np.sin(2 * np.pi * 1000 * time_s), 0)
    if shape.hush is not None:
        outside = (time_s < shape.hush[0]) | (time_s >= shape.hush[1])
        wave = np.where(outside, 100 * wave.clip(-0.008, 0.008), 0)
    channels = 2 if shape.layout == "stereo" else 1
    out = io.BytesIO()
    with av.open(out, "w", format="nut") as container:
        stream = container.add_stream("aac", rate=shape.rate, layout=shape.layout)
        stream.bit_rate = 64_000
        stream.time_base = stream.codec_context.time_base = Fraction(1, shape.rate)
        for at in range(0, count - 1023, 1024):
            block = np.repeat(wave[None, at : at + 1024], channels, 0).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=shape.layout)
            frame.sample_rate, frame.pts = shape.rate, shape.media_start_s * shape.rate + at
            frame.time_base = Fraction(1, shape.rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def _mux(sources: dict[str, _Source], packets: Sequence[tuple[str, av.Packet]]) -> bytes:
    sink = _Sink()
    with av.open(sink, "w", format="mp4", options=MUX, buffer_size=1 << 20) as container:
        streams = {
            kind: container.add_stream_from_template(source.stream, opaque=True)
            for kind, source in sources.items()
            if any(each == kind for each, _ in packets)
        }
        for kind, packet in packets:
            copy = av.Packet(bytes(packet))
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
            copy.stream = streams[kind]
            container.mux_one(copy)
    return b"".join(sink.parts)


def _packet(kind: str, packet: av.Packet) -> Packet:
    base = packet.time_base
    data = bytes(packet)
    if kind == "video":
        # The muxer turns start codes into lengths.
        units = re.split(b"\0*\0\0\x01", data)[1:]
        data = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    digest = hashlib.sha256(data).digest()
    return Packet(
        kind,
        packet.pts * base,
        packet.dts * base,
        packet.duration * base,
        packet.is_keyframe,
        digest,
    )


def content(clip: VirtualMp4, objects: dict[str, bytes], start: int = 0, end: int | None = None) -> bytes:
    """Bytes `[start, end)` of the clip, put together from its slices as a server does it."""
    parts = []
    for part in clip.slices(start, clip.size if end is None else end):
        if isinstance(part, Literal):
            parts.append(part.data)
        else:
            stored = objects[part.name]
            assert part.offset >= 0
            assert part.offset + part.length <= len(stored)
            parts.append(stored[part.offset : part.offset + part.length])
    return b"".join(parts)
