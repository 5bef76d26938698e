"""What the decoding program is to be asked of a stored segment: a keyframe about each ten seconds, the sound.

Everything is found by the segment's sample index, which was checked when the segment was accepted: no box of
the file is read again, and the program is given samples and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from archive.media.work import MAX_THUMBNAILS, Codec, Question, Sample, Track
from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import aac_lc, codec_of, coding_of
from archive.mp4.index import Ints, TrackIndex
from archive.mp4.selection import Piece, Placed, line_scale, place
from archive.store import ObjectReader, StoreError
from recorder.instants import US_PER_SECOND

THUMBNAIL_EVERY_US = 10 * US_PER_SECOND
_PICTURES: dict[str, Codec] = {"h264": "h264", "h265": "hevc"}
# A keyframe of 4K in fine quality has 2 MB.
_MAX_PICTURE_BYTES = 8 << 20
# All of a segment's are in memory at once, some of it thrice: an agent may send 900 MB and call it sound.
_MAX_PICTURES_BYTES = 32 << 20
# Two minutes of two channels at 48 kHz come to 9 MB at the most that AAC-LC allows.
_MAX_SOUND_BYTES = 16 << 20
# One request of an S3 store; a segment of 30 MB is eight of them.
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _Wanted:
    at_us: int
    offset: int
    size: int


def question_of(piece: Piece, reader: ObjectReader) -> Question:
    """Raises Mp4Error for an index that contradicts itself, and what the reader does."""
    placed = place([piece], line_scale([piece]))[0]
    video, audio = piece.index.video, piece.index.audio
    picture_codec = _PICTURES.get(coding_of(video)) if video is not None else None
    sound_codec: Codec | None = None
    if audio is not None and aac_lc(codec_of(audio)) is not None:
        sound_codec = "aac"
    pictures = _keyframes(placed, video) if video is not None and picture_codec else []
    sound = _packets(placed, audio) if audio is not None and sound_codec else []
    if sum(each.size for each in sound) > _MAX_SOUND_BYTES:
        raise Mp4Error("more bytes of sound than two minutes can have")
    read = _read(reader, [*pictures, *sound])
    return Question(
        _track(picture_codec, video, pictures, read),
        (0, 0) if video is None else (video.width >> 16, video.height >> 16),
        _track(sound_codec, audio, sound, read),
    )


def _keyframes(placed: Placed, track: TrackIndex) -> list[_Wanted]:
    """The first one in each ten seconds from the segment's start on."""
    at_us = _wall_us(placed, track)
    out: list[_Wanted] = []
    taken: set[int] = set()
    left_bytes = _MAX_PICTURES_BYTES
    for number in np.flatnonzero(track.sync & (track.size > 0) & (track.size <= _MAX_PICTURE_BYTES)):
        share = (int(at_us[number]) - placed.piece.start_us) // THUMBNAIL_EVERY_US
        size = int(track.size[number])
        if share not in taken and len(taken) < MAX_THUMBNAILS and size <= left_bytes:
            taken.add(share)
            left_bytes -= size
            out.append(_Wanted(int(at_us[number]), int(track.offset[number]), size))
    return out


def _packets(placed: Placed, track: TrackIndex) -> list[_Wanted]:
    rows = zip(_wall_us(placed, track), track.offset, track.size, strict=True)
    return [_Wanted(int(at_us), int(offset), int(size)) for at_us, offset, size in rows if size]


def _wall_us(placed: Placed, track: TrackIndex) -> Ints:
    """When each sample is shown. Never negative: no footage is older than 1970."""
    line = placed.on_line(track)
    wall: Ints = placed.piece.start_us + (line - placed.base) * US_PER_SECOND // placed.scale
    return np.maximum(wall, 0)


def _track(
    codec: Codec | None, track: TrackIndex | None, wanted: Iterable[_Wanted], read: dict[int, bytes]
) -> Track | None:
    samples = tuple(Sample(each.at_us, read[each.offset]) for each in wanted)
    if codec is None or track is None or not samples:
        return None
    return Track(codec, codec_of(track).config, samples)


def _read(reader: ObjectReader, wanted: Iterable[_Wanted]) -> dict[int, bytes]:
    """Offset → bytes, of samples that lie apart from each other; in pieces, on from front to back."""
    out: dict[int, bytes] = {}
    start, window = 0, b""
    for each in sorted(wanted, key=lambda each: each.offset):
        if each.offset + each.size > start + len(window):
            start = each.offset
            window = reader.pread(start, min(max(each.size, _PIECE_BYTES), reader.size_bytes - start))
        data = window[each.offset - start : each.offset - start + each.size]
        if len(data) != each.size:
            raise StoreError("the object is shorter than its sample index says")
        out[each.offset] = data
    return out
