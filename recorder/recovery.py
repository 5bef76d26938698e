"""After a crash: what the parts on disk still hold becomes segments, and the rest becomes known.

Whole boxes are kept, a torn tail is cut off, a manifest with `recovered: true` is added. A part that
was sealed already only lacks its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recorder.chain import DAMAGED_SUFFIX, Chain, Link, trailing_manifest
from recorder.durable import remove_file
from recorder.fragments import FileContent, FragmentError
from recorder.instants import US_PER_SECOND
from recorder.manifest import MAX_SEGMENT_US, SegmentManifest, Track
from recorder.partfile import HEAD_SUFFIX, PART_SUFFIX, PartFile, SegmentHead

# What was in memory when the process died was written within a second of the last write.
_LOST_AFTER_WRITE_US = US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Recovered:
    """`crashed_us`: about when writing ended, None where nothing was being written."""

    segments: int
    crashed_us: int | None


@dataclass(slots=True)
class _Part:
    path: Path
    head_path: Path
    head: SegmentHead


def recover(chain: Chain, now_us: int) -> Recovered:
    """Every part of the chain's directory becomes a segment or is removed. Durable on return.

    Raises DiskError.
    """
    crashed_us: int | None = None
    segments = 0
    parts = _parts(chain.directory)
    for index, part in enumerate(parts):
        written_us = part.path.stat().st_mtime_ns // 1000 + _LOST_AFTER_WRITE_US
        crashed_us = max(crashed_us or 0, min(written_us, now_us))
        following = parts[index + 1].head.start_us if index + 1 < len(parts) else None
        segments += _recover_part(chain, part, following)
    return Recovered(segments, crashed_us)


def _parts(directory: Path) -> list[_Part]:
    found = []
    for path in directory.iterdir():
        if path.suffix == PART_SUFFIX:
            head = SegmentHead.read(path.with_suffix(HEAD_SUFFIX))
            if head is None:
                # The head is durable before the part has a byte: only a damaged disk gets here.
                path.rename(path.with_suffix(DAMAGED_SUFFIX))
                continue
            found.append(_Part(path, path.with_suffix(HEAD_SUFFIX), head))
        orphan = path.suffix == HEAD_SUFFIX and not path.with_suffix(PART_SUFFIX).exists()
        if orphan or path.suffix == ".new":
            remove_file(path)
    return sorted(found, key=lambda part: part.head.start_us)


def _recover_part(chain: Chain, part: _Part, following_us: int | None) -> int:
    """The number of segments made of it: 1 or 0."""
    sealed = trailing_manifest(part.path)
    link = chain.next_link
    if (
        sealed is not None
        and isinstance(sealed.manifest, SegmentManifest)
        and (sealed.manifest.sequence, sealed.manifest.previous) == (link.sequence, link.previous)
    ):
        end_us = sealed.manifest.end_us
        chain.adopt_sealed(part.path, part.head_path, sealed, _covered(chain, end_us))
        return 1
    kept_bytes, content = whole_fragments(part.path)
    if not content.statements():
        remove_file(part.path)
        remove_file(part.head_path)
        return 0
    resumed = PartFile.reopen(part.path, part.head, kept_bytes)
    state_of, end_us = _manifest_of(resumed, content, following_us)
    chain.commit_segment(resumed, state_of, _covered(chain, end_us))
    return 1


def _covered(chain: Chain, end_us: int) -> dict[Track, int]:
    return {track: max(chain.covered.get(track, 0), end_us) for track in Track}


def _manifest_of(
    part: PartFile, content: FileContent, following_us: int | None
) -> tuple[Callable[[Link], SegmentManifest], int]:
    head = part.head
    lead = content[Track.VIDEO] or content[Track.AUDIO]
    if lead is None:
        raise FragmentError("no track")
    length_us = (lead.end_ticks - lead.start_ticks) * US_PER_SECOND // lead.timescale
    length_us = min(max(length_us, 1), MAX_SEGMENT_US)
    end_us = head.start_us + length_us
    if following_us is not None and head.start_us < following_us:
        end_us = min(end_us, following_us)

    def state(link: Link) -> SegmentManifest:
        return segment_manifest(part, content, link, end_us, recovered=True)

    return state, end_us


def segment_manifest(
    part: PartFile, content: FileContent, link: Link, end_us: int, *, recovered: bool
) -> SegmentManifest:
    head = part.head
    return SegmentManifest(
        room=link.room,
        source=link.source,
        enrolment=link.enrolment,
        sequence=link.sequence,
        previous=link.previous,
        start_us=head.start_us,
        end_us=end_us,
        configuration_version=head.configuration_version,
        agent_version=head.agent_version,
        segment_id=head.segment_id,
        run=head.run,
        tracks=content.statements(),
        clock=head.clock,
        av_offset_us=head.av_offset_us,
        microphone=head.microphone,
        media_bytes=part.media_bytes,
        media_sha256=part.media_sha256,
        recovered=recovered,
    )


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
