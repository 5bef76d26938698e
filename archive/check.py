"""`protokol archive check`: index and objects compared both ways, chains walked. Never mends by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from archive import account, custody_check, derived, enrolment, log_origin, proofs
from archive.keys import KeyDamagedError, KeyGoneError
from archive.models import (
    ChainLink,
    CustodyCheckpoint,
    Derived,
    Enrolment,
    Gap,
    Garbage,
    Job,
    Quarantine,
    RoomDay,
    Segment,
    SegmentManifestRow,
)
from archive.sealed import AlteredError
from archive.store import ObjectMissingError, ObjectReader, Store, StoreError
from archive.system import Archive
from recorder.instants import format_instant
from recorder.manifest import ManifestError, decode

_PIECE_BYTES = 1 << 20

Kind = Literal[
    "missing",
    "altered",
    "unreadable",
    "keyless",
    "damaged_key",
    "doubled",
    "foreign",
    "signature",
    "open_link",
    "broken_link",
    "uncovered",
    "garbage",
    "record",
    "derived",
    custody_check.Kind,
]

ADVICE: dict[str, str] = {
    "missing": "restore the object from a backup of the store; the index still knows its digest",
    "altered": "restore the object from a backup of the store; keep the altered one for the inquiry",
    "unreadable": "the store did not give it: look at its disk or its server, then check again",
    "keyless": "its key is not in the key database: was a backup of the keys or of the index put back?",
    "damaged_key": "restore the key database from its backup; until then nothing under that key opens",
    "doubled": "the same place on the chain twice: compare the two, and keep both for the inquiry",
    "foreign": "no row names this object: an upload that was cut off after its rename, or a stranger's file",
    "signature": "the stored manifest was not signed by the enrolled key: keep everything and inquire",
    "open_link": "a predecessor has not arrived (yet): look at the agent's spool",
    "broken_link": "a manifest does not follow its predecessor: the chain was forked or edited, inquire",
    "uncovered": "neither footage nor a signed gap: look for open links, quarantine, a lost spool",
    "garbage": "a purge was interrupted: `protokol retention run` finishes it",
    "record": "a rebuilt index would not know it; the server writes what is missing at the end of a purge. "
    "A proof that differs stays as it is: after a restore from a backup, keep both and inquire",
    "derived": "the footage is whole: `protokol archive derive` has its thumbnails and loudness made anew; "
    "of a day that was purged they cannot be, restore the object from a backup of the store",
    **custody_check.ADVICE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    what: str


def check(archive: Archive, *, deep: bool = False) -> Iterator[Finding]:
    """Findings one by one; none is a clean archive. With `deep`, every object is read and hashed."""
    with archive.database.reading() as session:
        yield from _objects(session, archive, deep=deep)
        if deep:
            yield from _signatures(session)
        yield from _links(session)
        yield from _account(session, archive)
        for row in session.scalars(select(Garbage).order_by(Garbage.object_name)):
            yield Finding("garbage", f"{row.object_name} is destroyed but not unlinked yet")
        differences = archive.records.differences(session), proofs.differences(archive.records, session)
        for name in chain.from_iterable(differences):
            yield Finding("record", f"{name} is missing, older than the index, or not signed by this server")
    yield from custody_findings(archive)


def notes(archive: Archive) -> Iterator[str]:
    """What explains the archive's state and asks nobody to do anything: no findings."""
    with archive.database.reading() as session:
        origin = log_origin.read(session, archive.server_key.public_key())
        if origin is None:
            return
        zone = archive.timezone(session)
        number, certificate = origin.checkpoint, origin.certificate
        date = session.scalar(select(CustodyCheckpoint.date).where(CustodyCheckpoint.number == number))
    proven = [
        *([f"checkpoint {number} of {date}"] if number else []),
        *([f"certificate {certificate}"] if certificate else []),
    ]
    stand = f"; up to {' and '.join(proven)} the proofs stand by their signatures alone" if proven else ""
    when = format_instant(origin.rebuilt_us, zone)
    yield f"the index was rebuilt at {when}: its log of actions begins there{stand}"


def custody_findings(archive: Archive) -> Iterator[Finding]:
    """The proofs alone: custody chain, checkpoints, time stamps, certificates."""
    for kind, line in custody_check.check(archive):
        yield Finding(kind, line)


def witness_findings(archive: Archive, paths: Iterable[Path]) -> Iterator[Finding]:
    """Published checkpoints that others have kept, against the database."""
    for path in paths:
        for kind, line in custody_check.witness(archive, path):
            yield Finding(kind, line)


def _objects(session: Session, archive: Archive, *, deep: bool) -> Iterator[Finding]:
    store, known = archive.store, set[str]()
    segments = select(Segment.object_name, Segment.size_bytes, Segment.file_sha256)
    refused = select(Quarantine.object_name, Quarantine.size_bytes, Quarantine.sha256)
    for statement in (segments, refused):
        for name, size_bytes, sha256 in session.execute(statement.execution_options(yield_per=1000)):
            known.add(name)
            finding = _object(store, name, size_bytes, sha256 if deep else None)
            if finding:
                yield finding
    gaps = select(Gap.object_name, Gap.encoded).where(Gap.object_name.is_not(None))
    for gap_name, encoded in session.execute(gaps.execution_options(yield_per=1000)):
        name = str(gap_name)
        known.add(name)
        finding = _object(store, name, len(encoded), hashlib.sha256(encoded).hexdigest() if deep else None)
        if finding:
            yield finding
    known.update(derived.with_theirs(session.scalars(select(Garbage.object_name))))
    for name, finding in _derived(session, store, deep=deep):
        known.add(name)
        if finding:
            yield finding
    for name in store.names():
        if name not in known and not _is_known_now(archive, name):
            yield Finding("foreign", f"{name} stands in the store and in no row")


def broken_derived(session: Session, archive: Archive) -> Iterator[tuple[str, str, str]]:
    """Id, room and date of the segments of open room-days whose thumbnails and loudness are missing, altered,
    or cannot be opened.
    """
    for name, finding in _derived(session, archive.store, deep=True):
        if finding is not None and finding.kind == "derived":
            is_of_open_day = (RoomDay.room == Segment.room) & (RoomDay.date == Segment.date)
            found = session.execute(
                select(Segment.id, Segment.room, Segment.date)
                .join(RoomDay, is_of_open_day & (RoomDay.state == "open"))
                .where(Segment.object_name == derived.owner_of(name))
            )
            yield from ((segment_id, room, date) for segment_id, room, date in found)


def _derived(session: Session, store: Store, *, deep: bool) -> Iterator[tuple[str, Finding | None]]:
    """Name of each object of thumbnails and loudness, and what is wrong with it. Rows of segments that are
    gone are a purge's to finish.
    """
    statement = select(Segment.object_name, Derived.size_bytes, Derived.sha256).join(
        Derived, Derived.segment_id == Segment.id
    )
    for owner, size_bytes, sha256 in session.execute(statement.execution_options(yield_per=1000)):
        name = derived.name_of(owner)
        finding = _object(store, name, size_bytes, sha256 if deep else None)
        if finding is not None and finding.kind != "unreadable":
            # What is wrong with it is told in the line; what to do is the same for all of it.
            finding = Finding("derived", finding.what)
        yield name, finding


def _is_known_now(archive: Archive, name: str) -> bool:
    """Whether a row names the object by now: the server accepts, and purges, while it is checked."""
    owner = derived.owner_of(name)
    with archive.database.reading() as session:
        if owner != name:
            segment_id = session.scalar(select(Segment.id).where(Segment.object_name == owner))
            if segment_id is not None:
                # While its job stands it is being made, or will be made again.
                job = select(Job.id).where(Job.key == derived.job_key(segment_id))
                return session.get(Derived, segment_id) is not None or session.scalar(job) is not None
        if owner != name and session.get(Garbage, owner) is not None:
            # A purge is under way: it goes with its segment.
            return True
        return any(
            session.scalar(select(table.object_name).where(table.object_name == name)) is not None
            for table in (Segment, Gap, Quarantine, Garbage)
        )


def _object(store: Store, name: str, size_bytes: int, sha256: str | None) -> Finding | None:
    try:
        reader = store.open(name)
    except ObjectMissingError:
        return Finding("missing", f"{name} is in the index and not in the store")
    except StoreError as error:
        return _refused(name, error)
    try:
        if reader.size_bytes != size_bytes:
            return Finding("altered", f"{name} has {reader.size_bytes} bytes, the index says {size_bytes}")
        if sha256 is not None and _digest(reader) != sha256:
            return Finding("altered", f"{name} does not have the digest that was accepted")
    except StoreError as error:
        return _refused(name, error)
    finally:
        reader.close()
    return None


def _refused(name: str, error: StoreError) -> Finding:
    match error:
        case KeyGoneError():
            return Finding("keyless", str(error))
        case KeyDamagedError():
            return Finding("damaged_key", f"{name}: {error}")
        case AlteredError():
            return Finding("altered", str(error))
        case _:
            return Finding("unreadable", str(error))


def _digest(reader: ObjectReader) -> str:
    digest = hashlib.sha256()
    for offset in range(0, reader.size_bytes, _PIECE_BYTES):
        digest.update(reader.pread(offset, _PIECE_BYTES))
    return digest.hexdigest()


def _signatures(session: Session) -> Iterator[Finding]:
    agents = {row.id: enrolment.public_key(row) for row in session.scalars(select(Enrolment))}
    statement = select(SegmentManifestRow.segment_id, SegmentManifestRow.encoded)
    for segment_id, encoded in session.execute(statement.execution_options(yield_per=1000)):
        try:
            signed = decode(encoded)
            signed.verify(agents[signed.manifest.enrolment])
        except (ManifestError, KeyError) as error:
            yield Finding("signature", f"segment {segment_id}: {error}")


def _account(session: Session, archive: Archive) -> Iterator[Finding]:
    zone = archive.timezone(session)
    for hole in account.uncovered(session, archive.configurations):
        span = (
            f"{format_instant(hole.interval.start_us, zone)} .. {format_instant(hole.interval.end_us, zone)}"
        )
        yield Finding("uncovered", f"room {hole.room}, {hole.source}, {hole.track.value}: {span}")


def _links(session: Session) -> Iterator[Finding]:
    before = aliased(ChainLink)
    statement = (
        select(ChainLink, before.manifest_sha256)
        .outerjoin(
            before,
            (before.enrolment == ChainLink.enrolment)
            & (before.source == ChainLink.source)
            & (before.sequence == ChainLink.sequence - 1),
        )
        .where(ChainLink.sequence > 0)
        .order_by(ChainLink.enrolment, ChainLink.source, ChainLink.sequence)
    )
    for row in session.execute(statement.execution_options(yield_per=1000)):
        link: ChainLink = row[0]
        previous: str | None = row[1]
        place = f"{link.enrolment}/{link.source} sequence {link.sequence}"
        if previous is None:
            yield Finding("open_link", f"{place}: its predecessor has not arrived")
        elif previous != link.previous_sha256:
            yield Finding("broken_link", f"{place} does not name its predecessor")
