"""Index rows of what was signed: the same whether an upload brings it or its object is found again.

Everything here but `accepted_us` follows from manifests and objects, whatever the order of arrival, so that
a rebuilt index is the old one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.models import ChainLink, Gap, SampleIndex, Segment, SegmentManifestRow
from archive.store import object_name
from recorder.manifest import MAX_SEGMENT_US, GapManifest, SegmentManifest, SignedManifest


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """What an object is, besides what its manifest says. `sealed_index`: as the database keeps it."""

    date: str
    object_name: str
    size_bytes: int
    file_sha256: str
    sealed_index: bytes


def insert_segment(
    session: Session,
    signed: SignedManifest,
    manifest: SegmentManifest,
    stored: StoredSegment,
    accepted_us: int,
) -> None:
    """Segment, manifest, sample index and link. The caller holds the room-day's lock.

    Of two segments that overlap, the one that starts later is flagged; of a tie, the greater id.
    """
    mine = (manifest.start_us, manifest.segment_id)
    overlapping = _overlapping(session, manifest)
    for other in overlapping:
        other.overlaps = other.overlaps or (other.start_us, other.id) > mine
    session.add(
        Segment(
            id=manifest.segment_id,
            room=manifest.room,
            date=stored.date,
            source=manifest.source,
            run=manifest.run,
            start_us=manifest.start_us,
            end_us=manifest.end_us,
            object_name=stored.object_name,
            size_bytes=stored.size_bytes,
            file_sha256=stored.file_sha256,
            manifest_sha256=signed.sha256,
            clock_estimated=manifest.clock.estimated,
            overlaps=any((other.start_us, other.id) < mine for other in overlapping),
            accepted_us=accepted_us,
        )
    )
    session.flush()
    session.add(SegmentManifestRow(segment_id=manifest.segment_id, encoded=signed.encoded))
    session.add(SampleIndex(segment_id=manifest.segment_id, encoded=stored.sealed_index))
    insert_link(session, signed)


def _overlapping(session: Session, manifest: SegmentManifest) -> list[Segment]:
    # Bounded by the longest segment: the naive overlap query is 9 to 29 times slower.
    return list(
        session.scalars(
            select(Segment).where(
                Segment.room == manifest.room,
                Segment.source == manifest.source,
                Segment.start_us >= manifest.start_us - MAX_SEGMENT_US,
                Segment.start_us < manifest.end_us,
                Segment.end_us > manifest.start_us,
            )
        )
    )


def insert_gap(
    session: Session,
    signed: SignedManifest,
    manifest: GapManifest,
    date: str,
    object_name: str,
    accepted_us: int,
) -> None:
    """Gap and link. The caller holds the room-day's lock."""
    session.add(
        Gap(
            id=manifest.segment_id,
            room=manifest.room,
            date=date,
            source=manifest.source,
            start_us=manifest.start_us,
            end_us=manifest.end_us,
            tracks=",".join(manifest.tracks),
            cause=manifest.cause,
            # PostgreSQL keeps no NUL; what was signed stays as it is.
            detail=manifest.detail.replace("\0", ""),
            encoded=signed.encoded,
            object_name=object_name,
            accepted_us=accepted_us,
        )
    )
    insert_link(session, signed)


def insert_link(session: Session, signed: SignedManifest) -> None:
    manifest = signed.manifest
    session.add(
        ChainLink(
            enrolment=manifest.enrolment,
            source=manifest.source,
            sequence=manifest.sequence,
            manifest_id=manifest.segment_id,
            manifest_sha256=signed.sha256,
            previous_sha256=manifest.previous,
        )
    )
    session.flush()


def segment_object_name(room: str, date: str, segment_id: str, manifest: bytes) -> str:
    """Bears the manifest's digest: another segment under the same id never meets this object."""
    return object_name(room, date, f"{segment_id}-{_short(manifest)}")


def gap_object_name(room: str, date: str, gap_id: str, manifest: bytes) -> str:
    """The object holds the signed manifest: without it a rebuilt index would not know of the gap."""
    return object_name(room, date, f"{gap_id}-{_short(manifest)}", "gap")


def _short(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:16]
