"""The camera's sound: what can be recorded, what cannot and why, and what a damaged packet costs."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from recorder.capture.decoding import SoundDecoder, codec_name, why_no_sound
from simulator.sound import beeps


def stored(codec: str, rate: int, container: str) -> tuple[av.AudioStream, list[bytes]]:
    """The stream of a file that holds two seconds of beeps, and its packets."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        if codec == "g726":
            stream.bit_rate = 4 * rate
        wanted = stream.codec_context.format.name
        samples = beeps(rate, 2).reshape(1, -1)
        pcm = samples if wanted == "fltp" else (samples * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm, format="fltp" if wanted == "fltp" else "s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for resampled in av.AudioResampler(wanted, "mono", rate).resample(frame):
            out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    opened = av.open(io.BytesIO(file.getvalue()))
    audio = opened.streams.audio[0]
    return audio, [bytes(packet) for packet in opened.demux(audio) if packet.size]


@pytest.mark.parametrize(
    ("codec", "rate", "container"),
    [("pcm_mulaw", 8000, "wav"), ("g726", 8000, "wav"), ("libopus", 48_000, "ogg"), ("aac", 44_100, "mp4")],
)
def test_what_can_be_decoded_is(codec, rate, container):
    stream, packets = stored(codec, rate, container)
    assert why_no_sound(stream) == ""
    decoder = SoundDecoder(stream)
    frames = [frame for data in packets for frame in decoder.decode(av.Packet(data))]
    assert decoder.sample_rate == rate
    assert sum(frame.samples for frame in frames) == pytest.approx(2 * rate, abs=5000)


def test_damaged_packets_cost_only_themselves():
    stream, packets = stored("aac", 48_000, "mp4")
    decoder = SoundDecoder(stream)
    rng = np.random.default_rng(1)
    for _ in range(200):
        decoder.decode(av.Packet(rng.bytes(150)))
    decoder.decode(av.Packet(packets[3]))
    assert decoder.decode(av.Packet(packets[4]))


def test_what_cannot_be_recorded_says_why():
    class Unknown:
        codec_context = None
        time_base = Fraction(1, 8000)

    assert why_no_sound(None) == "the camera offers no sound"
    assert "unknown codec; set it to AAC or G.711" in why_no_sound(Unknown())
    assert codec_name(Unknown()) == "unknown"
