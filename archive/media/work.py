"""What the decoding program is asked and what it answers, as bytes on a pipe.

The question holds coded samples and nothing that tells of the archive: no name, no key, no place. The answer
is a stranger's, because hostile media may have taken the program over: it is believed in form only.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Codec = Literal["h264", "hevc", "aac"]

THUMBNAIL_WIDTH = 320
# Of a picture that stands upright.
THUMBNAIL_HEIGHT = 480
# Some 6 to 10 KB as a rule; the encoder is told to be coarser until a picture is below this.
MAX_THUMBNAIL_BYTES = 32 * 1024
# Steps of loudness from silence on: 0 is -60 dBFS and below, 100 is full scale. 0.6 dB are told apart.
QUIETEST_DBFS = -60.0
LOUDEST = 100
LOUDNESS_STEP_US = 1_000_000
# 120 s of segment, and what its media may last beyond that, on a grid that it need not begin on.
MAX_STEPS = 130
MAX_THUMBNAILS = 14
MAX_ANSWER_BYTES = 64 * 1024 + MAX_THUMBNAILS * MAX_THUMBNAIL_BYTES

_LENGTH = struct.Struct(">I")
_JPEG_BEGIN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


class WorkError(ValueError):
    """The program answered with something else than what it was asked for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A coded picture or sound packet, and the instant at which it is shown."""

    at_us: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Track:
    """Samples for one decoder. `config` is its configuration: avcC, hvcC, AudioSpecificConfig."""

    codec: Codec
    config: bytes
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """`pictures`: keyframes, each of which becomes a thumbnail by itself; `shape` is how wide and high they
    are shown. `sound`: packets in order.
    """

    pictures: Track | None
    shape: tuple[int, int]
    sound: Track | None


@dataclass(frozen=True, slots=True)
class Thumbnail:
    at_us: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`thumbnails` in the order of the pictures asked for, less those that could not be decoded.

    `loudness[n]` is that of the step that begins at `loudness_start_us + n * LOUDNESS_STEP_US`, on the grid
    of whole steps of UTC: 0 to LOUDEST, None where there was no sound. `undecodable`: how many samples no
    decoder took.
    """

    thumbnails: tuple[Thumbnail, ...]
    loudness_start_us: int
    loudness: tuple[int | None, ...]
    undecodable: int


def encode_question(question: Question) -> Iterator[bytes]:
    """In pieces, for a pipe."""
    tracks = {"pictures": question.pictures, "sound": question.sound}
    head = {name: None if track is None else _track_head(track) for name, track in tracks.items()}
    yield _framed({**head, "shape": question.shape})
    for track in tracks.values():
        if track is not None:
            yield b"".join(sample.data for sample in track.samples)


def decode_question(data: bytes) -> Question:
    """For the program: what it is given is the server's own, so a defect in it is a defect."""
    head, at = _unframed(data)
    tracks: dict[str, Track | None] = {}
    for name in ("pictures", "sound"):
        told = head[name]
        tracks[name] = None
        if told is not None:
            samples = []
            for at_us, size in told["samples"]:
                samples.append(Sample(at_us, data[at : at + size]))
                at += size
            tracks[name] = Track(told["codec"], base64.b64decode(told["config"]), tuple(samples))
    width, height = head["shape"]
    return Question(tracks["pictures"], (width, height), tracks["sound"])


def encode_answer(answer: Answer) -> bytes:
    head = {
        "thumbnails": [[each.at_us, len(each.jpeg)] for each in answer.thumbnails],
        "loudness_start_us": answer.loudness_start_us,
        "loudness": answer.loudness,
        "undecodable": answer.undecodable,
    }
    return _framed(head) + b"".join(each.jpeg for each in answer.thumbnails)


def encode_failure(reason: str) -> bytes:
    return _framed({"failure": reason})


def decode_answer(data: bytes, question: Question) -> Answer:
    """Raises WorkError for anything but an answer to this question, a failure that is told included."""
    try:
        head, at = _unframed(data)
        if "failure" in head:
            raise WorkError(str(head["failure"])[:300])
        return _believed(head, memoryview(data)[at:], question)
    except (KeyError, TypeError, ValueError, IndexError, struct.error, RecursionError) as error:
        if isinstance(error, WorkError):
            raise
        raise WorkError(f"an answer that is none: {error}") from error


def _believed(head: dict[str, Any], rest: memoryview, question: Question) -> Answer:
    asked = {sample.at_us for sample in question.pictures.samples} if question.pictures else set()
    thumbnails, at = [], 0
    for at_us, size in head["thumbnails"]:
        _integer(at_us)
        jpeg = bytes(rest[at : at + size])
        whole = jpeg.startswith(_JPEG_BEGIN) and jpeg.endswith(_JPEG_END)
        if at_us not in asked or size > MAX_THUMBNAIL_BYTES or len(jpeg) != size or not whole:
            raise WorkError("a thumbnail that is no picture, or was not asked for")
        asked.remove(at_us)
        thumbnails.append(Thumbnail(at_us, jpeg))
        at += size
    if at != len(rest):
        raise WorkError("bytes after the last thumbnail")
    start_us, loudness = _integer(head["loudness_start_us"]), head["loudness"]
    if start_us % LOUDNESS_STEP_US or not isinstance(loudness, list):
        raise WorkError("loudness that is on no grid")
    if loudness and not _is_within(start_us, len(loudness), question.sound):
        raise WorkError("loudness of another time than was asked for")
    values = tuple(None if value is None else _integer(value) for value in loudness)
    if any(value is not None and not 0 <= value <= LOUDEST for value in values):
        raise WorkError("a loudness out of bounds")
    return Answer(tuple(thumbnails), start_us, values, _integer(head["undecodable"]))


def _is_within(start_us: int, steps: int, sound: Track | None) -> bool:
    """What lies elsewhere would make a day of any length."""
    if sound is None or steps > MAX_STEPS:
        return False
    at_us = [sample.at_us for sample in sound.samples]
    first_us, last_us = (each // LOUDNESS_STEP_US * LOUDNESS_STEP_US for each in (min(at_us), max(at_us)))
    return first_us <= start_us and start_us + (steps - 1) * LOUDNESS_STEP_US <= last_us


def _integer(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise WorkError("a number that is none")
    return value


def _track_head(track: Track) -> dict[str, Any]:
    return {
        "codec": track.codec,
        "config": base64.b64encode(track.config).decode(),
        "samples": [[sample.at_us, len(sample.data)] for sample in track.samples],
    }


def _framed(head: dict[str, Any]) -> bytes:
    encoded = json.dumps(head).encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _unframed(data: bytes) -> tuple[dict[str, Any], int]:
    """The head, and where what follows it begins."""
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    if end > len(data):
        raise WorkError("cut off")
    try:
        head = json.loads(data[_LENGTH.size : end])
    except (UnicodeDecodeError, binascii.Error) as error:
        raise WorkError("not text") from error
    if not isinstance(head, dict):
        raise WorkError("no head")
    return head, end
