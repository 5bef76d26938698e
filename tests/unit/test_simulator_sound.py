"""Beeps are found where they were made."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.sound import BEEP_S, beep_onsets, beeps


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_a_beep_begins_at_each_whole_second(rate: int) -> None:
    onsets = beep_onsets(beeps(rate, 5), rate)
    assert onsets == pytest.approx([1, 2, 3, 4], abs=2 / rate + 0.0002)


def test_integers_and_shifted_sound() -> None:
    pcm = (beeps(8000, 4) * 32767).astype(np.int16)[3000:]
    assert beep_onsets(pcm, 8000) == pytest.approx([0.625, 1.625, 2.625], abs=0.0005)


def test_noise_and_silence_have_no_beeps() -> None:
    only_noise = beeps(8000, 1)[int(8000 * BEEP_S) + 1 :]
    assert beep_onsets(only_noise, 8000) == []
    assert beep_onsets(np.zeros(8000, np.float32), 8000) == []
    assert beep_onsets(np.zeros(0, np.int16), 8000) == []
