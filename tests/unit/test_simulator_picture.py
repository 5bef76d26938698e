"""The simulated picture says when it was taken, at every size and through strong compression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.picture import (
    FLASH_FRAMES,
    NoBarCodeError,
    Painter,
    capture_time_us,
    frame_number_at,
    is_flash,
    read_frame_number,
)

FPS = 25
SIZES = [(640, 480), (848, 480), (1280, 720), (1920, 1080)]


def luma(painter: Painter, number: int) -> np.ndarray:
    frame = painter.paint(number)
    return frame[: frame.shape[0] * 2 // 3]


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(640, 480, FPS)


@given(number=st.integers(0, 65535), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_number_is_read_back_from_a_blurred_noisy_picture(
    painter: Painter, number: int, seed: int
) -> None:
    picture = luma(painter, number).astype(float)
    blurred = sum(np.roll(picture, (dy, dx), (0, 1)) for dy in (-2, 0, 2) for dx in (-2, 0, 2)) / 9
    noisy = blurred + np.random.default_rng(seed).normal(0, 25, picture.shape)
    assert read_frame_number(noisy.clip(0, 255).astype(np.uint8)) == number


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_is_read(width: int, height: int) -> None:
    painter = Painter(width, height, FPS)
    for number in (0, 1, 2, 24, 25, 1499, 65535):
        picture = luma(painter, number)
        assert picture.shape == (height, width)
        assert read_frame_number(picture) == number
        assert is_flash(picture) == (number % FPS < FLASH_FRAMES)


def test_a_scaled_picture_is_still_read(painter: Painter) -> None:
    half = luma(painter, 777)[::2, ::2]
    assert read_frame_number(half) == 777


def test_a_picture_without_a_bar_code_is_refused() -> None:
    for grey in (0, 128, 255):
        with pytest.raises(NoBarCodeError, match="no legible bar code"):
            read_frame_number(np.full((480, 640), grey, np.uint8))


def test_a_torn_bar_code_fails_its_parity(painter: Painter) -> None:
    picture = luma(painter, 5)
    cell = picture.shape[1] // 20
    picture[:30, 17 * cell : 18 * cell] = 16  # the least significant bit
    with pytest.raises(NoBarCodeError):
        read_frame_number(picture)


def test_pictures_are_the_same_each_time() -> None:
    assert np.array_equal(Painter(640, 480, FPS).paint(33), Painter(640, 480, FPS).paint(33))


@given(
    instant_us=st.integers(1_600_000_000_000_000, 2_000_000_000_000_000),
    error_us=st.integers(-29_000_000, 29_000_000),
    loop_s=st.sampled_from([60, 120]),
)
def test_the_bar_code_and_a_rough_time_give_the_capture_time(
    instant_us: int, error_us: int, loop_s: int
) -> None:
    number = frame_number_at(instant_us, loop_s, FPS)
    assert 0 <= number < loop_s * FPS
    taken = capture_time_us(number, instant_us + error_us, loop_s, FPS)
    assert taken <= instant_us < taken + 1_000_000 // FPS
