"""What cameras send, in words: the usual format of all rooms, and what single rooms send instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from recorder.errors import ConfigurationError
from simulator.audio import AudioCodec, AudioSpec
from simulator.media import VideoCodec, VideoSpec, parse_size

KEYS = ("video-codec", "audio", "audio-rate", "size", "bitrate", "gop", "b-frames", "open-gop", "loop")

_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True)
class Format:
    """`words`: the text it was read from, by KEYS."""

    video: VideoSpec
    audio: AudioSpec
    words: Mapping[str, str]


def usual_format(words: Mapping[str, str]) -> Format:
    """From a text for each of KEYS. Raises ConfigurationError, MediaError."""
    width, height = parse_size(words["size"])
    return Format(
        VideoSpec(
            width,
            height,
            bitrate_kbps=_number(words, "bitrate"),
            gop_frames=_number(words, "gop"),
            b_frames=_number(words, "b-frames"),
            loop_s=_number(words, "loop"),
            codec=_choice(VideoCodec, words, "video-codec"),
            open_gop=bool(_number(words, "open-gop")),
        ),
        AudioSpec(_choice(AudioCodec, words, "audio"), _number(words, "audio-rate")),
        dict(words),
    )


def parse_formats(texts: Sequence[str], usual: Format) -> dict[str, Format]:
    """`116:video-codec=h265,audio=opus` → room 116 differs from the usual by that. Raises as above."""
    formats: dict[str, Format] = {}
    for text in texts:
        room, colon, rest = text.partition(":")
        changes = dict(part.partition("=")[::2] for part in rest.split(","))
        unknown = sorted(changes.keys() - set(KEYS))
        if not colon or not room or unknown:
            raise ConfigurationError(
                f"not a format: {text[:60]!r}; write ROOM:KEY=VALUE,… with {', '.join(KEYS)}"
            )
        # A rate belongs to its codec.
        base = {**usual.words, "audio-rate": "0"} if "audio" in changes else usual.words
        formats[room] = usual_format({**base, **changes})
    return formats


def _number(words: Mapping[str, str], key: str) -> int:
    if not words[key].isdecimal():
        raise ConfigurationError(f"{key} must be a number, not {words[key][:20]!r}")
    return int(words[key])


def _choice(kind: type[_Choice], words: Mapping[str, str], key: str) -> _Choice:
    try:
        return kind(words[key])
    except ValueError:
        raise ConfigurationError(f"{key} must be one of {', '.join(kind)}, not {words[key][:20]!r}") from None
