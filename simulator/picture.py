"""The simulated picture: drawn and read back, in pure numpy.

Every frame of the loop says when it was taken, three times over: a bar code along the top (for tests), a
clock of seconds and frames (for people), and a lamp that flashes for two frames at each whole second (for
measuring sound against picture). All geometry is in fractions of the picture, so that every resolution
is read by the same code, and cells are large, so that the strongest compression leaves them legible.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]

FLASH_FRAMES = 2

# Bar code: white, black, 16 bits (most significant first), even parity, white. The fixed cells and the
# parity tell a picture without a bar code, or a torn one, from a legible one.
_BITS = 16
_CELLS = _BITS + 4
_BAR_HEIGHT = 1 / 20
_WHITE, _BLACK = 235, 16
_THRESHOLD = 128

# (top, bottom, left, right) in fractions of the picture.
_Box = tuple[float, float, float, float]
_LAMP: _Box = (0.12, 0.24, 0.40, 0.60)
_CLOCK: _Box = (0.30, 0.46, 0.36, 0.64)
_WINDOW: _Box = (0.16, 0.52, 0.05, 0.30)
_DOOR: _Box = (0.20, 0.62, 0.76, 0.92)
_TABLE: _Box = (0.66, 0.88, 0.18, 0.82)
_WALL, _FLOOR, _WOOD, _PANEL, _FRAME = 150, 90, 70, 110, 45

# Which of the seven segments each digit lights: top, upper left, upper right, middle, lower left, lower
# right, bottom.
_SEGMENTS = {
    "0": "1110111",
    "1": "0010010",
    "2": "1011101",
    "3": "1011011",
    "4": "0111010",
    "5": "1101011",
    "6": "1101111",
    "7": "1010010",
    "8": "1111111",
    "9": "1111011",
}
_SEGMENT_BOXES: tuple[_Box, ...] = (
    (0.00, 0.12, 0.10, 0.90),
    (0.05, 0.50, 0.00, 0.20),
    (0.05, 0.50, 0.80, 1.00),
    (0.44, 0.56, 0.10, 0.90),
    (0.50, 0.95, 0.00, 0.20),
    (0.50, 0.95, 0.80, 1.00),
    (0.88, 1.00, 0.10, 0.90),
)


class NoBarCodeError(ValueError):
    """The picture bears no legible bar code: it is not a simulated one, or it is damaged."""


def _fill(picture: Luma, box: _Box, value: int) -> None:
    height, width = picture.shape
    top, bottom, left, right = box
    picture[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = value


def _crop(picture: Luma, box: _Box) -> Luma:
    height, width = picture.shape
    top, bottom, left, right = box
    return picture[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


class Painter:
    """Draws the frames of one loop: a still room, and a window whose moving noise costs real bits.

    The same arguments always draw the same pictures.
    """

    def __init__(self, width: int, height: int, fps: int) -> None:
        """`width` and `height` must be even (4:2:0 chroma)."""
        self._fps = fps
        self._room = np.full((height, width), _WALL, np.uint8)
        _fill(self._room, (0.62, 1.0, 0.0, 1.0), _FLOOR)
        for box, value in (
            (_WINDOW, _FRAME),
            (_DOOR, _PANEL),
            (_TABLE, _WOOD),
            (_LAMP, _FRAME),
            (_CLOCK, _BLACK),
        ):
            _fill(self._room, box, value)
        self._noise = np.random.default_rng(1).integers(60, 200, (height, width), np.uint8)
        self._chroma = np.concatenate([_chroma(width, height, plane) for plane in (0, 1)])

    def paint(self, number: int) -> npt.NDArray[np.uint8]:
        """Frame `number` of the loop as planar 4:2:0: an array of (height * 3 / 2, width)."""
        luma = self._room.copy()
        draw_bar_code(luma, number)
        if number % self._fps < FLASH_FRAMES:
            _fill(luma, _LAMP, _WHITE)
        _draw_clock(luma, f"{number // self._fps % 100:02d}{number % self._fps:02d}")
        window = _crop(luma, _inside(_WINDOW))
        # Two different strides, so that motion search finds no copy of the last frame.
        shifted = np.roll(self._noise, (number * 37 % luma.shape[0], number * 101 % luma.shape[1]), (0, 1))
        window[:] = shifted[: window.shape[0], : window.shape[1]]
        height, width = luma.shape
        return np.concatenate([luma.reshape(-1), self._chroma]).reshape(height * 3 // 2, width)


def _inside(box: _Box) -> _Box:
    return (box[0] + 0.02, box[1] - 0.02, box[2] + 0.01, box[3] - 0.01)


def _chroma(width: int, height: int, plane: int) -> npt.NDArray[np.uint8]:
    """One of the two colour planes, flat in each thing of the room; it never changes."""
    colours: tuple[tuple[_Box, tuple[int, int]], ...] = (
        ((0.62, 1.0, 0.0, 1.0), (118, 138)),
        (_WINDOW, (150, 110)),
        (_DOOR, (112, 142)),
        (_TABLE, (108, 148)),
    )
    chroma = np.full((height // 2, width // 2), (126, 130)[plane], np.uint8)
    for box, colour in colours:
        _fill(chroma, box, colour[plane])
    _fill(chroma, (0.0, _BAR_HEIGHT, 0.0, 1.0), 128)
    return chroma.reshape(-1)


def draw_bar_code(luma: Luma, number: int) -> None:
    """The number, below 65 536, along the top of a picture, over whatever was there."""
    _fill(luma, (0.0, _BAR_HEIGHT, 0.0, 1.0), _BLACK)
    bits = [number >> (_BITS - 1 - place) & 1 for place in range(_BITS)]
    cells = [1, 0, *bits, sum(bits) & 1, 1]
    for place, bit in enumerate(cells):
        if bit:
            _fill(luma, (0.0, _BAR_HEIGHT, place / _CELLS, (place + 1) / _CELLS), _WHITE)


def _draw_clock(luma: Luma, digits: str) -> None:
    """Two digits of seconds, two dots, two digits of frames."""
    panel = _crop(luma, _CLOCK)
    for digit, left in zip(digits, (0.05, 0.27, 0.56, 0.78), strict=True):
        cell = _crop(panel, (0.15, 0.85, left, left + 0.17))
        for lit, box in zip(_SEGMENTS[digit], _SEGMENT_BOXES, strict=True):
            if lit == "1":
                _fill(cell, box, _WHITE)
    for top in (0.33, 0.6):
        _fill(panel, (top, top + 0.08, 0.485, 0.515), _WHITE)


def read_frame_number(luma: Luma) -> int:
    """The 16-bit number in the bar code of a decoded picture (height, width) of any resolution.

    Raises NoBarCodeError when the fixed cells or the parity are wrong.
    """
    height, width = luma.shape
    rows = luma[round(height * _BAR_HEIGHT * 0.25) : max(1, round(height * _BAR_HEIGHT * 0.75))]
    cells = []
    for place in range(_CELLS):
        left, right = round((place + 0.3) * width / _CELLS), round((place + 0.7) * width / _CELLS)
        cells.append(int(rows[:, left : max(right, left + 1)].mean() > _THRESHOLD))
    bits, parity = cells[2:-2], cells[-2]
    if cells[:2] != [1, 0] or cells[-1] != 1 or sum(bits) & 1 != parity:
        raise NoBarCodeError(f"no legible bar code; its cells read {''.join(map(str, cells))}")
    return sum(bit << (_BITS - 1 - place) for place, bit in enumerate(bits))


def is_flash(luma: Luma) -> bool:
    """Whether the lamp is lit: true on the first two frames of each whole second."""
    return bool(_crop(luma, _inside(_LAMP)).mean() > (_FRAME + _WHITE) / 2)


def frame_number_at(instant_us: int, loop_s: int, fps: int) -> int:
    """Which frame of the loop a camera with a true clock shows at that instant (UTC microseconds)."""
    return instant_us % (loop_s * 1_000_000) * fps // 1_000_000


def capture_time_us(number: int, near_us: int, loop_s: int, fps: int) -> int:
    """When frame `number` was taken: the instant nearest to `near_us` (UTC microseconds) that shows it.

    True as long as `near_us` is within half a loop of the capture.
    """
    loop_us = loop_s * 1_000_000
    within = number * 1_000_000 // fps
    return near_us + (within - near_us + loop_us // 2) % loop_us - loop_us // 2
