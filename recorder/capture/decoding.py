"""Decoding of the camera's sound, whatever RTP carries: G.711, G.726, linear PCM, Opus, AAC.

The stream's own decoder is used: it alone knows what the session's description said (bits a sample of
G.726, the configuration of AAC). It lives on when the connection is closed.
"""

from __future__ import annotations

from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from recorder.logging import get_logger

# A damaged packet is one; so many in a row are a decoder that does not understand: two seconds or more.
_HOPELESS = 100


def codec_name(stream: Any) -> str:
    """As FFmpeg calls it; `unknown` for a track that it has no decoder for."""
    context = stream.codec_context
    return str(context.name) if context is not None else "unknown"


def why_no_sound(stream: AudioStream | None) -> str:
    """For a person, why this track cannot be recorded; empty when it can."""
    if stream is None:
        return "the camera offers no sound"
    if stream.codec_context is None or stream.time_base is None:
        return "the camera's sound is of an unknown codec; set it to AAC or G.711"
    if not stream.codec_context.sample_rate:
        return f"the camera does not tell the rate of its {codec_name(stream)} sound; set it to AAC or G.711"
    return ""


class SoundDecoder:
    """Of a stream for which `why_no_sound` knows no reason. Never raises for what the camera sends."""

    def __init__(self, stream: AudioStream) -> None:
        self._context = stream.codec_context
        self._failures = 0
        self._log = get_logger(codec=codec_name(stream))

    @property
    def sample_rate(self) -> int:
        return int(self._context.sample_rate)

    def decode(self, packet: Packet[Any]) -> list[AudioFrame]:
        """Nothing for a damaged packet: its sound is missing, as that of a lost one is."""
        try:
            frames = list(self._context.decode(packet))
        except av.FFmpegError as error:
            self._failures += 1
            if self._failures == _HOPELESS:
                self._log.error("sound cannot be decoded; set the camera to AAC or G.711", reason=str(error))
            return []
        self._failures = 0
        return frames
