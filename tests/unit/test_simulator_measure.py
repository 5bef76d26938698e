"""A recording is measured as it was made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from simulator.measure import measure_file
from simulator.picture import Painter
from simulator.sound import beeps

FPS, RATE = 25, 48_000


def make_file(path: Path, *, first: int, frames: int, sound_late_s: float) -> None:
    """Pictures from number `first` on, and sound that is late by `sound_late_s`."""
    painter = Painter(320, 240, FPS)
    begin = round((first / FPS - sound_late_s) * RATE)
    samples = beeps(RATE, 10)[begin : begin + frames * RATE // FPS]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.codec_context.gop_size = 10
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number in range(first, first + frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(painter.paint(number), format="yuv420p")))
        pcm = (samples * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(audio.encode(frame))
        container.mux(video.encode(None))


@pytest.mark.parametrize("late_s", [0.0, 0.08, -0.04])
def test_numbers_times_and_offset(tmp_path: Path, late_s: float) -> None:
    path = tmp_path / "made.mkv"
    make_file(path, first=40, frames=80, sound_late_s=late_s)
    measured = measure_file(path)
    assert measured.frame_numbers == tuple(range(40, 120))
    assert measured.frame_times_s == pytest.approx([n / FPS for n in range(80)], abs=0.001)
    assert measured.flash_times_s == pytest.approx([10 / FPS, 35 / FPS, 60 / FPS], abs=0.001)
    assert measured.av_offsets_ms == pytest.approx([late_s * 1000] * 3, abs=1)
    assert measured.decode_errors == 0


def test_damage_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "made.mkv"
    make_file(path, first=40, frames=80, sound_late_s=0)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    whole, victim = path.read_bytes(), packets[20]
    # The second half of one picture reads as something else.
    half = len(victim) // 2
    path.write_bytes(whole.replace(victim, victim[:half] + bytes(len(victim) - half)))
    measured = measure_file(path)
    assert measured.decode_errors > 0
    assert measured.frame_numbers[-1] == 119  # it reads on to the end
