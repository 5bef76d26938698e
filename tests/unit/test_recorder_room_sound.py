"""From the microphone to the camera and back: in order, without a hole, whatever the sound is like."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.capture.microphone_events import SoundBlock
from recorder.capture.resampler import LineResampler
from recorder.capture.sound import ENCODED_RATE, MonoDecoder
from recorder.room_sound import CAMERA_SOUND, RoomSound

S = 1_000_000
M0 = 1000 * S
BLOCK_US = 100_000
PACKET_US = 20_000


def recorded(codec, rate, layout="mono", seconds=1):
    """A stream of silence and its packets."""
    file = io.BytesIO()
    channels = 2 if layout == "stereo" else 1
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        pcm = np.zeros((1, rate * seconds * channels), np.int16)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    container = av.open(file)
    stream = container.streams.audio[0]
    return container, stream, [packet for packet in container.demux(stream) if packet.size]


@pytest.fixture(scope="module")
def alaw():
    return recorded("pcm_alaw", 8000)


@settings(max_examples=25, deadline=None)
@given(
    lost_us=st.integers(20, 60).map(lambda n: n * BLOCK_US),
    away_us=st.integers(10, 40).map(lambda n: n * BLOCK_US),
    late_us=st.integers(0, 15_000),
    told=st.booleans(),
)
def test_no_hole_where_the_microphone_falls_silent(alaw, lost_us, away_us, late_us, told):
    emitted = []
    sound = RoomSound(
        "mic", lambda samples, ticks, name: emitted.append((ticks, len(samples), name)), opened_us=M0
    )
    sound.camera_opened(MonoDecoder(alaw[1]))
    back_us = lost_us + away_us
    for at_us in range(0, 12 * S, PACKET_US):
        packet = av.Packet(b"\xd5" * 160)
        sound.camera(packet, M0 + at_us)
        end_us = at_us + PACKET_US
        if end_us % BLOCK_US == 0 and not lost_us < end_us <= back_us:
            session = 1 if end_us <= lost_us else 2
            samples = BLOCK_US * ENCODED_RATE // S
            count = (end_us if session == 1 else end_us - back_us) * ENCODED_RATE // S
            sound.block(SoundBlock(bytes(2 * samples), count, M0 + end_us + late_us, session, overflow=False))
        if told and end_us == lost_us + BLOCK_US:
            sound.microphone_lost()
        sound.look(M0 + end_us)
    sound.finish()
    assert {name for _, _, name in emitted} == {"mic", CAMERA_SOUND}
    until = emitted[0][0]
    for ticks, count, _ in emitted:
        assert until <= ticks <= until + ENCODED_RATE * 25 // 1000  # where the block's lateness may lie
        until = ticks + count
    assert until > (M0 + 11 * S + 900_000) * ENCODED_RATE // S


@pytest.mark.parametrize("in_doubt", [False, True])
@pytest.mark.parametrize("noticed", ["told", "silent", "closing"])
def test_what_was_not_believed_yet_is_recorded_where_nothing_else_was_heard(in_doubt, noticed):
    """Up to a second of the microphone was dropped with it."""
    emitted = []
    sound = RoomSound("mic", lambda samples, ticks, _: emitted.append((ticks, len(samples))), opened_us=M0)
    settled_us = 3 * S if in_doubt else 0
    until_us = settled_us + 3 * BLOCK_US
    for end_us in range(BLOCK_US, until_us + BLOCK_US, BLOCK_US):
        # In doubt: later than lost sound is.
        late_us = 70_000 if in_doubt and end_us > settled_us else 0
        samples = BLOCK_US * ENCODED_RATE // S
        count = end_us * ENCODED_RATE // S
        sound.block(SoundBlock(bytes(2 * samples), count, M0 + end_us + late_us, 1, overflow=False))
    if noticed == "told":
        sound.microphone_lost()
    elif noticed == "silent":
        sound.look(M0 + until_us + 2 * S)
    sound.finish()
    assert sum(count for _, count in emitted) == pytest.approx(until_us * ENCODED_RATE // S, abs=10)


def test_a_microphone_that_comes_and_goes_is_recorded_where_there_is_no_camera():
    emitted = []
    sound = RoomSound("mic", lambda samples, ticks, _: emitted.append(len(samples)), opened_us=M0)
    samples = BLOCK_US * ENCODED_RATE // S
    for session in range(3):
        for number in range(1, 6):
            at_us = M0 + session * S + number * BLOCK_US
            sound.block(SoundBlock(bytes(2 * samples), number * samples, at_us, session, overflow=False))
        sound.microphone_lost()
    assert sum(emitted) == pytest.approx(3 * 5 * samples, abs=30)


def test_a_camera_that_heard_it_is_believed_rather_than_a_microphone_in_doubt(alaw):
    emitted = []
    sound = RoomSound("mic", lambda samples, ticks, name: emitted.append((ticks, name)), opened_us=M0)
    sound.camera_opened(MonoDecoder(alaw[1]))
    for end_us in range(PACKET_US, 500_000, PACKET_US):
        sound.camera(av.Packet(b"\xd5" * 160), M0 + end_us - PACKET_US)
        if end_us % BLOCK_US == 0:
            count = end_us * ENCODED_RATE // S
            block = bytes(2 * BLOCK_US * ENCODED_RATE // S)
            sound.block(SoundBlock(block, count, M0 + end_us, 1, overflow=False))
    sound.microphone_lost()
    sound.finish()
    assert {name for _, name in emitted} == {CAMERA_SOUND}
    assert emitted[0][0] == pytest.approx(M0 * ENCODED_RATE // S, abs=10)


@pytest.mark.parametrize(("rate", "layout"), [(96_000, "mono"), (88_200, "stereo"), (8_000, "stereo")])
def test_any_rate_of_a_camera_finds_its_way(rate, layout):
    """A rate above 48 kHz ended the recorder."""
    _, stream, packets = recorded("pcm_s16le", rate, layout)
    decoder = MonoDecoder(stream)
    line = LineResampler(decoder.rate)
    count = sum(len(decoder.decode(packet)) for packet in packets)
    assert abs(count - decoder.rate) < decoder.rate // 100
    assert line.feed(np.zeros(decoder.rate // 50, np.float32), M0) is not None


def test_damaged_floats_are_silence():
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        out = container.add_stream("pcm_f32le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.array([[np.nan, np.inf, 1e30, 0.5]], np.float32), format="flt", layout="mono"
        )
        frame.sample_rate = 48_000
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    file.seek(0)
    container = av.open(file)
    stream = container.streams.audio[0]
    decoder = MonoDecoder(stream)
    heard = np.concatenate([decoder.decode(packet) for packet in container.demux(stream) if packet.size])
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 4
    assert heard[-1] == np.float32(0.5)
