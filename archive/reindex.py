"""The index rebuilt from objects and keys: `protokol archive reindex`, into an empty database.

What derives from manifests comes out as it was, byte for byte, and so do checkpoints and certificates; what
people wrote (requests, accounts, the custody log, reasons of holds) does not lie in the store and is told to
be missing. The new log's first event names the last proofs of the old one. Objects are never changed or
removed. Purge stays frozen until a person has confirmed the holds (retention.frozen).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from itertools import groupby

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import custody, derived, enrolment, log_origin, reindex_proofs, room_days, rows
from archive.check import Finding, Kind
from archive.database import DatabaseError
from archive.keys import KeyGoneError
from archive.models import (
    ArchiveMark,
    ChainLink,
    CustodyEvent,
    Derived,
    Enrolment,
    Gap,
    Hold,
    Quarantine,
    RoomsVersion,
    Segment,
    Tombstone,
)
from archive.mp4 import stored as stored_index
from archive.mp4.boxes import Mp4Error
from archive.mp4.reader import find_manifest, read_index
from archive.postgresql import count_on
from archive.records import RecordError
from archive.sealed import AlteredError, SealedReader
from archive.store import is_object_name, room_day_of
from archive.system import REBUILDING, Archive
from recorder.errors import BadInstantError, UnknownRoomError
from recorder.instants import local_date
from recorder.manifest import GapManifest, ManifestError, SegmentManifest, SignedManifest, decode

# While the mark stands, nothing is destroyed: its value is when the index was rebuilt.
HOLDS_UNCONFIRMED = "holds_unconfirmed"
_PIECE_BYTES = 1 << 20
# A gap record is a signed manifest and nothing else.
_MAX_GAP_BYTES = 1 << 20
_LOST = "rebuilt from its record; the reason was lost with the old index"


@dataclass(slots=True)
class Report:
    """What was found again. `findings` are objects that no row could be made of."""

    rooms_files: int = 0
    enrolments: int = 0
    holds: int = 0
    checkpoints: int = 0
    certificates: int = 0
    room_days: int = 0
    segments: int = 0
    gaps: int = 0
    quarantined: int = 0
    derived: int = 0
    findings: list[Finding] = field(default_factory=list)


def reindex(archive: Archive, actor: str, now_us: int) -> Report:
    """Durable room-day by room-day; cut off, it is begun again in another empty database, and no server opens
    the half index.

    Raises DatabaseError where the index is not empty; RecordError where a record was not signed by this
    server, or none of a rooms file is there (without them no manifest can be judged), which leaves the index
    empty; StoreError.
    """
    _require_empty(archive)
    report = Report()
    with archive.database.transaction() as session:
        # First of all: killed anywhere later, the half index destroys nothing.
        for name in (HOLDS_UNCONFIRMED, REBUILDING):
            session.merge(ArchiveMark(name=name, value=str(now_us)))
    with archive.database.transaction() as session:
        _restore_records(session, archive, report)
    # Before footage: the links of what was destroyed take their places on the chains.
    foreign: list[str] = []
    report.checkpoints, report.certificates = reindex_proofs.restore(archive, foreign)
    report.findings += (Finding("record", line) for line in foreign)
    for day, names in groupby(archive.store.names(), key=room_day_of):
        _restore_day(archive, day, list(names), report, now_us)
    _close_purged(archive)
    with archive.database.transaction() as session:
        found = {name: getattr(report, name) for name in Report.__slots__ if name != "findings"}
        origin = log_origin.mark(session, archive.server_key, now_us)
        details = {**found, "findings": len(report.findings), **origin}
        session.delete(session.get_one(ArchiveMark, REBUILDING))
        session.flush()
        custody.append(session, custody.Event(log_origin.ACTION, actor, now_us, details=details))
    return report


def _require_empty(archive: Archive) -> None:
    with archive.database.reading() as session:
        for table in (RoomsVersion, Segment, Gap, Enrolment, Hold, CustodyEvent):
            if session.scalars(select(table).limit(1)).first() is not None:
                raise DatabaseError(
                    "the index is not empty: nothing was changed. Name a new database in "
                    "PROTOKOL_DATABASE_URL, and keep this one for the inquiry"
                )


def _restore_records(session: Session, archive: Archive, report: Report) -> None:
    for document in sorted(archive.records.read("rooms"), key=lambda each: int(each["version"])):
        sha256 = hashlib.sha256(document["text"].encode()).hexdigest()
        session.add(RoomsVersion(**document, sha256=sha256))
        report.rooms_files += 1
    if not report.rooms_files:
        raise RecordError(
            "the store has no record of a rooms file: restore `_records/` from a backup of the store"
        )
    for document in archive.records.read("enrolments"):
        key = base64.b64decode(document.pop("public_key"))
        session.add(Enrolment(**document, public_key=key))
        report.enrolments += 1
    for document in sorted(archive.records.read("holds"), key=lambda each: int(each["id"])):
        # The request is lost, and its number will be another's, whose decision must not end this hold.
        request_id = document.pop("request_id")
        reason = _LOST if request_id is None else f"{_LOST}; it stood for request {request_id} of that index"
        session.add(Hold(**document, reason=reason, legal_ground=_LOST, author="system"))
        report.holds += 1
    session.flush()
    for counted in (RoomsVersion.version, Hold.id):
        count_on(session, counted)


def _restore_day(
    archive: Archive, day: tuple[str, str], names: list[str], report: Report, now_us: int
) -> None:
    """All objects of a room-day, in one transaction."""
    with archive.database.transaction() as session:
        try:
            room_days.lock(session, archive.configurations, [day])
        except (UnknownRoomError, BadInstantError) as error:
            report.findings += (Finding("foreign", f"{name}: {error}") for name in names)
            return
        report.room_days += 1
        keys = {row.id: enrolment.public_key(row) for row in session.scalars(select(Enrolment))}
        restoring = _Restoring(session, archive, keys, archive.timezone(session), report, now_us)
        # What was made of a segment follows the segments.
        for name in sorted(names, key=lambda name: name.endswith(derived.SUFFIX)):
            try:
                restoring.object(name)
            except (KeyGoneError, AlteredError) as error:
                kind: Kind = "keyless" if isinstance(error, KeyGoneError) else "altered"
                report.findings.append(
                    Finding("derived" if name.endswith(derived.SUFFIX) else kind, str(error))
                )
            except (Mp4Error, ManifestError) as error:
                report.findings.append(Finding("foreign", f"{name}: {error}"))


@dataclass(slots=True)
class _Restoring:
    session: Session
    archive: Archive
    keys: dict[str, Ed25519PublicKey]
    zone: str
    report: Report
    now_us: int

    def object(self, name: str) -> None:
        """Raises KeyGoneError, AlteredError, Mp4Error, ManifestError; StoreError for a store that is away."""
        if not is_object_name(name):
            raise ManifestError("not a name that this archive gives")
        reader = self.archive.store.open(name)
        try:
            match name.rpartition(".")[2]:
                case "mp4":
                    self._segment(name, reader)
                case "gap":
                    self._gap(name, reader)
                case "refused":
                    self._refused(name, reader)
                case "derived":
                    self._derived(name, reader)
                case suffix:
                    raise ManifestError(f"no object of this archive ends in .{suffix}")
        finally:
            reader.close()

    def _segment(self, name: str, reader: SealedReader) -> None:
        trailing = find_manifest(reader.pread, reader.size_bytes)
        signed = self._believed(name, trailing.encoded)
        manifest = signed.manifest
        if not isinstance(manifest, SegmentManifest):
            raise ManifestError("a gap record in a segment's place")
        media_sha256, file_sha256 = _digests(reader, trailing.media_bytes)
        if (trailing.media_bytes, media_sha256) != (manifest.media_bytes, manifest.media_sha256):
            raise AlteredError(f"{name} does not have the media that its manifest states")
        if self._taken(name, signed):
            return
        sealed_index = reader.seal_index(stored_index.encode(read_index(reader.pread, reader.size_bytes)))
        date = room_day_of(name)[1]
        stored = rows.StoredSegment(date, name, reader.size_bytes, file_sha256, sealed_index)
        rows.insert_segment(self.session, signed, manifest, stored, self.now_us)
        self.report.segments += 1

    def _gap(self, name: str, reader: SealedReader) -> None:
        signed = self._believed(name, reader.pread(0, _MAX_GAP_BYTES))
        manifest = signed.manifest
        if not isinstance(manifest, GapManifest):
            raise ManifestError("a segment's manifest in a gap record's place")
        if self._taken(name, signed):
            return
        rows.insert_gap(self.session, signed, manifest, room_day_of(name)[1], name, self.now_us)
        self.report.gaps += 1

    def _refused(self, name: str, reader: SealedReader) -> None:
        """What was refused stays refused; its reason was in the old index."""
        room, date, rest = name.split("/")
        sha256 = _digests(reader, reader.size_bytes)[1]
        self.session.add(
            Quarantine(
                room=room,
                date=date,
                # `q-<claimed id>-<digest>.refused`
                claimed_id=rest.removeprefix("q-").rpartition("-")[0],
                reason=_LOST,
                object_name=name,
                size_bytes=reader.size_bytes,
                sha256=sha256,
                manifest=b"",
                received_us=self.now_us,
            )
        )
        self.session.flush()
        self.report.quarantined += 1

    def _derived(self, name: str, reader: SealedReader) -> None:
        """Thumbnails and loudness; what cannot be used again is made anew."""
        owner = select(Segment.id).where(Segment.object_name == derived.owner_of(name))
        segment_id = self.session.scalar(owner)
        if segment_id is None:
            raise ManifestError("made of a segment that was not found")
        payload = reader.pread(0, reader.size_bytes)
        contents = derived.contents(name, payload)
        self.session.add(
            Derived(
                segment_id=segment_id,
                size_bytes=len(payload),
                sha256=hashlib.sha256(payload).hexdigest(),
                loudness=reader.seal_index(contents.loudness.to_bytes()),
            )
        )
        self.session.flush()
        self.report.derived += 1

    def _believed(self, name: str, encoded: bytes) -> SignedManifest:
        """The manifest of this very object, signed by an enrolled key. Raises ManifestError."""
        signed = decode(encoded)
        manifest = signed.manifest
        key = self.keys.get(manifest.enrolment)
        if key is None:
            raise ManifestError(f"signed by {manifest.enrolment}, which is not enrolled")
        signed.verify(key)
        filed = (manifest.room, local_date(manifest.start_us, self.zone).isoformat())
        if filed != room_day_of(name):
            raise ManifestError(f"recorded in room {filed[0]} on {filed[1]}, and filed elsewhere")
        return signed

    def _taken(self, name: str, signed: SignedManifest) -> bool:
        """Whether the manifest's place on its chain, or its id, is taken: the object is then a double."""
        manifest = signed.manifest
        place = self.session.get(ChainLink, (manifest.enrolment, manifest.source, manifest.sequence))
        same_id = select(ChainLink).where(ChainLink.manifest_id == manifest.segment_id)
        other = place or self.session.scalars(same_id).first()
        if other is None:
            return False
        what = "the same manifest" if other.manifest_sha256 == signed.sha256 else "a fork: another manifest"
        self.report.findings.append(Finding("doubled", f"{name}: {what} was found before it"))
        return True


def _digests(reader: SealedReader, media_bytes: int) -> tuple[str, str]:
    """SHA-256 of the first `media_bytes`, and of all."""
    media, whole = hashlib.sha256(), hashlib.sha256()
    for offset in range(0, reader.size_bytes, _PIECE_BYTES):
        data = reader.pread(offset, _PIECE_BYTES)
        whole.update(data)
        media.update(data[: max(0, media_bytes - offset)])
    return media.hexdigest(), whole.hexdigest()


def _close_purged(archive: Archive) -> None:
    """Room-days whose key was destroyed are purged; what of them is left, a retained key keeps. When, their
    first tombstone tells; where that is lost, the key, which may have gone with a later run only.
    """
    for day, destroyed_us in sorted(archive.store.keys.destroyed().items()):
        with archive.database.transaction() as session:
            try:
                row = room_days.lock(session, archive.configurations, [day])[day]
            except UnknownRoomError:
                # Its configuration is lost, and nothing of it is left.
                continue
            first = select(func.min(Tombstone.purged_us)).where(
                Tombstone.room == row.room, Tombstone.date == row.date, Tombstone.purged_us <= destroyed_us
            )
            row.state, row.purged_us = "purged", session.scalar(first) or destroyed_us
