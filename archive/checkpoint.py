"""Daily signed checkpoints: where the custody chain stood, told to everybody.

Whoever can write the database can also reckon a whole chain anew. What was signed and published before
that, he cannot: a checkpoint binds every event up to its own, and checkpoints bind each other. Each is
an event of the chain as well, so that none can be taken out of it unseen.

A checkpoint is published as one file, the same bytes in the directory, on the public page and under the
time stamp: `{"checkpoint": {…}, "public_key": …, "sha256": …, "signature": …}`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive import custody, log_origin, proofs
from archive.models import CustodyCheckpoint, CustodyHead
from archive.system import Archive
from recorder.durable import make_directory, sync_directory, write_all
from recorder.errors import ProtokolError
from recorder.instants import local_date
from recorder.logging import get_logger
from recorder.manifest import ManifestError, canonical
from recorder.settings import Settings

FORMAT_VERSION = 1
ACTION = "checkpoint_signed"
_log = get_logger()


class CheckpointError(ProtokolError):
    """A checkpoint whose signature or form is not this server's."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a checkpoint says. `events` counts those since the checkpoint before; `sequence` and
    `head_sha256` are the place and the hash of the last one.
    """

    number: int
    date: str
    created_us: int
    sequence: int
    head_sha256: str
    events: int
    previous: str | None


def directory(settings: Settings) -> Path:
    return settings.data_dir / "checkpoints"


def public_key_text(key: Ed25519PublicKey) -> str:
    """The raw 32 bytes in base64, as it stands in each published file."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def public_key_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def make_checkpoint(archive: Archive, now_us: int) -> CustodyCheckpoint:
    """The checkpoint of the local date of `now_us`, signed now where there is none yet.

    Idempotent, also when two servers do it at once. On return its row is durable, and every checkpoint
    has its file in DATA_DIR/checkpoints; a file that differs is left alone and alarmed.
    """
    with archive.database.reading() as session:
        date = local_date(now_us, archive.timezone(session)).isoformat()
        row = _of_date(session, date)
    if row is None:
        with archive.database.transaction() as session:
            # Takes the head's lock: of two servers the second sees what the first has made.
            custody.append(session)
            row = _of_date(session, date) or _sign(session, archive, date, now_us)
        proofs.keep_checkpoint(archive.records, row)
    publish(archive)
    return row


def _of_date(session: Session, date: str) -> CustodyCheckpoint | None:
    return session.scalars(select(CustodyCheckpoint).where(CustodyCheckpoint.date == date)).one_or_none()


def _sign(session: Session, archive: Archive, date: str, now_us: int) -> CustodyCheckpoint:
    head = session.get_one(CustodyHead, 1, populate_existing=True)
    newest = select(CustodyCheckpoint).order_by(CustodyCheckpoint.number.desc()).limit(1)
    last = session.scalars(newest).one_or_none()
    previous = None if last is None else last.sha256
    number = 1 if last is None else last.number + 1
    origin = log_origin.read(session, archive.server_key.public_key())
    # Since a rebuild the events have new numbers.
    of_this_log = last is not None and (origin is None or last.number > origin.checkpoint)
    document = {
        "format": FORMAT_VERSION,
        "number": number,
        "date": date,
        "created_us": now_us,
        "sequence": head.sequence,
        "head_sha256": head.sha256,
        "events": head.sequence - (last.sequence if last is not None and of_this_log else 0),
        "previous": previous,
    }
    if origin is not None:
        # Whoever keeps the files sees why the events are fewer than they were.
        document["rebuilt_us"] = origin.rebuilt_us
    body = canonical(document)
    signature = base64.b64encode(archive.server_key.sign(body)).decode()
    row = CustodyCheckpoint(
        number=number,
        date=date,
        sequence=head.sequence,
        created_us=now_us,
        body=body.decode(),
        signature=signature,
        sha256=chain_sha256(body.decode(), signature),
        previous_sha256=previous,
    )
    session.add(row)
    session.flush()
    details = {"number": number, "sha256": row.sha256}
    event = custody.Event(ACTION, "system", now_us, subject=f"checkpoint:{date}", details=details)
    custody.append(session, event)
    return row


def chain_sha256(body: str, signature: str) -> str:
    """SHA-256 of the body and its signature, a line each: how the next of its kind refers to it."""
    return hashlib.sha256(f"{body}\n{signature}\n".encode()).hexdigest()


def read(row: CustodyCheckpoint, public_key: Ed25519PublicKey) -> Told:
    """What the row's signature vouches for. Raises CheckpointError for anything that it does not."""
    name = f"checkpoint {row.number} of {row.date}"
    try:
        public_key.verify(base64.b64decode(row.signature), row.body.encode())
        document = json.loads(row.body)
        told = Told(
            **{field: document[field] for field in Told.__slots__},
        )
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name} bears no valid signature of this server's key") from error
    filed = (row.number, row.date, row.sequence, row.created_us, row.previous_sha256)
    if filed != (told.number, told.date, told.sequence, told.created_us, told.previous):
        raise CheckpointError(f"{name} is filed under another place or date than it was signed for")
    if row.sha256 != chain_sha256(row.body, row.signature):
        raise CheckpointError(f"{name} was altered")
    return told


def document(row: CustodyCheckpoint, public_key: Ed25519PublicKey) -> bytes:
    """The published file: the same bytes for the same checkpoint, for ever. It can be read as UTF-8 JSON."""
    published: dict[str, Any] = {
        "checkpoint": json.loads(row.body),
        "public_key": public_key_text(public_key),
        "sha256": row.sha256,
        "signature": row.signature,
    }
    return json.dumps(published, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def parse(published: bytes, public_key: Ed25519PublicKey) -> CustodyCheckpoint:
    """The row of a published file, without a time stamp. Raises CheckpointError for one that is not ours."""
    try:
        document = json.loads(published)
        told = document["checkpoint"]
        row = CustodyCheckpoint(
            **{name: told[name] for name in ("number", "date", "sequence", "created_us")},
            previous_sha256=told["previous"],
            body=canonical(told).decode(),
            signature=document["signature"],
            sha256=document["sha256"],
        )
    except (ValueError, KeyError, TypeError, RecursionError, ManifestError) as error:
        raise CheckpointError("not a published checkpoint") from error
    read(row, public_key)
    return row


def publish(archive: Archive) -> None:
    """Write the files that are missing, durably: `DATE.json`, and `DATE.tsr` where there is a time stamp.

    A file that stands already is never written over: it may be the one true witness. Whether it agrees
    is for `check --custody` to say.
    """
    key, target = archive.server_key.public_key(), directory(archive.settings)
    make_directory(target)
    there = {path.name for path in target.iterdir()}
    with archive.database.reading() as session:
        known = session.execute(
            select(CustodyCheckpoint.number, CustodyCheckpoint.date, CustodyCheckpoint.time_stamp.is_(None))
        ).all()
    for number, date, unstamped in known:
        if f"{date}.json" in there and (unstamped or f"{date}.tsr" in there):
            continue
        with archive.database.reading() as session:
            row = session.get_one(CustodyCheckpoint, number)
        try:
            read(row, key)
        except CheckpointError as error:
            # What somebody has put into the database must not be published under our name.
            _log.critical("checkpoint_not_published", alarm=True, error=error)
            continue
        if f"{date}.json" not in there:
            _write_once(target / f"{date}.json", document(row, key))
        if row.time_stamp is not None and f"{date}.tsr" not in there:
            _write_once(target / f"{date}.tsr", row.time_stamp)


def _write_once(path: Path, content: bytes) -> None:
    """Durable on return; a file that stands there by then is left as it is. Anybody may read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
        # Unlike a rename, a link takes no other file's name.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink()
    sync_directory(path.parent)


def keep_time_stamp(archive: Archive, number: int, response: bytes) -> bool:
    """Durable on return; False where another server was first: then its time stamp stands."""
    statement = (
        update(CustodyCheckpoint)
        .where(CustodyCheckpoint.number == number, CustodyCheckpoint.time_stamp.is_(None))
        .values(time_stamp=response)
        .returning(CustodyCheckpoint.number)
    )
    with archive.database.transaction() as session:
        kept = session.execute(statement).first() is not None
        row = session.get_one(CustodyCheckpoint, number)
    proofs.keep_checkpoint(archive.records, row)
    return kept


def unstamped(archive: Archive) -> Iterator[CustodyCheckpoint]:
    """Checkpoints without a time stamp, the newest first: that is the one which matters."""
    with archive.database.reading() as session:
        statement = select(CustodyCheckpoint).where(CustodyCheckpoint.time_stamp.is_(None))
        yield from list(session.scalars(statement.order_by(CustodyCheckpoint.number.desc())))
