from __future__ import annotations

import io
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from recorder.capture.sound import ENCODED_RATE, SoundEncoder, encoded_template
from simulator.sound import beep_onsets, beeps


@pytest.fixture(scope="module")
def alaw():
    """A camera's sound: 20 ms packets of G.711, a beep at each whole second."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_alaw", rate=8000, layout="mono")
        pcm = (beeps(8000, 5) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    container = av.open(file)
    stream = container.streams.audio[0]
    data = b"".join(bytes(packet) for packet in container.demux(stream) if packet.size)
    return stream, [data[at : at + 160] for at in range(0, len(data), 160)]


def encode(encoder, blocks, ticks_of):
    out = []
    for number, block in enumerate(blocks):
        packet = av.Packet(block)
        packet.time_base = Fraction(1, 8000)
        out += list(encoder.encode(packet, ticks_of(number)))
    return out + list(encoder.finish())


def decode(packets):
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoded_template().stream.codec_context.extradata
    decoder.sample_rate, decoder.layout = ENCODED_RATE, "mono"
    frames = [(packet.pts, frame) for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    return frames[0][0] / ENCODED_RATE, np.concatenate([f.to_ndarray().reshape(-1) for _, f in frames])


def test_sound_keeps_its_time_to_a_millisecond(alaw):
    stream, blocks = alaw
    packets = encode(SoundEncoder(stream), blocks, lambda n: 480_000 + n * 960)
    start, pcm = decode(packets)
    onsets = [10 + n - start for n in range(1, 5)]
    assert beep_onsets(pcm, ENCODED_RATE) == pytest.approx(onsets, abs=0.001)
    assert {b.pts - a.pts for a, b in itertools.pairwise(packets)} == {1024}


def test_a_clock_that_wanders_is_followed_without_a_jump(alaw):
    """200 ppm: a sample more each 5000."""
    stream, blocks = alaw
    packets = encode(SoundEncoder(stream), blocks, lambda n: round(n * 960 * 1.0002))
    assert {b.pts - a.pts for a, b in itertools.pairwise(packets)} <= {1023, 1024, 1025}
    assert packets[-1].pts - packets[0].pts - (len(packets) - 1) * 1024 == pytest.approx(48, abs=10)


def test_lost_packets_leave_a_hole_of_their_length(alaw):
    stream, blocks = alaw
    kept = [(n, block) for n, block in enumerate(blocks) if not 100 <= n < 150]
    numbers = [n for n, _ in kept]
    packets = encode(SoundEncoder(stream), [block for _, block in kept], lambda n: numbers[n] * 960)
    steps = [b.pts - a.pts for a, b in itertools.pairwise(packets)]
    assert sorted(steps)[:-1] == [1024] * (len(steps) - 1)
    assert max(steps) == pytest.approx(48_000 + 1024, abs=1)


def test_the_loudest_sample_is_told(alaw):
    stream, blocks = alaw
    encoder = SoundEncoder(stream)
    encode(encoder, blocks, lambda n: n * 960)
    assert encoder.take_peak_dbfs() == pytest.approx(-6.0, abs=0.5)
    assert encoder.take_peak_dbfs() == -120.0
