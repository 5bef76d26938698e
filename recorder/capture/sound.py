"""Sound as the archive keeps it: AAC-LC. The camera's AAC may be copied, everything else is encoded.

One encoder lasts a whole run: its packets are dealt out to the segments by their time, so that no cut is
heard. It is fed with sound that lies on the run's line already; see `resampler.py` for how it gets there.
"""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from recorder.capture.decoding import SoundDecoder
from recorder.capture.muxer import Template

ENCODED_RATE = 48_000
AAC_FRAME_SAMPLES = 1024
_BIT_RATE = 64_000
# A hole shorter than this is filled with silence; a longer one is a hole in the recording as well.
_HOLE_TICKS = ENCODED_RATE * 60 // 1000

# Decoders may pass full scale a little.
_LOUDEST = 4.0

Pcm = NDArray[np.float32]  # mono, full scale is 1.0


class MonoDecoder:
    """A camera's coded sound in, mono samples at `rate` out."""

    def __init__(self, source: AudioStream) -> None:
        """For a stream that `why_no_sound` has nothing against."""
        self._decoder = SoundDecoder(source)
        # No more is kept, and the way to the run's line takes no more.
        self.rate = min(self._decoder.sample_rate, ENCODED_RATE)
        self._mono = self._new_mono()
        self._form: tuple[str, str, int] | None = None

    def decode(self, packet: Packet[Any]) -> Pcm:
        """All samples of the packet, finite; none for one that is damaged."""
        parts = []
        for frame in self._decoder.decode(packet):
            form = frame.format.name, frame.layout.name, frame.sample_rate
            if form != self._form:
                # An AAC decoder learns on its way that there is twice the rate, or a second channel.
                self._form, self._mono = form, self._new_mono()
            with contextlib.suppress(av.FFmpegError, ValueError):
                parts += [mono.to_ndarray().reshape(-1) for mono in self._mono.resample(frame)]
        if not parts:
            return np.zeros(0, np.float32)
        samples = np.concatenate(parts).astype(np.float32, copy=False)
        # What damaged floats decode to would be refused by the encoder.
        return np.clip(np.nan_to_num(samples, nan=0.0), -_LOUDEST, _LOUDEST)

    def _new_mono(self) -> AudioResampler:
        return AudioResampler("flt", "mono", self.rate)


class SoundEncoder:
    """Mono samples of ENCODED_RATE in, AAC packets out. Ticks of ENCODED_RATE on the run's line.

    A packet's time is that of the samples which a decoder plays for it. The encoder is one frame behind:
    the packet that comes out as frame n goes in plays frame n - 1, and the first one plays nothing. Its
    duration is that of the sound in it, without what fills up the last one, or the last before a hole.
    """

    def __init__(self) -> None:
        self._encoder = _encoder()
        self._waiting: list[Pcm] = []
        self._count = 0  # samples in `_waiting`
        self._at: int | None = None  # where they begin
        self._frames = 0
        self._owed: deque[tuple[int, int]] = (
            deque()
        )  # time and duration of the packets that are still to come

    def feed(self, samples: Pcm, ticks: int) -> Iterator[Packet[Any]]:
        """`ticks` is the time of the first sample. What lies before sound that was fed is cut off."""
        if self._at is None:
            self._at = ticks
            self._owed.append((ticks - AAC_FRAME_SAMPLES, AAC_FRAME_SAMPLES))
        ahead = ticks - (self._at + self._count)
        if ahead < 0:
            samples = samples[-ahead:]
        elif ahead > _HOLE_TICKS:
            yield from self._pad()
            self._at = ticks
        elif ahead:
            self._push(np.zeros(ahead, np.float32))
        if len(samples):
            self._push(samples)
        if self._count >= AAC_FRAME_SAMPLES:
            yield from self._encode_whole_frames()

    @property
    def open_samples(self) -> int:
        """So many more would complete the last frame; without them `finish` does so with silence."""
        return -self._count % AAC_FRAME_SAMPLES

    def finish(self) -> Iterator[Packet[Any]]:
        """What the encoder still holds; it takes nothing more."""
        if self._at is not None:
            yield from self._pad()
            yield from self._packets(None)

    def _push(self, samples: Pcm) -> None:
        self._waiting.append(samples)
        self._count += len(samples)

    def _pad(self) -> Iterator[Packet[Any]]:
        """The last frame before a hole or the end is completed with silence."""
        rest = self.open_samples
        if rest:
            self._push(np.zeros(rest, np.float32))
        yield from self._encode_whole_frames()
        if rest:
            # The encoder is a frame behind: this one's packet is still to come.
            ticks, duration = self._owed.pop()
            self._owed.append((ticks, duration - rest))

    def _encode_whole_frames(self) -> Iterator[Packet[Any]]:
        pcm = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        whole = len(pcm) - len(pcm) % AAC_FRAME_SAMPLES
        for start in range(0, whole, AAC_FRAME_SAMPLES):
            assert self._at is not None  # noqa: S101 it was fed
            frame = AudioFrame.from_ndarray(
                pcm[start : start + AAC_FRAME_SAMPLES].reshape(1, -1), format="fltp", layout="mono"
            )
            frame.sample_rate = ENCODED_RATE
            frame.pts = self._frames * AAC_FRAME_SAMPLES
            frame.time_base = Fraction(1, ENCODED_RATE)
            self._frames += 1
            self._owed.append((self._at, AAC_FRAME_SAMPLES))
            self._at += AAC_FRAME_SAMPLES
            yield from self._packets(frame)
        self._waiting = [pcm[whole:]] if whole < len(pcm) else []
        self._count = len(pcm) - whole

    def _packets(self, frame: AudioFrame | None) -> Iterator[Packet[Any]]:
        for packet in self._encoder.encode(frame):
            ticks, packet.duration = self._owed.popleft()
            packet.pts = packet.dts = ticks
            packet.time_base = Fraction(1, ENCODED_RATE)
            yield packet


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
