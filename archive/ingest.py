"""Taking segments and gap records in: the *Accept* procedure of the design.

The manifest comes first and is judged here, the body after (archive.upload). What cannot be accepted is kept
in quarantine, and told so: every terminal answer means that the archive has the bytes, or that the law
forbids it to.
"""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import enrolment, room_days
from archive.keys import KeyGoneError
from archive.models import ChainLink, Enrolment
from archive.quarantine import Reason
from archive.search import MAX_GAP_US
from archive.system import Archive
from archive.upload import Answer, Fault, Upload, expired, no_fault
from recorder.errors import ConfigurationError, ProtokolError
from recorder.instants import US_PER_MINUTE, format_instant, local_date
from recorder.intervals import subtract
from recorder.manifest import ManifestError, SignedManifest, decode_header
from recorder.working_hours import windows_between

# A room host's clock may be wrong; footage from the future is not believed beyond this.
MAX_AHEAD_US = 5 * US_PER_MINUTE
# It becomes a part of the object's name.
_SEGMENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BadSegmentIdError(ProtokolError):
    """An address that no agent makes: nothing can be filed under it, not even in quarantine."""


class Ingest:
    """Takes in what enrolled agents send. Safe to share between threads; each Upload belongs to one."""

    def __init__(self, archive: Archive, fault: Fault = no_fault) -> None:
        self.archive = archive
        self._fault = fault

    def begin(
        self, room_id: str, token: str, segment_id: str, header: str, now_us: int, *, damaged: bool = False
    ) -> Upload | Answer:
        """Look at the manifest before the body. An Answer means that the body is not wanted.

        `damaged`: the agent knows that the file no longer matches its manifest; it goes to
        quarantine. Raises NotEnrolledError, BadSegmentIdError, StoreError, StoreFullError.
        """
        with self.archive.database.reading() as session:
            agent = enrolment.authenticate(session, room_id, token)
            if not _SEGMENT_ID.fullmatch(segment_id):
                raise BadSegmentIdError(f"not a segment id: {segment_id[:60]!r}; it is a UUID")
            signed: SignedManifest | None = None
            try:
                signed = decode_header(header)
                refusal = _unbelievable(agent, segment_id, signed, now_us)
            except ManifestError as error:
                refusal = Reason("unreadable_manifest" if signed is None else "bad_signature", str(error))
                signed = None
            # Refused footage is footage: its month, too, begins when it was recorded.
            dated = signed is not None and refusal is None
            if signed is not None and refusal is None:
                answer = self._answer_now(session, signed, now_us)
                if answer is not None:
                    return answer
                refusal = self._judge(session, signed)
        if refusal is None and damaged:
            refusal = Reason("damaged_on_disk", "the agent says that the file was damaged on its disk")
        try:
            upload = Upload(
                self.archive,
                agent,
                segment_id,
                signed,
                refusal,
                header,
                now_us,
                dated=dated,
                fault=self._fault,
            )
            self._fault("judged")
            if upload.expects_bytes or refusal is not None:
                return upload
            return upload.finish(now_us)
        except KeyGoneError:
            # Purged since the look above: the answer is another one by now.
            with self.archive.database.reading() as session:
                late = None if signed is None else self._answer_now(session, signed, now_us)
            if late is None:
                raise
            return late

    def _judge(self, session: Session, signed: SignedManifest) -> Reason | None:
        """Why this manifest is refused, though it is the agent's own, or None."""
        manifest = signed.manifest
        if manifest.interval.duration_us > MAX_GAP_US:
            return Reason("long_gap", "a gap record of more than a day")
        try:
            configuration = self.archive.configurations.room(
                session, manifest.room, manifest.configuration_version
            )
        except ConfigurationError as error:
            return Reason("unknown_configuration", str(error))
        if manifest.source not in configuration.room.sources:
            detail = f"configuration {configuration.version} knows no source {manifest.source}"
            return Reason("unknown_source", detail)
        outside = subtract([manifest.interval], windows_between(configuration, manifest.interval))
        if outside:
            return Reason(
                "outside_windows",
                f"outside the recording windows of configuration {configuration.version}: "
                f"{format_instant(outside[0].start_us)} to {format_instant(outside[0].end_us)}",
            )
        return None

    def _answer_now(self, session: Session, signed: SignedManifest, now_us: int) -> Answer | None:
        """The terminal answer that needs no body: taken in before, or past its retention."""
        manifest = signed.manifest
        link = session.scalars(
            select(ChainLink).where(ChainLink.manifest_id == manifest.segment_id)
        ).one_or_none()
        if link is not None and link.manifest_sha256 == signed.sha256:
            return Answer("accepted", again=True)
        date = local_date(manifest.start_us, self.archive.timezone(session)).isoformat()
        day = room_days.peek(session, self.archive.configurations, manifest.room, date)
        if not room_days.may_keep(session, day, manifest.interval, now_us):
            return expired(day.room, day.date)
        return None


def _unbelievable(agent: Enrolment, segment_id: str, signed: SignedManifest, now_us: int) -> Reason | None:
    """Why nothing that this manifest says can be believed, or None. Raises ManifestError for a wrong
    signature.
    """
    manifest = signed.manifest
    if (manifest.room, manifest.enrolment, manifest.segment_id) != (agent.room, agent.id, segment_id):
        detail = "the manifest names another room, enrolment or segment than the address"
        return Reason("wrong_address", detail)
    signed.verify(enrolment.public_key(agent))
    if manifest.end_us > now_us + MAX_AHEAD_US:
        detail = f"recorded in the future ({format_instant(manifest.end_us)}): the room's clock is wrong"
        return Reason("future", detail)
    return None
