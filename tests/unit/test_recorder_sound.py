from __future__ import annotations

import io
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from recorder.capture.sound import ENCODED_RATE, MonoDecoder, SoundEncoder, encoded_template
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


def encode(blocks):
    """Blocks of (ticks, samples), as packets."""
    encoder = SoundEncoder()
    out = []
    for ticks, samples in blocks:
        out += list(encoder.feed(samples, ticks))
    return out + list(encoder.finish())


def blocks_of(pcm, size, start=0):
    return [(start + at, pcm[at : at + size]) for at in range(0, len(pcm), size)]


def decode(packets):
    """(time of the first sample in seconds, samples), as a player hears the packets one after another."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoded_template().stream.codec_context.extradata
    decoder.sample_rate, decoder.layout = ENCODED_RATE, "mono"
    frames = [(packet.pts, frame) for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    return frames[0][0] / ENCODED_RATE, np.concatenate([f.to_ndarray().reshape(-1) for _, f in frames])


def test_g711_is_decoded_to_the_sample(alaw):
    stream, blocks = alaw
    decoder = MonoDecoder(stream)
    samples = [decoder.decode(_packet(block)) for block in blocks]
    assert decoder.rate == 8000
    assert {len(each) for each in samples} == {160}
    assert beep_onsets(np.concatenate(samples), 8000) == pytest.approx([1, 2, 3, 4], abs=0.001)
    assert np.abs(np.concatenate(samples)).max() == pytest.approx(0.5, abs=0.02)


def _packet(block):
    packet = av.Packet(block)
    packet.time_base = Fraction(1, 8000)
    return packet


@pytest.mark.parametrize("size", [960, 1024, 4801, 37])
def test_sound_keeps_its_time_to_a_millisecond(size):
    packets = encode(blocks_of(beeps(ENCODED_RATE, 5), size, 480_000))
    start, pcm = decode(packets)
    due = [10 + n - start for n in range(1, 5)]
    assert beep_onsets(pcm, ENCODED_RATE)[-4:] == pytest.approx(due, abs=0.001)
    assert {b.pts - a.pts for a, b in itertools.pairwise(packets)} == {1024}


def test_a_short_hole_becomes_silence_and_an_overlap_is_cut():
    pcm = np.full(48_000, 0.5, np.float32)
    packets = encode([(0, pcm), (48_000 + 2400, pcm), (48_000 + 2400 + 47_000, pcm)])
    assert {b.pts - a.pts for a, b in itertools.pairwise(packets)} == {1024}
    _, heard = decode(packets)
    heard = heard[1024:]
    assert np.abs(heard[49_000:50_000]).max() < 0.05
    assert len(heard) == pytest.approx(3 * 48_000 + 2400 - 1000, abs=1024)


def test_lost_sound_leaves_a_hole_of_its_length_and_is_right_after_it():
    pcm = beeps(ENCODED_RATE, 5)
    blocks = [(ticks, samples) for ticks, samples in blocks_of(pcm, 960) if not 96_000 <= ticks < 144_000]
    packets = encode(blocks)
    steps = [b.pts - a.pts for a, b in itertools.pairwise(packets)]
    assert sorted(steps)[:-1] == [1024] * (len(steps) - 1)
    hole = int(np.argmax(steps))
    # The last packet before the hole is completed with silence, the first after it begins with it.
    assert 96_000 <= packets[hole].pts + 1024 < 96_000 + 1024
    assert packets[hole + 1].pts == 144_000
    start, heard = decode(packets[hole + 1 :])
    assert beep_onsets(heard, ENCODED_RATE)[-1] + start == pytest.approx(4, abs=0.001)


def test_a_packet_lasts_as_long_as_the_sound_in_it():
    """What fills up the last one, and the last before a hole, is no sound."""
    packets = encode([(0, np.full(1500, 0.5, np.float32)), (48_000, np.full(1034, 0.5, np.float32))])
    assert [(packet.pts, packet.duration) for packet in packets[1:]] == [
        (0, 1024),
        (1024, 476),
        (48_000, 1024),
        (49_024, 10),
    ]
