"""The sound of a simulated camera: a loop of equal coded units, made in a moment at each start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from simulator import flaws, sound
from simulator.flaws import Hear
from simulator.media import MediaError


class AudioCodec(StrEnum):
    """`SIREN` stands for what no recorder decodes: its units are noise."""

    ALAW = "alaw"
    MULAW = "mulaw"
    AAC = "aac"
    LATM = "aac-latm"
    OPUS = "opus"
    L16 = "l16"
    G726 = "g726"
    SIREN = "siren"
    NONE = "none"


@dataclass(frozen=True)
class _Kind:
    """`encoder` of FFmpeg; `delay`: by how many samples what is decoded is late against what was encoded.

    The first of `rates` is the usual one. `unit_samples` at that rate; other rates keep the number.
    """

    encoder: str
    sample_format: str
    rates: tuple[int, ...]
    unit_samples: int
    delay: int = 0
    bit_rate: int = 0


_AAC = _Kind("aac", "fltp", (16_000, 8000, 32_000, 44_100, 48_000), 1024, delay=1024, bit_rate=48_000)
# G.711 goes out in 40 ms, as many cameras send it, so that one wake-up serves picture and sound.
_KINDS = {
    AudioCodec.ALAW: _Kind("pcm_alaw", "s16", (8000,), 320),
    AudioCodec.MULAW: _Kind("pcm_mulaw", "s16", (8000,), 320),
    AudioCodec.AAC: _AAC,
    AudioCodec.LATM: _AAC,
    # RFC 6716: 20 ms; the encoder's own look-ahead, which no receiver of RTP is told, is 6.5 ms.
    AudioCodec.OPUS: _Kind("libopus", "s16", (48_000,), 960, delay=312, bit_rate=32_000),
    AudioCodec.L16: _Kind("pcm_s16be", "s16", (16_000, 8000, 44_100, 48_000), 320),
    AudioCodec.G726: _Kind("g726", "s16", (8000,), 160, bit_rate=32_000),
}
_SIREN_RATE, _SIREN_UNIT, _SIREN_BYTES = 16_000, 320, 40
# Coded before and after the loop, so that it closes on itself.
_RUN_IN_UNITS = 4


@dataclass(frozen=True)
class AudioSpec:
    """`rate` in samples a second; 0: the codec's usual one."""

    codec: AudioCodec
    rate: int = 0

    def __post_init__(self) -> None:
        rates = _KINDS[self.codec].rates if self.codec in _KINDS else ()
        if self.rate and self.rate not in rates:
            known = ", ".join(map(str, sorted(rates))) or "none to choose"
            raise MediaError(f"{self.codec} at {self.rate}/s is not simulated; its rates: {known}")


@dataclass(frozen=True)
class AudioLoop:
    """Sound in equal units; unit n since 1970 starts at n * unit_samples / rate seconds.

    `units[n % len(units)]` is what it holds. `codec_data`: AudioSpecificConfig of AAC, else empty.
    """

    codec: AudioCodec
    rate: int
    unit_samples: int
    units: tuple[bytes, ...]
    codec_data: bytes = b""


def make_audio(spec: AudioSpec, hear: Hear = Hear.WELL) -> AudioLoop | None:
    """The loop of sound; None for no sound. Costs hundredths of a second; AAC of 44.1 kHz about two."""
    if spec.codec is AudioCodec.NONE:
        return None
    if spec.codec is AudioCodec.SIREN:
        noise = np.random.default_rng(4).bytes(_SIREN_BYTES)
        return AudioLoop(spec.codec, _SIREN_RATE, _SIREN_UNIT, (noise,) * 50)
    kind = _KINDS[spec.codec]
    rate, unit = spec.rate or kind.rates[0], kind.unit_samples
    # The shortest loop of whole seconds and whole units.
    loop_s = unit // math.gcd(rate, unit)
    loop = flaws.flawed_sound(hear, rate, loop_s)
    run_in = _RUN_IN_UNITS * unit
    # What is decoded late is encoded early.
    early = np.roll(loop, -(kind.delay % unit))
    rounds = -(-run_in // len(loop))
    samples = np.concatenate([np.tile(early, rounds)[-run_in:], early, np.tile(early, rounds)[:run_in]])
    coded, codec_data = _encode(kind, rate, samples)
    first = _RUN_IN_UNITS + kind.delay // unit
    count = loop_s * rate // unit
    return AudioLoop(spec.codec, rate, unit, tuple(coded[first : first + count]), codec_data)


def _encode(kind: _Kind, rate: int, samples: sound.Samples) -> tuple[list[bytes], bytes]:
    """A packet for each unit, whatever the encoder makes of them."""
    context = av.CodecContext.create(kind.encoder, "w")
    if not isinstance(context, av.AudioCodecContext):
        raise MediaError(f"{kind.encoder} is not a codec of sound")
    context.sample_rate, context.layout, context.time_base = rate, "mono", Fraction(1, rate)
    context.format = kind.sample_format
    if kind.bit_rate:
        context.bit_rate = kind.bit_rate
    if kind.encoder == "aac":
        context.options = {"aac_coder": "fast"}
    pcm: sound.Samples | npt.NDArray[np.int16] = samples
    if kind.sample_format != "fltp":
        pcm = (samples * 32767).astype(np.int16)
    packets = []
    for at in range(0, len(pcm), kind.unit_samples):
        block: Any = np.ascontiguousarray(pcm[at : at + kind.unit_samples]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format=kind.sample_format, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        packets += context.encode(frame)
    packets += context.encode(None)
    coded = [bytes(packet) for packet in packets]
    if not kind.delay:  # so many bits a sample, for ever: cut where we like
        whole, unit_bytes = b"".join(coded), sum(map(len, coded)) * kind.unit_samples // len(pcm)
        coded = [whole[at : at + unit_bytes] for at in range(0, len(whole), unit_bytes)]
    return coded, context.extradata or b""
