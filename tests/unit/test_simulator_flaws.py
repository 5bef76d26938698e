"""What is wrong with a simulated picture or sound is what a room's health looks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recorder.capture.health_child import measure
from recorder.health_rules import Limits
from recorder.sound_levels import SoundLevels
from simulator.audio import AudioCodec, AudioSpec, make_audio
from simulator.flaws import FlawedPainter, Hear, Look, flawed_sound, loop_s
from simulator.media import VideoSpec, load_video
from simulator.picture import NoBarCodeError, read_frame_number

LIMITS = Limits()
WIDTH, HEIGHT = 640, 360


def luma(look: Look, number: int) -> np.ndarray:
    return FlawedPainter(look, WIDTH, HEIGHT, 25).paint(number)[:HEIGHT].copy()


def facts(look: Look) -> dict[str, float]:
    """Of a picture and of the one five seconds before it."""
    return measure(luma(look, 125), luma(look, 0))


def test_each_look_is_what_it_is_called() -> None:
    well = facts(Look.WELL)
    assert well["difference"] > LIMITS.frozen_difference[1]
    assert well["bright"] - well["dark"] > LIMITS.covered_span[1]
    assert facts(Look.BLACK)["bright"] < LIMITS.black_bright[0]
    covered = facts(Look.COVER)
    assert covered["bright"] > LIMITS.black_bright[1]
    assert covered["bright"] - covered["dark"] < LIMITS.covered_span[0]
    assert facts(Look.FREEZE)["difference"] == 0
    assert facts(Look.FREEZE)["detail"] == pytest.approx(well["detail"], rel=0.2)
    blurred = facts(Look.BLUR)
    assert blurred["detail"] < well["detail"] * LIMITS.blurred_part[0]
    assert blurred["difference"] > LIMITS.frozen_difference[1]
    assert blurred["bright"] - blurred["dark"] > LIMITS.covered_span[1]


@pytest.mark.parametrize("look", [Look.BLACK, Look.COVER])
def test_a_picture_without_a_room_has_no_bar_code(look: Look) -> None:
    with pytest.raises(NoBarCodeError):
        read_frame_number(luma(look, 3))


def test_a_frozen_camera_stands_at_one_picture() -> None:
    assert {read_frame_number(luma(Look.FREEZE, number)) for number in (0, 26, 700)} == {10}


def test_flawed_loops_are_short_and_cached_apart(tmp_path: Path) -> None:
    usual = load_video(VideoSpec(width=320, height=240, bitrate_kbps=300, loop_s=2), tmp_path)
    spec = VideoSpec(
        width=320, height=240, bitrate_kbps=300, loop_s=loop_s(Look.FREEZE, 2, 25, 25), look="freeze"
    )
    frozen = load_video(spec, tmp_path)
    assert [unit.is_keyframe for unit in frozen.units] == [True] + [False] * 24
    assert load_video(usual.spec, tmp_path) == usual
    assert len(list(tmp_path.glob("*.mp4"))) == 2
    assert loop_s(Look.BLACK, 60, 25, 50) == 2
    assert loop_s(Look.WELL, 60, 25, 50) == 60


@pytest.mark.parametrize("codec", [AudioCodec.ALAW, AudioCodec.MULAW, AudioCodec.AAC])
def test_flawed_sound_has_the_shape_of_the_usual_one(codec: AudioCodec) -> None:
    usual = make_audio(AudioSpec(codec))
    assert usual is not None
    for hear in Hear:
        made = make_audio(AudioSpec(codec), hear)
        assert made is not None
        assert (made.rate, made.unit_samples, len(made.units)) == (
            8000 if codec != "aac" else 16_000,
            usual.unit_samples,
            len(usual.units),
        )
        assert made.codec_data == usual.codec_data


def test_each_sound_is_what_it_is_called() -> None:
    def levels(hear: Hear):
        pcm = (flawed_sound(hear, 8000, 2) * 32767).astype(np.int16)
        return SoundLevels(8000).feed(pcm)[1]

    well = levels(Hear.WELL)
    assert well.rms_dbfs > LIMITS.silent_dbfs[1]
    assert well.hum_dbfs < LIMITS.hum_dbfs[1]
    assert well.clipped_share == 0
    assert levels(Hear.SILENCE).rms_dbfs < LIMITS.silent_dbfs[0]
    assert levels(Hear.CLIP).clipped_share > LIMITS.clipped_share
    assert levels(Hear.HUM).hum_dbfs > LIMITS.hum_dbfs[0]
