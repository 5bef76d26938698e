"""Thumbnails and loudness from coded samples. The only module of the archive that knows a decoder.

Runs in the decoding program alone, on bytes that anybody may have made.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from operator import mul

import av
import av.logging
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from archive.media.work import (
    LOUDEST,
    LOUDNESS_STEP_US,
    MAX_STEPS,
    MAX_THUMBNAIL_BYTES,
    QUIETEST_DBFS,
    THUMBNAIL_HEIGHT,
    THUMBNAIL_WIDTH,
    Answer,
    Question,
    Thumbnail,
    Track,
)

_MICROSECONDS = Fraction(1, 1_000_000)
# Voices lie below 4 kHz: a sixth of the samples tells as well how loud a room is.
_LEVEL_RATE = 8_000
# Less of a step says nothing about it: an encoder's first packet lies before the sound, for instance.
_LEAST_SAMPLES = _LEVEL_RATE // 10
_FULL_SCALE = 32_768.0
# Nobody reads what decoders mutter about damaged media.
av.logging.set_level(None)
# Quantizers of JPEG, from good to coarse, until the picture is small enough.
_QUALITIES = (5, 9, 16, 31)


def answer(question: Question) -> Answer:
    """Samples that cannot be decoded are left out and counted."""
    undecodable = 0
    thumbnails = []
    if question.pictures is not None:
        for at_us, jpeg in _thumbnails(question.pictures, question.shape):
            if jpeg is None:
                undecodable += 1
            else:
                thumbnails.append(Thumbnail(at_us, jpeg))
    start_us, loudness, lost = _loudness(question.sound) if question.sound is not None else (0, (), 0)
    return Answer(tuple(thumbnails), start_us, loudness, undecodable + lost)


def _thumbnails(track: Track, shape: tuple[int, int]) -> Iterator[tuple[int, bytes | None]]:
    size = _fitting(*shape)
    for sample in track.samples:
        # One decoder a picture: nothing of a damaged one is left for the next.
        decoder = CodecContext.create(track.codec, "r")
        if not isinstance(decoder, VideoCodecContext):
            raise TypeError(f"{track.codec} has no pictures")
        _prepare(decoder, track)
        try:
            frames = [*decoder.decode(av.Packet(sample.data)), *decoder.decode(None)]
            yield sample.at_us, _jpeg(frames[0], size) if frames else None
        except (av.FFmpegError, ValueError, MemoryError):
            yield sample.at_us, None


def _prepare(decoder: CodecContext, track: Track) -> None:
    decoder.extradata = track.config
    decoder.thread_count = 1


def _fitting(width: int, height: int) -> tuple[int, int]:
    """The largest even size within a thumbnail's that has the picture's shape."""
    scale = min(THUMBNAIL_WIDTH / max(width, 1), THUMBNAIL_HEIGHT / max(height, 1))
    return tuple(max(16, round(side * scale / 2) * 2) for side in (width, height))  # type: ignore[return-value]


def _jpeg(frame: VideoFrame, size: tuple[int, int]) -> bytes | None:
    # By itself it starts a thread for each processor, which the cage refuses.
    small = frame.reformat(*size, format="yuvj420p", threads=1)
    small.pts, small.time_base = 0, Fraction(1, 25)
    for quality in _QUALITIES:
        encoder = VideoCodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *size, "yuvj420p"
        encoder.time_base = Fraction(1, 25)
        encoder.thread_count = 1
        encoder.options = {"qmin": str(quality), "qmax": str(quality)}
        jpeg = b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])
        if len(jpeg) <= MAX_THUMBNAIL_BYTES:
            return jpeg
    return None


def _loudness(track: Track) -> tuple[int, tuple[int | None, ...], int]:
    """Start of the first step, the value of each, and how many packets could not be decoded."""
    decoder = CodecContext.create(track.codec, "r")
    if not isinstance(decoder, AudioCodecContext):
        raise TypeError(f"{track.codec} has no sound")
    _prepare(decoder, track)
    resampler = AudioResampler(format="s16", layout="mono", rate=_LEVEL_RATE)
    # Step → sum of squares, sum, count: what the microphone adds as a constant is no sound.
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    undecodable = 0
    for sample in track.samples:
        packet = av.Packet(sample.data)
        packet.pts, packet.time_base = sample.at_us, _MICROSECONDS
        try:
            blocks = [block for frame in decoder.decode(packet) for block in resampler.resample(frame)]
        except (av.FFmpegError, ValueError, MemoryError):
            undecodable += 1
            continue
        for block in blocks:
            values = array("h")
            values.frombytes(bytes(block.planes[0])[: 2 * block.samples])
            step = sums[sample.at_us // LOUDNESS_STEP_US]
            step[0] += sum(map(mul, values, values))
            step[1] += sum(values)
            step[2] += len(values)
    heard = {number: _level(*step) for number, step in sums.items() if step[2] >= _LEAST_SAMPLES}
    if not heard:
        return 0, (), undecodable
    first = min(heard)
    steps = min(max(heard) - first + 1, MAX_STEPS)
    values_of = tuple(heard.get(first + number) for number in range(steps))
    return first * LOUDNESS_STEP_US, values_of, undecodable


def _level(squares: int, total: int, count: int) -> int:
    power = squares / count - (total / count) ** 2
    if power <= 0:
        return 0
    dbfs = 10 * math.log10(power / _FULL_SCALE**2)
    return min(LOUDEST, max(0, round(LOUDEST * (1 - dbfs / QUIETEST_DBFS))))
