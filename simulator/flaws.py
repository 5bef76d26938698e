"""What a picture and a sound are like when something is wrong with them, and not with the line. Pure.

Everything that a room's health is to notice: drawn, encoded and served like the room itself.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from simulator.picture import Painter
from simulator.sound import Samples, beeps

_BLACK, _GREY, _NO_COLOUR = 16, 90, 128
# Of the picture's width, three times over: what is left is like a lens that is focused on its own glass.
_BLUR_PART = 1 / 40
# A sensor's noise goes through no lens; without it a blurred picture would stand still as well.
_NOISE = 2
# The picture at which a frozen camera stands: its lamp is out.
_FROZEN_NUMBER = 10
# Keyframes of looks that come five seconds apart must differ.
_BLUR_LOOP_S = 7
# A microphone input that is 14 dB too high, and one that lies beside a mains cable: -28 dBFS.
_CLIP_HZ, _CLIP_GAIN = 300, 5.0
_HUM = ((50, 0.05), (100, 0.03))


class Look(StrEnum):
    """What is wrong with the picture itself."""

    WELL = "well"
    BLACK = "black"
    FREEZE = "freeze"
    COVER = "cover"
    BLUR = "blur"


class Hear(StrEnum):
    """What is wrong with the sound itself."""

    WELL = "well"
    SILENCE = "silence"
    CLIP = "clip"
    HUM = "hum"


def loop_s(look: Look, usual_s: int, fps: int, gop_frames: int) -> int:
    """How long a loop must be: pictures that stand still need one group only."""
    if look is Look.WELL:
        return usual_s
    return _BLUR_LOOP_S if look is Look.BLUR else -(-gop_frames // fps)


class FlawedPainter:
    """Draws like Painter, what a camera with that flaw would show."""

    def __init__(self, look: Look, width: int, height: int, fps: int) -> None:
        self._look = look
        self._painter = Painter(width, height, fps)
        self._height = height
        if look is Look.BLUR:
            self._soft = _SoftPainter(width, height, fps)

    def paint(self, number: int) -> npt.NDArray[np.uint8]:
        if self._look is Look.WELL:
            return self._painter.paint(number)
        frame = self._painter.paint(_FROZEN_NUMBER if self._look is Look.FREEZE else number)
        if self._look in (Look.BLACK, Look.COVER):
            frame[: self._height] = _BLACK if self._look is Look.BLACK else _GREY
            frame[self._height :] = _NO_COLOUR
        elif self._look is Look.BLUR:
            frame[: self._height] = self._soft.paint(number)
        return frame


class _SoftPainter:
    """Draws the room out of focus: a quarter as large, averaged, enlarged, with a sensor's noise on it."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        small = (max(2, width // 8 * 2), max(2, height // 8 * 2))
        self._painter = Painter(*small, fps)
        self._columns = np.arange(width) * small[0] // width
        self._rows = np.arange(height) * small[1] // height
        self._radius = max(1, round(small[0] * _BLUR_PART / 2))

    def paint(self, number: int) -> npt.NDArray[np.int64]:
        soft = self._painter.paint(number)[: int(self._rows[-1]) + 1].astype(np.int64)
        for _ in range(3):  # nearly a Gaussian blur
            soft = self._averaged(self._averaged(soft).T).T
        large = soft[self._rows][:, self._columns]
        return large + np.random.default_rng(number).integers(-_NOISE, _NOISE + 1, large.shape)

    def _averaged(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Each row over this many neighbours to both sides."""
        size = 2 * self._radius + 1
        sums = np.cumsum(np.pad(rows, ((0, 0), (self._radius + 1, self._radius)), mode="edge"), axis=1)
        return (sums[:, size:] - sums[:, :-size]) // size


def flawed_sound(hear: Hear, rate: int, duration_s: int) -> Samples:
    """`duration_s` seconds of mono sound in [-1, 1]; but for silence and an overload the beeps are in it."""
    t = np.arange(rate * duration_s) / rate
    if hear is Hear.SILENCE:
        return np.zeros(t.shape, np.float32)
    if hear is Hear.CLIP:
        return np.clip(_CLIP_GAIN * np.sin(2 * np.pi * _CLIP_HZ * t), -1, 1).astype(np.float32)
    sound = beeps(rate, duration_s)
    if hear is Hear.HUM:
        for hz, amplitude in _HUM:
            sound += (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)
    return sound
