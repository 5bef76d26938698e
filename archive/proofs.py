"""Checkpoints, time stamps and certificates, kept beside the footage as records, for a rebuilt index.

A certificate's record bears its tombstone and the links of the chain that it buried: the objects that told of
them are destroyed. Unlike other records these never change, so one that stands is never written over: after a
backup of the database was put back it may be the one true witness, and `check` tells the difference.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.models import Certificate, ChainLink, CustodyCheckpoint, Tombstone
from archive.records import Kind, Records
from archive.store import RECORDS, ObjectMissingError, StoreError
from recorder.logging import get_logger

KINDS: tuple[Kind, ...] = ("checkpoints", "stamps", "certificates")
CHECKPOINT_COLUMNS = (
    "number", "date", "sequence", "created_us", "body", "signature", "sha256", "previous_sha256",
)  # fmt: skip
CERTIFICATE_COLUMNS = ("id", "room", "date", "created_us", "body", "signature", "sha256", "previous_sha256")
LINK_COLUMNS = (
    "enrolment", "source", "sequence", "manifest_id", "manifest_sha256", "previous_sha256",
)  # fmt: skip
# Well below the number of parameters that either database takes in one statement.
_BATCH = 500
_log = get_logger()
# None where the index has no whole proof to keep: `check --custody` tells that.
Document = Callable[[], dict[str, Any] | None]


def keep_checkpoint(records: Records, row: CustodyCheckpoint) -> None:
    """Write the record of a committed checkpoint, and of its time stamp.

    A store that fails is logged; `sync` tries again.
    """
    for name, document in _of_checkpoint(row):
        _keep(records, name, document)


def keep_certificate(records: Records, session: Session, number: int) -> None:
    """Write the record of a committed certificate, as `keep_checkpoint` does."""
    _keep(records, _name("certificates", number), partial(_certificate, session, number))


def sync(records: Records, session: Session) -> int:
    """Write the records that are missing; how many. Durable on return. Raises StoreError."""
    there = {name for kind in KINDS for name in records.names(kind)}
    written = 0
    for name, document in _all(session):
        made = None if name in there else document()
        if made is not None:
            records.write(name, made)
            written += 1
    return written


def differences(records: Records, session: Session) -> Iterator[str]:
    """Names of records that are missing, other than the index says, or not signed by this server."""
    for name, document in _all(session):
        made = document()
        if made is not None and records.stored(name) != made:
            yield name


def _keep(records: Records, name: str, document: Document) -> None:
    try:
        try:
            records.raw.open(name).close()
        except ObjectMissingError:
            made = document()
            if made is not None:
                records.write(name, made)
    except StoreError as error:
        _log.warning("record_not_written", record=name, error=error)


def _all(session: Session) -> Iterator[tuple[str, Document]]:
    rows = select(CustodyCheckpoint).order_by(CustodyCheckpoint.number)
    for row in session.scalars(rows):
        yield from _of_checkpoint(row)
    for number in session.scalars(select(Certificate.id).order_by(Certificate.id)):
        yield _name("certificates", number), partial(_certificate, session, number)


def _of_checkpoint(row: CustodyCheckpoint) -> Iterator[tuple[str, Document]]:
    yield _name("checkpoints", row.number), lambda: {name: getattr(row, name) for name in CHECKPOINT_COLUMNS}
    stamp = row.time_stamp
    if stamp is not None:
        encoded = base64.b64encode(stamp).decode()
        yield _name("stamps", row.number), lambda: {"number": row.number, "time_stamp": encoded}


def _certificate(session: Session, number: int) -> dict[str, Any] | None:
    row = session.get_one(Certificate, number)
    buried = session.scalars(select(Tombstone).where(Tombstone.certificate_id == number)).all()
    try:
        [tombstone] = buried
        told = json.loads(tombstone.body)
        ids = [each["id"] for each in (*told["segments"], *told["gaps"])]
    except (ValueError, KeyError, TypeError):
        return None
    found: list[ChainLink] = []
    for start in range(0, len(ids), _BATCH):
        found += session.scalars(
            select(ChainLink).where(ChainLink.manifest_id.in_(ids[start : start + _BATCH]))
        )
    found.sort(key=lambda link: (link.enrolment, link.source, link.sequence))
    return {
        "certificate": {name: getattr(row, name) for name in CERTIFICATE_COLUMNS},
        "tombstone": {"id": tombstone.id, "purged_us": tombstone.purged_us, "body": tombstone.body},
        "links": [[getattr(link, name) for name in LINK_COLUMNS] for link in found],
    }


def _name(kind: Kind, number: int) -> str:
    return f"{RECORDS}/{kind}/{number}.json"
