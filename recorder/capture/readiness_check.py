"""A few seconds of a camera, looked at in memory: could it be recorded?

Nothing of it is kept: not a packet reaches a disk, and what leaves here are numbers.
"""

from __future__ import annotations

import array
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.video.frame import VideoFrame

from recorder.capture.camera import Address, CameraError
from recorder.readiness import SILENT_DBFS, CameraLook

# Listens to a room's microphone for that many seconds: its level (dB of full scale, half of peak to
# peak), or what is wrong with it.
SoundProbe = Callable[[float], float | str]

# As much tells the bit rate well enough; a camera that has shown and let hear everything is left alone.
_ENOUGH_S = 2.0
# Every 16th pixel of every 16th row: 3600 of a 720p picture.
_LUMA_STEP = 16
_SILENCE_DBFS = -120.0


def look_at_camera(address: Address, seconds: float, go_on: Callable[[], bool]) -> CameraLook:
    """Opens the camera as the recorder does and reads for at most `seconds`, while `go_on` says so."""
    try:
        container = address.open()
    except CameraError as error:
        return CameraLook(error=str(error), refused=error.refused)
    try:
        return _look(container, seconds, go_on)
    finally:
        container.close()


def _look(container: InputContainer, seconds: float, go_on: Callable[[], bool]) -> CameraLook:
    streams = container.streams
    video = streams.video[0] if streams.video else None
    audio = streams.audio[0] if streams.audio else None
    if video is not None:
        video.codec_context.thread_count = 1
    size = 0
    luma: tuple[int, int] | None = None
    first_s = last_s = 0.0
    level = _Level()
    until = time.monotonic() + seconds
    # A camera that falls silent has been looked at.
    with contextlib.suppress(av.FFmpegError, OSError):
        for packet in container.demux():
            if packet.size == 0 or time.monotonic() > until or not go_on():
                break
            size += packet.size
            if video is not None and packet.stream_index == video.index:
                if packet.pts is not None and packet.time_base:
                    last_s = float(packet.pts * packet.time_base)
                    first_s = first_s or last_s
                if luma is None and packet.is_keyframe:
                    luma = _decoded_luma(video.codec_context, packet)
            elif audio is not None and packet.stream_index == audio.index:
                level.add(packet)
            if luma and last_s - first_s > _ENOUGH_S and (level.dbfs or _SILENCE_DBFS) > SILENT_DBFS:
                break
    return CameraLook(
        luma_mean=luma[0] if luma else None,
        luma_spread=luma[1] if luma else None,
        sound_dbfs=level.dbfs,
        bits_per_s=round(size * 8 / (last_s - first_s)) if last_s > first_s else 0,
    )


def _decoded_luma(decoder: Any, packet: Any) -> tuple[int, int] | None:
    """Mean and spread of a keyframe; None for a damaged one, the next may do."""
    with contextlib.suppress(av.FFmpegError):
        for frame in [*decoder.decode(packet), *decoder.decode(None)]:
            decoder.flush_buffers()
            return luma_of(frame)
    decoder.flush_buffers()
    return None


def luma_of(frame: VideoFrame) -> tuple[int, int]:
    """Mean brightness, and the distance of its first and last hundredth; black is 16, white 235."""
    plane = frame.planes[0]
    data = memoryview(plane)
    line = plane.line_size
    seen = bytearray()
    for row in range(0, frame.height, _LUMA_STEP):
        seen += bytes(data[row * line : row * line + frame.width : _LUMA_STEP])
    ranked = sorted(seen)
    hundredth = len(ranked) // 100
    return sum(ranked) // len(ranked), ranked[-1 - hundredth] - ranked[hundredth]


class _Level:
    """Half of the greatest peak to peak of any packet: a constant, however great, is silence."""

    def __init__(self) -> None:
        self._resampler = AudioResampler("s16", "mono")
        self._peak: float | None = None

    @property
    def dbfs(self) -> float | None:
        """None when nothing came."""
        if self._peak is None:
            return None
        return round(20 * math.log10(self._peak / 32768), 1) if self._peak else _SILENCE_DBFS

    def add(self, packet: Any) -> None:
        with contextlib.suppress(av.FFmpegError):
            for frame in packet.decode():
                for mono in self._resampler.resample(frame):
                    self._note(mono)

    def _note(self, frame: AudioFrame) -> None:
        samples = array.array("h", bytes(frame.planes[0])[: 2 * frame.samples])
        half = (max(samples) - min(samples)) / 2
        self._peak = half if self._peak is None else max(self._peak, half)
