"""The pure parts of the microphone: frames on a pipe, the choice of a device, the average of channels."""

from __future__ import annotations

import ctypes
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.capture.microphone_child import _Recording, mono
from recorder.capture.microphone_wire import Frame, FrameReader, Kind, WireError, error_of, last_words
from recorder.capture.sound_devices import NoSuchDeviceError, SoundDevice, choose_device

# portaudio.h: paInputOverflow
PA_INPUT_OVERFLOW = 2

frames = st.builds(
    Frame,
    kind=st.sampled_from(Kind),
    payload=st.binary(max_size=300),
    arrival_us=st.integers(0, 2**62),
    end_count=st.integers(0, 2**62),
    overflow=st.booleans(),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 200), min_size=1))
def test_frames_come_whole_and_in_order_however_a_pipe_cuts_them(sent, cuts):
    data = b"".join(frame.pack() for frame in sent)
    reader, received, at, turn = FrameReader(), [], 0, 0
    while at < len(data):
        length = cuts[turn % len(cuts)]
        received += reader.feed(data[at : at + length])
        at, turn = at + length, turn + 1
    assert received == sent


@pytest.mark.parametrize(
    "noise",
    [
        b"ALSA lib pcm.c: cannot open",
        b"Pm\x09" + bytes(21),
        b"Pm\x02\x00" + struct.pack("<Iqq", 1 << 30, 0, 0),
    ],
    ids=["a library's words", "unknown kind", "endless"],
)
def test_what_is_no_frame_is_told(noise):
    good = Frame(Kind.BLOCK, b"\x01\x02", 1, 1)
    with pytest.raises(WireError):
        assert list(FrameReader().feed(good.pack() + noise)) == [good]


def test_last_words_are_found_behind_what_libraries_say():
    said = f"ALSA lib pcm.c:2721: Unknown PCM x\n{last_words('немає «x»')}\nExpression 'err' failed\n7\n"
    assert error_of(said) == "немає «x»"
    assert error_of("ALSA lib: one\nALSA lib: two\n\n") == "ALSA lib: two"
    assert error_of("") == ""


def bring(recording: _Recording, samples: list[int], *, flags: int = 0) -> None:
    """What PortAudio does, by the address that it is given."""
    data = (ctypes.c_int16 * len(samples))(*samples)
    goes_on = recording.callback(ctypes.addressof(data), None, len(samples), None, flags, None)
    assert goes_on == 0


def test_an_overflow_is_told_with_the_block_that_follows_it():
    recording = _Recording(1)
    bring(recording, [1, 2, 3])
    bring(recording, [4, 5], flags=PA_INPUT_OVERFLOW)
    bring(recording, [6])
    told = [(end_count, overflow, samples) for _, end_count, overflow, samples in recording.blocks]
    assert told == [
        (3, False, struct.pack("<3h", 1, 2, 3)),
        (5, True, struct.pack("<2h", 4, 5)),
        (6, False, struct.pack("<h", 6)),
    ]


def test_what_a_slow_recorder_does_not_take_is_dropped_counted_and_told():
    recording = _Recording(1)
    offered = 0
    while len(recording.blocks) == offered:
        bring(recording, [0] * 10)
        offered += 1
    kept = offered - 1
    # Five seconds of PortAudio's blocks of 20 ms.
    assert kept == 250
    recording.blocks.clear()
    bring(recording, [0] * 10)
    bring(recording, [0] * 10)
    told = [(end_count, overflow) for _, end_count, overflow, _ in recording.blocks]
    assert told == [((kept + 2) * 10, True), ((kept + 3) * 10, False)]


DEVICES = [
    SoundDevice(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)", 2, 44_100),
    SoundDevice(4, "USB Boundary: Audio #0 (hw:1,0)", 1, 48_000),
    SoundDevice(5, "USB Boundary: Audio #1 (hw:2,0)", 1, 48_000),
    SoundDevice(7, "pulse", 32, 44_100),
    SoundDevice(8, "pulseaudio", 32, 44_100),
    SoundDevice(9, "pulse", 32, 44_100),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(4, 4), ("hw:2,0", 5), ("usb boundary: audio #0", 4), ("alc257", 0), ("Pulse", 7), ("PULSEAUDIO", 8)],
)
def test_a_device_is_meant_by_number_name_or_part_of_it(wanted, index):
    assert choose_device(DEVICES, wanted).index == index


@pytest.mark.parametrize(
    ("devices", "wanted", "message"),
    [
        (DEVICES[:2], 1, "no sound device has index 1; there are 0 'HDA Intel PCH: ALC257 Analog (hw:0,0)'"),
        (DEVICES[1:2], "shure", "named 'shure'; there are 4 'USB Boundary: Audio #0 (hw:1,0)' (1 ch, 48000"),
        (DEVICES, "boundary", "may be several sound devices, write more of it; there are 4 'USB"),
        ([], "x", "no sound device is named 'x'; there is none at all"),
        (DEVICES * 2, "x", "and 6 more"),
    ],
)
def test_a_device_that_is_not_meant_clearly_is_told_with_those_there_are(devices, wanted, message):
    with pytest.raises(NoSuchDeviceError) as told:
        choose_device(devices, wanted)
    assert message in str(told.value)


@given(st.integers(1, 8), st.data())
def test_channels_become_their_average(channels, data):
    sample = st.integers(-32_768, 32_767)
    moments = data.draw(st.lists(st.lists(sample, min_size=channels, max_size=channels), max_size=20))
    flat = [value for moment in moments for value in moment]
    made = struct.unpack(f"<{len(moments)}h", mono(struct.pack(f"<{len(flat)}h", *flat), channels))
    assert all(abs(one - sum(m) / channels) < 1 for one, m in zip(made, moments, strict=True))
