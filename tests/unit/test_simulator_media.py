"""The loop: encoded once, whole or not at all, its units in the order and shape that cameras send."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recorder.errors import ConfigurationError
from simulator.audio import AudioCodec, AudioSpec, make_audio
from simulator.formats import parse_formats, usual_format
from simulator.media import MediaError, VideoCodec, VideoSpec, load_video

SMALL = VideoSpec(width=320, height=240, bitrate_kbps=300, loop_s=2)


def test_the_loop_is_encoded_once(tmp_path: Path) -> None:
    first = load_video(SMALL, tmp_path)
    (cached,) = tmp_path.glob("*.mp4")
    written = cached.stat().st_mtime_ns
    assert load_video(SMALL, tmp_path) == first
    assert cached.stat().st_mtime_ns == written
    assert not list(tmp_path.glob("*.tmp"))


def test_units_are_single_pictures_with_a_keyframe_each_second(tmp_path: Path) -> None:
    loop = load_video(SMALL, tmp_path)
    assert [unit.number for unit in loop.units] == list(range(50))
    assert [unit.number for unit in loop.units if unit.is_keyframe] == [0, 25]
    assert loop.reorder_frames == 0
    for unit in loop.units:
        slices = [kind for kind in _nal_types(unit.data) if kind in (1, 5)]
        # A second slice of a keyframe would be sent as a picture of its own.
        assert len(slices) == 1


def test_b_frames_are_in_decode_order(tmp_path: Path) -> None:
    loop = load_video(VideoSpec(width=320, height=240, bitrate_kbps=300, loop_s=2, b_frames=2), tmp_path)
    numbers = [unit.number for unit in loop.units]
    assert sorted(numbers) == list(range(50))
    assert numbers != sorted(numbers)
    assert loop.reorder_frames > 0
    assert all(number - place <= loop.reorder_frames for place, number in enumerate(numbers))


def test_a_damaged_cache_says_what_to_remove(tmp_path: Path) -> None:
    load_video(SMALL, tmp_path)
    (cached,) = tmp_path.glob("*.mp4")
    cached.write_bytes(cached.read_bytes()[:2000])
    with pytest.raises(MediaError, match="remove it and try again"):
        load_video(SMALL, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="choose --media-dir"):
        load_video(SMALL, tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    "bad",
    [{"width": 321}, {"height": 0}, {"loop_s": 0}, {"b_frames": 9}, {"bitrate_kbps": 1}, {"gop_frames": 0}],
)
def test_impossible_parameters_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(MediaError, match=next(iter(bad))):
        VideoSpec(**bad)


def test_more_frames_than_the_bar_code_can_tell_are_refused() -> None:
    with pytest.raises(MediaError, match="65536"):
        VideoSpec(fps=60, loop_s=1200)


def test_sound_units_fill_whole_seconds() -> None:
    for codec in (AudioCodec.ALAW, AudioCodec.MULAW, AudioCodec.AAC):
        audio = make_audio(AudioSpec(codec))
        assert audio is not None
        assert len(audio.units) * audio.unit_samples % audio.rate == 0
    aac = make_audio(AudioSpec(AudioCodec.AAC))
    assert aac is not None
    assert aac.codec_data[:2].hex() == "1408"  # AAC-LC, 16 kHz, mono
    assert make_audio(AudioSpec(AudioCodec.NONE)) is None


@pytest.mark.parametrize("codec", [codec for codec in AudioCodec if codec is not AudioCodec.NONE])
def test_every_sound_is_units_of_one_length_that_fill_whole_seconds(codec: AudioCodec) -> None:
    audio = make_audio(AudioSpec(codec))
    assert audio is not None
    assert len(audio.units) * audio.unit_samples % audio.rate == 0


def test_a_rate_that_the_codec_has_not_is_refused() -> None:
    with pytest.raises(MediaError, match="opus at 8000/s is not simulated; its rates: 48000"):
        AudioSpec(AudioCodec.OPUS, 8000)


def test_h265_has_pictures_that_refer_across_a_keyframe_when_asked(tmp_path: Path) -> None:
    spec = VideoSpec(
        width=320, height=240, bitrate_kbps=300, loop_s=2, gop_frames=12, b_frames=2, codec=VideoCodec.H265
    )
    kinds = [_h265_kinds(unit.data) for unit in load_video(spec, tmp_path).units]
    assert not {8, 9, 21} & set().union(*kinds)
    kinds = [_h265_kinds(unit.data) for unit in load_video(replace(spec, open_gop=True), tmp_path).units]
    assert {21} <= set().union(*kinds)  # CRA
    assert {8, 9} & set().union(*kinds)  # RASL


def test_a_rooms_own_format_is_laid_over_the_usual_one() -> None:
    words = {"size": "640x360", "bitrate": "600", "gop": "25", "b-frames": "0", "open-gop": "0", "loop": "8"}
    usual = usual_format({**words, "video-codec": "h264", "audio": "aac", "audio-rate": "44100"})
    own = parse_formats(["116:video-codec=h265,b-frames=2", "202:audio=opus"], usual)
    assert own["116"].video == replace(usual.video, codec=VideoCodec.H265, b_frames=2)
    assert own["116"].audio == usual.audio
    assert own["202"].audio == AudioSpec(AudioCodec.OPUS)


@pytest.mark.parametrize("text", ["116", "116:", ":audio=aac", "116:sound=aac", "116:audio=mp3", "116:gop=x"])
def test_a_format_that_is_none_says_how_to_write_it(text: str) -> None:
    words = {"size": "640x360", "bitrate": "600", "gop": "25", "b-frames": "0", "open-gop": "0", "loop": "8"}
    usual = usual_format({**words, "video-codec": "h264", "audio": "aac", "audio-rate": "0"})
    with pytest.raises(ConfigurationError, match=r"audio|gop"):
        parse_formats([text], usual)


def _h265_kinds(unit: bytes) -> set[int]:
    kinds, at = set(), 0
    while at < len(unit):
        kinds.add(unit[at + 4] >> 1 & 63)
        at += 4 + int.from_bytes(unit[at : at + 4], "big")
    return kinds


def _nal_types(unit: bytes) -> list[int]:
    kinds, at = [], 0
    while at < len(unit):
        kinds.append(unit[at + 4] & 31)
        at += 4 + int.from_bytes(unit[at : at + 4], "big")
    return kinds
