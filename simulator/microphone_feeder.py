"""What a simulated microphone hears, written into a FIFO at the pace of the device's own clock.

    python -m simulator.microphone_feeder PPM

Obeys lines on stdin, each answered by `ok` on stdout: `open FIFO`, `sound NAME`, `ppm N`. Ends when stdin
does. A process of its own: in the one under test it would be as late as that is busy.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time

import numpy as np

from recorder.die_with_parent import die_with_parent
from recorder.host_clock import wall_minus_monotonic_us
from simulator.device_clock import DeviceClock
from simulator.sound import Sound, heard

_CHUNK = 480  # 10 ms
_CHUNK_BYTES = 2 * _CHUNK
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
# 0.34 s: what a sound system that is not scheduled meanwhile may be late. A whole number of pages.
_PIPE_BYTES = 32_768
_BEHIND_S = 1.0
_WALL_STEP_US = 1_000
_NS_PER_S = 1_000_000_000


class Feeder:
    """Samples of one device, from now on."""

    def __init__(self, ppm: float) -> None:
        self._clock = DeviceClock(0, time.monotonic_ns(), ppm=ppm)
        self._sent = 0
        self._sound = Sound.BEEPS
        self._fifo: int | None = None
        self._wall_us = wall_minus_monotonic_us()
        self._noise = np.random.default_rng(2)

    def obey(self, line: str) -> None:
        """Raises ValueError, OSError."""
        word, _, argument = line.partition(" ")
        if word == "open":
            if self._fifo is not None:
                os.close(self._fifo)
            # Also for reading: then it opens without a reader, and stays open when one leaves.
            self._fifo = os.open(argument, os.O_RDWR | os.O_NONBLOCK)
            fcntl.fcntl(self._fifo, _F_SETPIPE_SZ, _PIPE_BYTES)
        elif word == "sound":
            self._sound = Sound(argument)
        elif word == "ppm":
            self._clock = self._clock.turned(float(argument), self._sent)
        else:
            raise ValueError(f"not understood: {line!r}")

    def feed(self) -> float:
        """Writes what has been heard by now; how many seconds later there will be more."""
        due = self._clock.taken_by(time.monotonic_ns())
        if due - self._sent > _BEHIND_S * self._clock.rate:
            self._sent = due - _CHUNK  # this process was stopped
        while self._sent + _CHUNK <= due:
            self._write(self._heard())
            self._sent += _CHUNK
        ahead_ns = self._clock.taken_ns(self._sent + _CHUNK) - time.monotonic_ns()
        return max(0.001, ahead_ns / _NS_PER_S)

    def _heard(self) -> bytes:
        wall_us = wall_minus_monotonic_us()
        if abs(wall_us - self._wall_us) > _WALL_STEP_US:  # somebody has set the host's clock
            self._wall_us = wall_us
        from_ns = self._clock.taken_ns(self._sent) + self._wall_us * 1000
        made = heard(self._sound, from_ns, _CHUNK, self._clock.rate, self._noise)
        return np.round(made * 32767).astype("<i2").tobytes()

    def _write(self, samples: bytes) -> None:
        """Nobody may be recording: then the pipe is emptied whenever it is full, so that whoever begins
        gets sound that is late by at most its length, and without a hole.
        """
        if self._fifo is None:
            return
        try:
            os.write(self._fifo, samples)
        except BlockingIOError:
            _drain(self._fifo)
            os.write(self._fifo, samples)


def _drain(fifo: int) -> None:
    try:
        while os.read(fifo, _PIPE_BYTES):
            pass
    except BlockingIOError:
        pass


def main() -> None:
    die_with_parent()
    feeder = Feeder(float(sys.argv[1]))
    waiting = b""
    while True:
        pause_s = feeder.feed()
        if not select.select([0], [], [], pause_s)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            return
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            try:
                feeder.obey(line.decode())
            except (ValueError, OSError) as error:
                answer = f"error: {error}"
            else:
                answer = "ok"
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
