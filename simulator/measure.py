"""What a recording of a simulated room shows: which frames, and sound against picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np

from simulator.picture import Luma, NoBarCodeError, is_flash, read_frame_number
from simulator.sound import Samples, beep_onsets

# A jump in the sound's time stamps that is more than rounding ends a stretch of contiguous sound.
_CONTIGUOUS_S = 0.002
# A beep belongs to the flash of the same second.
_PAIR_S = 0.5


@dataclass(frozen=True)
class Measurement:
    """Times are seconds of the file's own timeline, edit lists applied.

    `frame_numbers`: the bar code of each decoded picture, None where there is none to read; `frame_times_s`
    beside it. `flash_times_s`: first picture of each flash, but for one that begins the file.
    `beep_times_s`: beginnings of beeps. `av_offsets_ms`: for each flash with a beep within half a second,
    beep minus flash: positive is sound late. `decode_errors`: what the decoders complained of, damaged
    pictures and unreadable packets; 0 for a sound file.
    """

    frame_numbers: tuple[int | None, ...]
    frame_times_s: tuple[float, ...]
    flash_times_s: tuple[float, ...]
    beep_times_s: tuple[float, ...]
    av_offsets_ms: tuple[float, ...]
    decode_errors: int


@dataclass
class _Seen:
    numbers: list[int | None] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    lit: list[bool] = field(default_factory=list)
    sounds: list[tuple[float, Samples]] = field(default_factory=list)
    rate: int = 0
    errors: int = 0


def luma_of(frame: av.VideoFrame) -> Luma:
    """The brightness plane of a decoded 8-bit planar picture, (height, width); a copy."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.array(rows[: frame.height, : frame.width])


def measure_file(path: Path | str) -> Measurement:
    """Decode the whole file (a path or a URL that FFmpeg opens), and measure.

    Raises av.error.FFmpegError when it cannot be opened at all.
    """
    seen = _Seen()
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as complaints, av.open(str(path)) as container:
            _decode(container, seen)
    finally:
        av.logging.set_level(level)
    flashes = [
        time_s
        for time_s, lit, lit_before in zip(seen.times_s[1:], seen.lit[1:], seen.lit, strict=False)
        if lit and not lit_before
    ]
    beeps = _beep_times(seen.sounds, seen.rate)
    return Measurement(
        frame_numbers=tuple(seen.numbers),
        frame_times_s=tuple(seen.times_s),
        flash_times_s=tuple(flashes),
        beep_times_s=tuple(beeps),
        av_offsets_ms=tuple(_offsets_ms(flashes, beeps)),
        decode_errors=seen.errors + len(complaints),
    )


def _decode(container: av.container.InputContainer, seen: _Seen) -> None:
    for stream in container.streams.video + container.streams.audio:
        # In this thread, so that what the decoder logs is captured.
        stream.codec_context.thread_count = 1
    mono = av.AudioResampler(format="fltp", layout="mono")
    packets = container.demux(container.streams.video + container.streams.audio)
    while True:
        try:
            packet = next(packets)
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    _see(frame, seen)
                elif isinstance(frame, av.AudioFrame):
                    _hear(frame, mono, seen)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            seen.errors += 1
        except av.error.FFmpegError:  # the file itself cannot be read on
            seen.errors += 1
            return


def _see(frame: av.VideoFrame, seen: _Seen) -> None:
    luma = luma_of(frame)
    try:
        number = read_frame_number(luma)
    except NoBarCodeError:
        number = None
    seen.numbers.append(number)
    seen.times_s.append(frame.time if frame.time is not None else float("nan"))
    seen.lit.append(is_flash(luma))
    seen.errors += frame.is_corrupt


def _hear(frame: av.AudioFrame, mono: av.AudioResampler, seen: _Seen) -> None:
    seen.rate = frame.sample_rate
    seen.errors += frame.is_corrupt
    for part in mono.resample(frame):
        if part.time is not None:
            seen.sounds.append((part.time, part.to_ndarray().reshape(-1).astype(np.float32)))


def _beep_times(sounds: list[tuple[float, Samples]], rate: int) -> list[float]:
    """Beginnings of beeps over all stretches of contiguous sound."""
    beeps: list[float] = []
    stretch: list[Samples] = []
    start_s = end_s = 0.0
    for time_s, samples in [*sounds, (float("inf"), np.zeros(0, np.float32))]:
        if abs(time_s - end_s) > _CONTIGUOUS_S:
            if stretch:
                beeps += [start_s + onset for onset in beep_onsets(np.concatenate(stretch), rate)]
            stretch, start_s, end_s = [], time_s, time_s
        stretch.append(samples)
        end_s += len(samples) / rate if rate else 0.0
    return beeps


def _offsets_ms(flashes: list[float], beeps: list[float]) -> list[float]:
    offsets = []
    for flash in flashes:
        nearest = min(beeps, key=lambda beep: abs(beep - flash), default=float("inf"))
        if abs(nearest - flash) < _PAIR_S:
            offsets.append((nearest - flash) * 1000)
    return offsets
