"""One upload on its way in: the second half of the *Accept* procedure of the design.

Bytes flow into a temporary object while no lock is held; then one short transaction locks the room-day, looks
again and writes the index row and the custody event. Only after that is anything acknowledged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody, quarantine, room_days, rows
from archive.keys import KeyGoneError
from archive.models import ChainLink, Enrolment, Gap, RoomDay, Segment
from archive.mp4 import stored as stored_index
from archive.mp4.boxes import Mp4Error
from archive.mp4.reader import read_index
from archive.mp4.span import contradiction
from archive.quarantine import Reason
from archive.sealed import SealedWriter
from archive.store import object_name
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import local_date
from recorder.manifest import GapManifest, ManifestError, SegmentManifest, SignedManifest

# Called with the name of each step, between it and the next one: tests kill the process there.
Fault = Callable[[str], None]
STEPS = (
    "judged",  # the manifest is believed, nothing of the body has come
    "written",  # the body is in a temporary object, not compared with its manifest
    "checked",  # it is what was signed
    "indexed",  # its sample index is built, the object is still temporary
    "stored",  # the object is durable under its name, no row names it
    "locked",  # inside the transaction, nothing written
    "inserted",  # rows and custody event written, not committed
    "committed",  # all done, nothing answered
)
Outcome = Literal["accepted", "quarantined", "expired"]
# 120 s at 60 Mbit/s: more than any camera sends here, and a bound for a hostile agent.
MAX_BODY_BYTES = 900 * 2**20


def no_fault(step: str) -> None:
    """Steps of an acceptance in service are nobody's business."""


class DigestMismatchError(ProtokolError):
    """The body is not what its manifest says: altered or cut on the way. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A terminal answer: the agent may forget the segment. `again` tells a repeated acknowledgement."""

    outcome: Outcome
    reason: str = ""
    again: bool = False


class Upload:
    """One body on its way. Call write() for its bytes, then finish() or abort()."""

    def __init__(
        self,
        archive: Archive,
        agent: Enrolment,
        segment_id: str,
        signed: SignedManifest | None,
        refusal: Reason | None,
        header: str,
        now_us: int,
        *,
        dated: bool,
        fault: Fault = no_fault,
    ) -> None:
        """`dated`: the manifest is the agent's own, so that its time decides on the room-day; else the
        day of arrival does.
        """
        self._archive, self._agent, self._segment_id = archive, agent, segment_id
        self._fault = fault
        self._signed, self._refusal, self._header = signed, refusal, header
        with archive.database.reading() as session:
            self._zone = archive.timezone(session)
        start_us = signed.manifest.start_us if signed and dated else now_us
        self._date = local_date(start_us, self._zone).isoformat()
        manifest = signed.manifest if signed else None
        self._media_bytes = manifest.media_bytes if isinstance(manifest, SegmentManifest) else 0
        self._expected_bytes = self._media_bytes + len(signed.box) if signed and self._media_bytes else 0
        # One pass over the bytes: the media's digest is the file's, as it stands where the media ends.
        self._file_sha = hashlib.sha256()
        self._media_sha256 = ""
        self._tail = bytearray()
        self._received = 0
        self._writer: SealedWriter | None = None
        if self.expects_bytes or refusal is not None:
            self._writer = archive.store.writer(self._name())

    @property
    def expects_bytes(self) -> bool:
        return self._expected_bytes > 0

    def _name(self) -> str:
        manifest = self._signed.encoded if self._signed else self._header.encode()
        return rows.segment_object_name(self._agent.room, self._date, self._segment_id, manifest)

    def write(self, data: bytes) -> None:
        """Raises DigestMismatchError for more bytes than the manifest states, StoreError, StoreFullError."""
        limit = MAX_BODY_BYTES if self._refusal is not None else self._expected_bytes
        if self._received + len(data) > limit:
            self.abort()
            raise DigestMismatchError(f"the body is longer than the {limit} bytes that were expected")
        if self._writer is not None:
            self._writer.write(data)
        media = memoryview(data)[: max(0, self._media_bytes - self._received)]
        self._file_sha.update(media)
        if self._received + len(media) == self._media_bytes and not self._media_sha256:
            self._media_sha256 = self._file_sha.hexdigest()
        rest = memoryview(data)[len(media) :]
        self._file_sha.update(rest)
        if self._refusal is None:
            self._tail += rest
        self._received += len(data)

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.abort()

    def finish(self, now_us: int) -> Answer:
        """Durable on return, whatever the answer. Raises DigestMismatchError, StoreError, StoreFullError."""
        try:
            return self._finish(now_us)
        except KeyGoneError as error:
            # A gap record or a refused file whose room-day was purged since it was looked at.
            self.abort()
            return Answer("expired", str(error))

    def _finish(self, now_us: int) -> Answer:
        if self._refusal is not None or self._signed is None:
            return self._quarantine(self._refusal or Reason("unreadable_manifest", "no manifest"), now_us)
        manifest = self._signed.manifest
        if isinstance(manifest, GapManifest):
            return self._accept_gap(self._signed, manifest, now_us)
        self._fault("written")
        self._check_bytes(self._signed, manifest)
        self._fault("checked")
        return self._accept_segment(self._signed, manifest, now_us)

    def _check_bytes(self, signed: SignedManifest, manifest: SegmentManifest) -> None:
        whole = self._received == self._expected_bytes and bytes(self._tail) == signed.box
        if not whole or self._media_sha256 != manifest.media_sha256:
            self.abort()
            raise DigestMismatchError(
                f"the {self._received} bytes that arrived are not the {self._expected_bytes} "
                "that the manifest states; nothing was stored, send the segment again"
            )

    def _accept_segment(self, signed: SignedManifest, manifest: SegmentManifest, now_us: int) -> Answer:
        writer = self._writer
        if writer is None:
            raise ManifestError("a segment without media")
        try:
            index = read_index(writer.pread, self._received)
        except Mp4Error as error:
            return self._quarantine(Reason("unreadable_media", f"unreadable media: {error}"), now_us)
        if (wrong := contradiction(index, manifest.interval)) is not None:
            return self._quarantine(Reason("contradicting_times", wrong), now_us)
        early = self._look_early(signed, now_us)
        if isinstance(early, Reason):
            return self._quarantine(early, now_us)
        if early is not None:
            writer.abort()
            return early
        name = self._name()
        stored = rows.StoredSegment(
            self._date,
            name,
            self._received,
            self._file_sha.hexdigest(),
            writer.seal_index(stored_index.encode(index)),
        )
        self._fault("indexed")
        writer.commit()
        self._fault("stored")
        with self._archive.database.transaction() as session:
            refused = self._look_again(session, signed, now_us)
            self._fault("locked")
            if refused is None:
                rows.insert_segment(session, signed, manifest, stored, now_us)
                self._tell(session, signed, "segment_accepted", f"segment:{manifest.segment_id}", now_us)
            stands = refused is None or self._stands(session, Segment, name, writer)
            self._fault("inserted")
        self._fault("committed")
        if isinstance(refused, Reason):
            return self._register_quarantine(refused, name, writer, now_us)
        if not stands:
            self._archive.store.delete([name])
        return refused or Answer("accepted")

    def _look_early(self, signed: SignedManifest, now_us: int) -> Answer | Reason | None:
        """As `_look_again`, without a lock and before the object has its name: what is refused gets the name
        of what is refused, and an object that stands is replaced by its twin only where both came at once.
        """
        with self._archive.database.reading() as session:
            day = room_days.peek(session, self._archive.configurations, signed.manifest.room, self._date)
            return _look(session, day, signed, now_us)

    def _look_again(self, session: Session, signed: SignedManifest, now_us: int) -> Answer | Reason | None:
        """Under the room-day's lock: an answer other than a first acceptance, why it is refused, or None."""
        key = (signed.manifest.room, self._date)
        return _look(
            session, room_days.lock(session, self._archive.configurations, [key])[key], signed, now_us
        )

    def _stands(self, session: Session, table: type[Segment | Gap], name: str, writer: SealedWriter) -> bool:
        """Whether a row names the object; where none does (any more) it must go. Under the room-day's lock.

        What was taken in before has had its object replaced by this one, whose salt no purge has seen: its
        key is retained here, or a hold would keep what nobody can open.
        """
        if session.scalar(select(table.id).where(table.object_name == name)) is None:
            return False
        self._archive.store.keys.retain([(name, *writer.secret)])
        return True

    def _accept_gap(self, signed: SignedManifest, manifest: GapManifest, now_us: int) -> Answer:
        early = self._look_early(signed, now_us)
        if isinstance(early, Reason):
            return self._quarantine(early, now_us)
        if early is not None:
            return early
        name = rows.gap_object_name(manifest.room, self._date, manifest.segment_id, signed.encoded)
        writer = self._archive.store.writer(name)
        writer.write(signed.encoded)
        writer.commit()
        with self._archive.database.transaction() as session:
            refused = self._look_again(session, signed, now_us)
            self._fault("locked")
            if refused is None:
                rows.insert_gap(session, signed, manifest, self._date, name, now_us)
                self._tell(session, signed, "gap_accepted", f"gap:{manifest.segment_id}", now_us)
            stands = refused is None or self._stands(session, Gap, name, writer)
            self._fault("inserted")
        self._fault("committed")
        if not stands:
            self._archive.store.delete([name])
        if isinstance(refused, Reason):
            return self._quarantine(refused, now_us)
        return refused or Answer("accepted")

    def _tell(self, session: Session, signed: SignedManifest, action: str, subject: str, now_us: int) -> None:
        event = custody.Event(
            action,
            f"agent:{signed.manifest.enrolment}",
            now_us,
            room=signed.manifest.room,
            date=self._date,
            subject=subject,
            details={"manifest_sha256": signed.sha256},
        )
        custody.append(session, event)

    def _quarantine(self, reason: Reason, now_us: int) -> Answer:
        if self._writer is None:
            self._writer = self._archive.store.writer(self._name())
        name = object_name(
            self._agent.room, self._date, f"q-{self._segment_id}-{self._file_sha.hexdigest()[:16]}", "refused"
        )
        self._writer.commit(name)
        return self._register_quarantine(reason, name, self._writer, now_us)

    def _register_quarantine(self, reason: Reason, name: str, writer: SealedWriter, now_us: int) -> Answer:
        """The object is durable already; the row and the custody event make it known."""
        refused = quarantine.Refused(
            room=self._agent.room,
            date=self._date,
            enrolment=self._agent.id,
            claimed_id=self._segment_id,
            object_name=name,
            size_bytes=self._received,
            sha256=self._file_sha.hexdigest(),
            manifest=self._signed.encoded if self._signed else self._header.encode()[:4096],
            secret=writer.secret,
        )
        standing = quarantine.register(self._archive, refused, reason, now_us)
        if standing != name:
            self._archive.store.delete([name])
        return Answer("quarantined", reason.detail) if standing else expired(refused.room, refused.date)


def _look(session: Session, day: RoomDay, signed: SignedManifest, now_us: int) -> Answer | Reason | None:
    """An answer other than a first acceptance, why it is refused, or None."""
    manifest = signed.manifest
    link = session.get(ChainLink, (manifest.enrolment, manifest.source, manifest.sequence))
    if link is not None and link.manifest_sha256 == signed.sha256:
        return Answer("accepted", again=True)
    if not room_days.may_keep(session, day, manifest.interval, now_us):
        return expired(day.room, day.date)
    if link is not None:
        return Reason("fork", f"a fork: another manifest stands at sequence {manifest.sequence}")
    same_id = select(ChainLink.sequence).where(ChainLink.manifest_id == manifest.segment_id)
    if session.scalar(same_id) is not None:
        return Reason("same_id", "another manifest was accepted under the same segment id")
    return None


def expired(room: str, date: str) -> Answer:
    return Answer("expired", f"the room-day {room} {date} is past its retention")
