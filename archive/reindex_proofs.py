"""Checkpoints and certificates put back into a rebuilt index, from their records and from published files.

They bear signatures and chains of their own, which `check --custody` walks afterwards: nothing is judged here
but whether this server has signed it. What it has not is told and left where it lies.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import checkpoint, proofs
from archive.checkpoint import CheckpointError
from archive.inserting import insert_missing
from archive.models import Certificate, ChainLink, CustodyCheckpoint, Tombstone
from archive.postgresql import count_on
from archive.records import RecordError
from archive.system import Archive


def restore(archive: Archive, problems: list[str]) -> tuple[int, int]:
    """How many checkpoints and certificates; a line in `problems` for each record that is not ours.

    Durable on return. Raises StoreError.
    """
    with archive.database.transaction() as session:
        checkpoints = _checkpoints(session, archive, problems)
    certificates = 0
    for name in archive.records.names("certificates"):
        # Each in its own: a record holds the links of a day's thousand manifests.
        with archive.database.transaction() as session:
            try:
                certificates += _certificate(session, archive.records.document(name))
            except (RecordError, KeyError, TypeError, ValueError) as error:
                problems.append(f"{name} is not a certificate that this server has signed: {error}")
    with archive.database.transaction() as session:
        for counted in (Certificate.id, Tombstone.id):
            count_on(session, counted)
    return checkpoints, certificates


def _checkpoints(session: Session, archive: Archive, problems: list[str]) -> int:
    stamps: dict[int, bytes] = {}
    rows: list[CustodyCheckpoint] = []
    for name in [*archive.records.names("stamps"), *archive.records.names("checkpoints")]:
        try:
            document = archive.records.document(name)
            if "time_stamp" in document:
                stamps[document["number"]] = base64.b64decode(document["time_stamp"])
            else:
                rows.append(CustodyCheckpoint(**document))
        except (RecordError, KeyError, TypeError, ValueError) as error:
            problems.append(f"{name} is not a checkpoint that this server has signed: {error}")
    # Records first: where a file says otherwise, `check --custody` tells it.
    rows += _published(archive)
    numbers, dates = set[int](), set[str]()
    for row in rows:
        if row.number in numbers or row.date in dates:
            continue
        numbers.add(row.number)
        dates.add(row.date)
        row.time_stamp = row.time_stamp or stamps.get(row.number)
        session.add(row)
    session.flush()
    return len(numbers)


def _published(archive: Archive) -> Iterator[CustodyCheckpoint]:
    """The checkpoints of DATA_DIR/checkpoints that this server has signed."""
    key = archive.server_key.public_key()
    for path in sorted(checkpoint.directory(archive.settings).glob("*.json")):
        try:
            row = checkpoint.parse(path.read_bytes(), key)
        except (OSError, CheckpointError):
            continue
        try:
            row.time_stamp = path.with_suffix(".tsr").read_bytes()
        except OSError:
            row.time_stamp = None
        yield row


def _certificate(session: Session, document: dict[str, object]) -> bool:
    told, tombstone, links = document["certificate"], document["tombstone"], document["links"]
    if not (isinstance(told, dict) and isinstance(tombstone, dict) and isinstance(links, list)):
        raise TypeError("it has another form")
    row = Certificate(**told)
    if session.scalar(select(Certificate.id).where(Certificate.id == row.id)) is not None:
        return False
    session.add(row)
    session.add(Tombstone(**tombstone, room=row.room, date=row.date, certificate_id=row.id))
    session.flush()
    for link in links:
        insert_missing(session, ChainLink(**dict(zip(proofs.LINK_COLUMNS, link, strict=True))))
    return True
