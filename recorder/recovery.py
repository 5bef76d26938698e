"""After a crash: what the parts on disk still hold becomes segments, and the rest becomes known.

Whole boxes are kept, a torn tail is cut off, a manifest with `recovered: true` is added. A part that
was sealed already only lacks its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recorder.chain import DAMAGED_SUFFIX, Chain, Link, trailing_manifest
from recorder.durable import remove_file
from recorder.fragments import FileContent, FragmentError, TrackContent
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.manifest import MAX_SEGMENT_US, SegmentManifest, Track
from recorder.partfile import HEAD_SUFFIX, PART_SUFFIX, PartFile, SegmentHead
from recorder.remains import covered_by, sound_of, whole_fragments

# What was in memory when the process died was written within a second of the last write.
_LOST_AFTER_WRITE_US = US_PER_SECOND


@dataclass(slots=True)
class RecoveredPart:
    """A part cut to its whole fragments, to be committed. `picture_end_us` is None where it has no picture,
    `sound` is where it has sound (UTC).
    """

    part: PartFile
    content: FileContent
    end_us: int
    picture_end_us: int | None
    sound: list[Interval]


@dataclass(frozen=True, slots=True)
class Recovered:
    """Oldest first. `crashed_us`: about when writing ended, None where nothing was being written."""

    parts: list[RecoveredPart]
    crashed_us: int | None


def recover(chain: Chain, now_us: int) -> Recovered:
    """What a crash left in the chain's directory. Parts without media are removed, a sealed one gets
    its name, both durably; the others are for the ledger to commit. Raises DiskError.
    """
    crashed_us: int | None = None
    recovered = []
    parts = _parts(chain.directory)
    for index, (path, head) in enumerate(parts):
        written_us = path.stat().st_mtime_ns // 1000 + _LOST_AFTER_WRITE_US
        crashed_us = max(crashed_us or 0, min(written_us, now_us))
        if _adopt_sealed(chain, path):
            continue
        try:
            kept_bytes, content = whole_fragments(path)
            lead = content[Track.VIDEO] or content[Track.AUDIO]
        except FragmentError:
            path.rename(path.with_suffix(DAMAGED_SUFFIX))
            continue
        if lead is None or not lead.samples:
            remove_file(path)
            remove_file(path.with_suffix(HEAD_SUFFIX))
            continue
        following_us = parts[index + 1][1].start_us if index + 1 < len(parts) else None
        end_us = _end_us(head, lead, following_us)
        part = PartFile.reopen(path, head, kept_bytes)
        picture_end_us = end_us if lead is content[Track.VIDEO] else None
        sound = sound_of(Interval(head.start_us, end_us), content)
        recovered.append(RecoveredPart(part, content, end_us, picture_end_us, sound))
    return Recovered(recovered, crashed_us)


def _parts(directory: Path) -> list[tuple[Path, SegmentHead]]:
    found = []
    for path in directory.iterdir():
        if path.suffix == PART_SUFFIX:
            head = SegmentHead.read(path.with_suffix(HEAD_SUFFIX))
            if head is None:
                # The head is durable before the part has a byte: only a damaged disk gets here.
                path.rename(path.with_suffix(DAMAGED_SUFFIX))
                continue
            found.append((path, head))
        orphan = path.suffix == HEAD_SUFFIX and not path.with_suffix(PART_SUFFIX).exists()
        if orphan or path.suffix == ".new":
            remove_file(path)
    return sorted(found, key=lambda part: part[1].start_us)


def _adopt_sealed(chain: Chain, path: Path) -> bool:
    """A part that bears the chain's next manifest only lacks its name."""
    sealed = trailing_manifest(path)
    link = chain.next_link
    if sealed is None or not isinstance(sealed.manifest, SegmentManifest):
        return False
    if (sealed.manifest.sequence, sealed.manifest.previous) != (link.sequence, link.previous):
        return False
    covered = chain.covered
    for track, until_us in covered_by(path, sealed.manifest).items():
        covered[track] = max(covered.get(track, 0), until_us)
    chain.adopt_sealed(path, path.with_suffix(HEAD_SUFFIX), sealed, covered)
    return True


def _end_us(head: SegmentHead, lead: TrackContent, following_us: int | None) -> int:
    length_us = (lead.end_ticks - lead.start_ticks) * US_PER_SECOND // lead.timescale
    end_us = head.start_us + min(max(length_us, 1), MAX_SEGMENT_US)
    if following_us is not None and head.start_us < following_us:
        end_us = min(end_us, following_us)
    return end_us


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
        switches=list(head.switches),
        sync=head.sync,
        media_bytes=part.media_bytes,
        media_sha256=part.media_sha256,
        recovered=recovered,
    )
