"""What a segment's file on disk holds, read from its bytes: whole fragments, and where its sound is."""

from __future__ import annotations

import os
from pathlib import Path

from recorder.coverage import SOUND_JOINT_US
from recorder.fragments import FileContent
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.manifest import SegmentManifest, Track


def sound_of(bounds: Interval, content: FileContent) -> list[Interval]:
    """Where a segment of these bounds has sound. Holes inside are not told from its ends."""
    audio = content[Track.AUDIO]
    if audio is None or not audio.samples:
        return []
    lead = content[Track.VIDEO] or audio
    zero_us = bounds.start_us - lead.start_ticks * US_PER_SECOND // lead.timescale
    start_us = zero_us + audio.start_ticks * US_PER_SECOND // audio.timescale
    stop_us = min(zero_us + audio.end_ticks * US_PER_SECOND // audio.timescale, bounds.end_us)
    return [Interval(start_us, stop_us)] if start_us < stop_us else []


def covered_by(path: Path, manifest: SegmentManifest) -> dict[Track, int]:
    """Until when a finished segment's file covers each track that it holds; what is missing before was
    declared before it. Raises FragmentError, OSError.
    """
    has_picture = any(statement.track == Track.VIDEO.value for statement in manifest.tracks)
    covered = {Track.VIDEO: manifest.end_us} if has_picture else {}
    sound = sound_of(manifest.interval, whole_fragments(path)[1])
    if sound:
        end_us = sound[-1].end_us
        covered[Track.AUDIO] = manifest.end_us if manifest.end_us - end_us < SOUND_JOINT_US else end_us
    return covered


def whole_fragments(path: Path) -> tuple[int, FileContent]:
    """How many bytes from the start are whole (the head of the file, then moof + mdat pairs), and
    what they hold.
    """
    content = FileContent()
    kept = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at, moof = 0, b""
        while at + 8 <= size:
            file.seek(at)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8 or at + length > size:
                break
            if kind in (b"ftyp", b"moov", b"moof"):
                file.seek(at)
                body = file.read(length)
            if kind == b"moof":
                moof = body
            elif kind == b"mdat" and moof:
                content.feed(moof)
                moof, kept = b"", at + length
            elif kind in (b"ftyp", b"moov"):
                content.feed(body)
                kept = at + length
            elif kind == b"uuid":
                break
            at += length
    return kept, content
