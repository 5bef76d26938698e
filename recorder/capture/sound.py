"""Sound as the archive keeps it: AAC-LC. The camera's AAC is copied, everything else is encoded.

One encoder lasts a whole run: its packets are dealt out to the segments by their time, so that no
cut is heard. Its time follows the incoming packets' times by at most one sample in a packet, as the
camera's clock wanders; it is never stretched audibly and never cut to catch up.
"""

from __future__ import annotations

import array
import io
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet

from recorder.capture.muxer import Template, UnsupportedMediaError

ENCODED_RATE = 48_000
AAC_FRAME_SAMPLES = 1024
_BIT_RATE = 64_000
# A hole shorter than this is a late packet; a longer one is a hole in the recording as well.
_HOLE_TICKS = ENCODED_RATE * 60 // 1000
_SILENCE_DBFS = -120.0


class SoundEncoder:
    """Packets of G.711 or the like in, AAC packets out. Ticks of ENCODED_RATE on the run's time line."""

    timescale = ENCODED_RATE

    def __init__(self, source: AudioStream) -> None:
        """Raises UnsupportedMediaError for a codec that cannot be decoded."""
        context = source.codec_context
        try:
            decoder = av.CodecContext.create(context.name, "r")
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedMediaError(f"the camera sends {context.name} sound, which is unknown") from error
        if not isinstance(decoder, AudioCodecContext):
            raise UnsupportedMediaError(f"the camera's sound track bears {context.name}")
        self._decoder = decoder
        self._decoder.sample_rate = context.sample_rate
        self._decoder.layout = context.layout.name
        if context.extradata:
            self._decoder.extradata = context.extradata
        self._resampler = AudioResampler("fltp", "mono", ENCODED_RATE, AAC_FRAME_SAMPLES)
        self._encoder = _encoder()
        self._rate = context.sample_rate
        self._samples = 0  # fed to the resampler, at the source's rate
        self._offset_ticks: int | None = None  # run ticks minus the encoder's own count
        self.peak = 0  # of 32768, since `take_peak_dbfs`

    def encode(self, packet: Packet[Any], ticks: int) -> Iterator[Packet[Any]]:
        """`ticks` is the run time of the packet's first sample."""
        for frame in self._decoder.decode(packet):
            self._follow(ticks)
            self._note_peak(frame)
            frame.pts = self._samples
            frame.time_base = Fraction(1, self._rate)
            self._samples += frame.samples
            ticks += frame.samples * ENCODED_RATE // self._rate
            for resampled in self._resampler.resample(frame):
                yield from self._encoded(resampled)

    def finish(self) -> Iterator[Packet[Any]]:
        """What the encoder still holds; it takes nothing more."""
        if self._offset_ticks is not None:
            for resampled in self._resampler.resample(None):
                yield from self._encoded(resampled)
            yield from self._encoded(None)

    def take_peak_dbfs(self) -> float | None:
        """Loudest sample since the last call, in dB of full scale; None where nothing came."""
        peak, self.peak = self.peak, 0
        return round(20 * math.log10(peak / 32768), 1) if peak else _SILENCE_DBFS

    def _follow(self, ticks: int) -> None:
        deviation = ticks - self._samples * ENCODED_RATE // self._rate
        if self._offset_ticks is None or abs(deviation - self._offset_ticks) > _HOLE_TICKS:
            self._offset_ticks = deviation
        elif deviation != self._offset_ticks:
            self._offset_ticks += 1 if deviation > self._offset_ticks else -1

    def _encoded(self, frame: AudioFrame | None) -> Iterator[Packet[Any]]:
        for packet in self._encoder.encode(frame):
            ticks = (packet.pts or 0) + (self._offset_ticks or 0)
            packet.pts = packet.dts = ticks
            packet.time_base = Fraction(1, ENCODED_RATE)
            yield packet

    def _note_peak(self, frame: AudioFrame) -> None:
        if frame.format.name in ("s16", "s16p"):
            samples = array.array("h", bytes(frame.planes[0])[: 2 * frame.samples])
            loudest = max(samples)
            self.peak = max(self.peak, loudest, -min(samples))


def _encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate = ENCODED_RATE
    encoder.layout = "mono"
    encoder.format = "fltp"
    encoder.bit_rate = _BIT_RATE
    encoder.time_base = Fraction(1, ENCODED_RATE)
    encoder.options = {"aac_coder": "fast"}
    return encoder


def encoded_template() -> Template:
    """The stream that SoundEncoder's packets make."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=ENCODED_RATE, layout="mono", bit_rate=_BIT_RATE)
        silence = AudioFrame("fltp", "mono", AAC_FRAME_SAMPLES)
        silence.planes[0].update(bytes(silence.planes[0].buffer_size))
        silence.sample_rate = ENCODED_RATE
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    file.seek(0)
    template = av.open(file, "r", format="mp4")
    return Template(template, template.streams.audio[0], ENCODED_RATE)
