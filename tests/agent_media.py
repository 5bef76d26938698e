"""Coded pictures and sound for the agent's tests, made by PyAV, and what its own muxer writes of them."""

from __future__ import annotations

import functools
from fractions import Fraction

import av
import numpy as np

from recorder.capture.muxer import VIDEO_TIMESCALE, Muxer, video_template
from recorder.capture.sound import AAC_FRAME_SAMPLES, ENCODED_RATE, encoded_template

FPS = 25
FRAME_TICKS = VIDEO_TIMESCALE // FPS


class Bytes:
    """A target for a muxer. `writes` are what it was given, each whole."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def append(self, data):
        self.writes.append(bytes(data))

    @property
    def data(self) -> bytes:
        return b"".join(self.writes)


def pictures(seconds: float, *, b_frames: int = 0, codec: str = "libx264", size=(320, 240)):
    """Packets of `codec` with parameter sets in band, a keyframe a second; ticks of VIDEO_TIMESCALE."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    encoder.gop_size, encoder.max_b_frames = FPS, b_frames
    encoder.options = {"preset": "ultrafast", "bf": str(b_frames), "x265-params": "log-level=none"}
    out = []
    for number in range(round(seconds * FPS)):
        luma = np.full((size[1] * 3 // 2, size[0]), 16 + number % 200, np.uint8)
        frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        out += encoder.encode(frame)
    out += encoder.encode(None)
    for packet in out:
        packet.pts, packet.dts = packet.pts * FRAME_TICKS, packet.dts * FRAME_TICKS
        packet.duration, packet.time_base = FRAME_TICKS, Fraction(1, VIDEO_TIMESCALE)
    return out


def sounds(seconds: float):
    """AAC packets of silence; ticks of ENCODED_RATE."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = ENCODED_RATE, "mono", "fltp"
    out = []
    for number in range(round(seconds * ENCODED_RATE / AAC_FRAME_SAMPLES)):
        samples = np.zeros((1, AAC_FRAME_SAMPLES), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = ENCODED_RATE, number * AAC_FRAME_SAMPLES
        out += encoder.encode(frame)
    for packet in out:
        packet.time_base = Fraction(1, ENCODED_RATE)
    return out


def mux(target, video, audio=(), *, codec="h264", origin_s=10, muxer=None):
    """Writes the packets in the order of their time, as of `origin_s` on the run's time line."""
    made = muxer or Muxer(
        target, video_template(codec, bytes(video[0])), encoded_template() if audio else None
    )
    timed = [(p.dts / VIDEO_TIMESCALE, 0, n, p) for n, p in enumerate(video)]
    timed += [(p.dts / ENCODED_RATE, 1, n, p) for n, p in enumerate(audio)]
    for _, is_audio, _, packet in sorted(timed, key=lambda each: each[:3]):
        shift = origin_s * (ENCODED_RATE if is_audio else VIDEO_TIMESCALE)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        (made.mux_audio if is_audio else made.mux_video)(packet)
    if muxer is None:
        made.close()
    return made


@functools.cache
def fragmented_mp4(seconds: float = 1.0) -> bytes:
    target = Bytes()
    mux(target, pictures(seconds), sounds(seconds))
    return target.data
