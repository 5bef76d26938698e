"""The microphone's process: `python -m recorder.capture.microphone_child`.

The only user of PortAudio. A sound system that hangs hangs in here, where it is cured by a kill; one that
crashes takes nobody along; and a device that was plugged in is seen, because each process asks anew. With
`--list` it prints the devices that can record as JSON, one a line, and ends.

Callbacks are made by ctypes and not by sounddevice, whose cffi needs memory that is writable and executable:
the agent's unit forbids that. No numpy: the process would be twice as large.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import operator
import os
import sys
import threading
import time
from array import array
from collections import deque
from dataclasses import asdict
from typing import Any, NoReturn

from recorder.capture.microphone_events import MICROPHONE_RATE
from recorder.capture.microphone_wire import Ending, Frame, Kind, last_words
from recorder.capture.sound_devices import NoSuchDeviceError, SoundDevice, choose_device
from recorder.die_with_parent import die_with_parent

_BLOCK_SAMPLES = 960  # 20 ms
_LATENCY_S = 0.1
# The recorder wakes ten times a second; each block keeps its own stamp.
_BATCH_S = 0.1
# 5 s of blocks wait for a recorder that is slow; what comes then is dropped and told.
_WAITING_BLOCKS = 5 * MICROPHONE_RATE // _BLOCK_SAMPLES
_PA_INPUT_OVERFLOW = 2
_RATES = (16_000, 32_000, 44_100, MICROPHONE_RATE)

_StreamCallback = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,  # input
    ctypes.c_void_p,  # output
    ctypes.c_ulong,  # frames
    ctypes.c_void_p,  # times
    ctypes.c_ulong,  # flags
    ctypes.c_void_p,  # user data
)
_FinishedCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Block = tuple[int, int, bool, bytes]  # arrival in nanoseconds, end count, overflow, all channels


def mono(samples: bytes, channels: int) -> bytes:
    """s16 of that many channels, interleaved, as one: their average."""
    if channels == 1:
        return samples
    interleaved = array("h", samples)
    total = list(interleaved[0::channels])
    for channel in range(1, channels):
        total = list(map(operator.add, total, interleaved[channel::channels]))
    return array("h", [value // channels for value in total]).tobytes()


def _end(ending: Ending, error: str) -> NoReturn:
    """At once: PortAudio's own way out waits for a sound system that may hang."""
    sys.stderr.write(last_words(error) + "\n")
    sys.stderr.flush()
    os._exit(ending)


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 asks the sound system, which may hang: not before the parent is known
    except OSError as error:
        _end(Ending.REFUSED, f"{error}; install the package libportaudio2")
    return sounddevice


def _devices(sounddevice: Any) -> list[SoundDevice]:
    return [
        SoundDevice(
            found["index"], found["name"], found["max_input_channels"], round(found["default_samplerate"])
        )
        for found in sounddevice.query_devices()
        if found["max_input_channels"] > 0
    ]


def list_devices() -> NoReturn:
    """Prints one JSON object a line: a SoundDevice's fields, and `rates`, which of the usual it opens at."""
    sounddevice = _sounddevice()
    for device in _devices(sounddevice):
        rates = []
        for rate in _RATES:
            try:
                sounddevice.check_input_settings(device.index, 1, "int16", samplerate=rate)
            except sounddevice.PortAudioError:
                continue
            rates.append(rate)
        sys.stdout.write(json.dumps({**asdict(device), "rates": rates}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    os._exit(0)  # as in _end


class _Recording:
    """The blocks between PortAudio's thread and this process's own."""

    def __init__(self, channels: int) -> None:
        self.blocks: deque[_Block] = deque()
        self.finished = threading.Event()
        self._frame_bytes = 2 * channels
        self._count = 0
        self._dropped = False
        # Kept: PortAudio knows them by address alone.
        self.stream: Any = None
        self.callback = _StreamCallback(self._take)
        self.finished_callback = _FinishedCallback(lambda _: self.finished.set())

    def _take(self, samples: int, _output: int, frames: int, _times: int, flags: int, _user_data: int) -> int:
        now_ns = time.monotonic_ns()
        self._count += frames
        if len(self.blocks) >= _WAITING_BLOCKS:
            self._dropped = True
            return 0
        overflow = self._dropped or bool(flags & _PA_INPUT_OVERFLOW)
        self._dropped = False
        self.blocks.append(
            (now_ns, self._count, overflow, ctypes.string_at(samples, frames * self._frame_bytes))
        )
        return 0


def _open(wanted: str | int, channels: int) -> tuple[SoundDevice, _Recording]:
    """Ends the process on any error."""
    sounddevice = _sounddevice()
    try:
        device = choose_device(_devices(sounddevice), wanted)
    except NoSuchDeviceError as error:
        _end(Ending.MISSING, str(error))
    if device.channels < channels:
        _end(Ending.REFUSED, f"{device.name!r} has {device.channels} channels, not {channels}")
    recording = _Recording(channels)
    ffi = sounddevice._ffi  # noqa: SLF001
    try:
        # The base class is the one that takes C pointers, for libraries that make their own callbacks.
        stream = sounddevice._StreamBase(  # noqa: SLF001
            "input",
            samplerate=MICROPHONE_RATE,
            blocksize=_BLOCK_SAMPLES,
            device=device.index,
            channels=channels,
            dtype="int16",
            latency=_LATENCY_S,
            callback=ffi.cast("void *", _address(recording.callback)),
            finished_callback=ffi.cast("PaStreamFinishedCallback *", _address(recording.finished_callback)),
        )
        stream.start()
        recording.stream = stream
    except sounddevice.PortAudioError as error:
        _end(Ending.REFUSED, f"cannot record from {device.name!r} at {MICROPHONE_RATE} Hz: {error}")
    return device, recording


def _address(callback: Any) -> int:
    return ctypes.cast(callback, ctypes.c_void_p).value or 0


def record(wanted: str | int, channels: int) -> NoReturn:
    """Writes frames to stdout until the device or the reader is gone."""
    # A library that prints must not print into the frames.
    out = os.dup(1)
    os.dup2(2, 1)
    device, recording = _open(wanted, channels)
    _write(out, Frame(Kind.OPENED, device.name.encode()).pack())
    while not recording.finished.wait(_BATCH_S):
        _flush(out, recording.blocks, channels)
    _flush(out, recording.blocks, channels)
    _end(Ending.LOST, f"{device.name!r} is gone")


def _flush(out: int, blocks: deque[_Block], channels: int) -> None:
    batch = bytearray()
    for _ in range(len(blocks)):
        arrival_ns, end_count, overflow, samples = blocks.popleft()
        batch += Frame(Kind.BLOCK, mono(samples, channels), arrival_ns // 1000, end_count, overflow).pack()
    _write(out, batch)


def _write(out: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(out, left) :]
    except BrokenPipeError:
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--parent", type=int, required=True, help="its process id: both end together")
    parser.add_argument("--device", help="a name or a part of it")
    parser.add_argument("--index", type=int)
    parser.add_argument("--channels", type=int, default=1)
    arguments = parser.parse_args()
    die_with_parent()
    if os.getppid() != arguments.parent:
        return  # it ended before the line above
    if arguments.list:
        list_devices()
    else:
        record(arguments.device if arguments.index is None else arguments.index, arguments.channels)


if __name__ == "__main__":
    main()
