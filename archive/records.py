"""What the index knows and no segment tells, kept beside the footage: `protokol archive reindex` needs it.

Holds, enrolled public keys, versions of the rooms file and proofs (archive.proofs) are small objects of the
raw store, each signed by the server's key together with its name, so that nobody with the store alone can add
a key, or pass one record off as another. They name nobody: a hold's reason, ground and author stay in its
row. Who has the store can still remove a record, or put an older one of the same name back: `check` tells
both while the index stands, and after its loss a person confirms the holds.

A record is written after the commit of what it tells about: the index is the truth, and a store that is away
must not keep a resident from asking for a recording. `sync` writes what such a moment, or a crash, has left
out: at the end of each purge. A hold that was let go in such a moment comes back with a
rebuilt index, where a person confirms all of them before anything is destroyed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from archive.models import Enrolment, Hold, RoomsVersion
from archive.store import RECORDS, ObjectMissingError, Store, StoreError
from recorder.logging import get_logger
from recorder.manifest import canonical

Kind = Literal["holds", "enrolments", "rooms", "checkpoints", "stamps", "certificates"]
# The certificate of a day of 1000 segments is 1 MB with its tombstone and links.
_MAX_BYTES = 64 << 20
_log = get_logger()


class RecordError(StoreError):
    """A record that this server did not sign, or that is not whole."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one archive. Safe to share between threads."""

    raw: Store
    server_key: Ed25519PrivateKey

    def keep(self, session: Session, row: Hold | Enrolment | RoomsVersion) -> None:
        """Write the row's record when the session's transaction has committed, and not if it does not.

        A store that fails then is logged; `sync` tries again.
        """

        def write(_session: Session) -> None:
            try:
                self._put(row)
            except StoreError as error:
                _log.warning("record_not_written", record=_name(row), error=error)

        event.listen(session, "after_commit", write, once=True)

    def sync(self, session: Session) -> int:
        """Write what of the index is missing in the store, or older there; how many. Durable on return.

        Deletes nothing: a record too many asks a person for a decision, one too few costs footage. Raises
        StoreError.
        """
        changed = 0
        for row in _rows(session):
            if self.stored(_name(row)) != _document(row):
                self._put(row)
                changed += 1
        return changed

    def any_rooms(self, session: Session) -> bool:
        """Whether a record of any rooms file can be read: every archive has one from its first opening on."""
        rows = session.scalars(select(RoomsVersion).order_by(RoomsVersion.version.desc()))
        return any(self.stored(_name(row)) is not None for row in rows)

    def differences(self, session: Session) -> Iterator[str]:
        """Names of records that are missing, other than the index says, or not signed by this server."""
        return (_name(row) for row in _rows(session) if self.stored(_name(row)) != _document(row))

    def names(self, kind: Kind) -> Iterator[str]:
        return self.raw.names(f"{RECORDS}/{kind}")

    def read(self, kind: Kind) -> Iterator[dict[str, Any]]:
        """The documents of a kind, in the order of their names. Raises RecordError, StoreError."""
        return (self.document(name) for name in self.names(kind))

    def _put(self, row: Hold | Enrolment | RoomsVersion) -> None:
        name = _name(row)
        if isinstance(row, Hold) and row.released_us is not None:
            self.raw.delete([name])
            return
        self.write(name, _document(row))

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Signed, and durable on return; what stands there is replaced. Raises StoreError."""
        signature = base64.b64encode(self.server_key.sign(_signed(name, document))).decode()
        writer = self.raw.writer(name)
        try:
            writer.write(canonical({"record": document, "signature": signature}))
            writer.commit()
        except StoreError:
            writer.abort()
            raise

    def stored(self, name: str) -> dict[str, Any] | None:
        """The document; None where there is none, or none that this server has signed. Raises StoreError."""
        try:
            return self.document(name)
        except (RecordError, ObjectMissingError):
            return None

    def document(self, name: str) -> dict[str, Any]:
        """Raises ObjectMissingError, RecordError, StoreError."""
        reader = self.raw.open(name)
        try:
            raw = reader.pread(0, min(reader.size_bytes, _MAX_BYTES))
        finally:
            reader.close()
        return _verified(name, raw, self.server_key.public_key())


def _signed(name: str, document: dict[str, Any]) -> bytes:
    """With the name: a record counts under its own alone, and nothing else that the key signs is a record."""
    return canonical({"name": name, "record": document})


def _verified(name: str, raw: bytes, key: Ed25519PublicKey) -> dict[str, Any]:
    try:
        envelope = json.loads(raw)
        document: dict[str, Any] = envelope["record"]
        key.verify(base64.b64decode(envelope["signature"]), _signed(name, document))
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature) as error:
        raise RecordError(
            f"{name} is not a record that this server has signed: restore it from a backup of the store"
        ) from error
    return document


def _rows(session: Session) -> Iterator[Hold | Enrolment | RoomsVersion]:
    yield from session.scalars(select(RoomsVersion).order_by(RoomsVersion.version))
    yield from session.scalars(select(Enrolment).order_by(Enrolment.id))
    yield from session.scalars(select(Hold).where(Hold.released_us.is_(None)).order_by(Hold.id))


def _name(row: Hold | Enrolment | RoomsVersion) -> str:
    match row:
        case Hold():
            return f"{RECORDS}/holds/{row.id}.json"
        case Enrolment():
            return f"{RECORDS}/enrolments/{row.id}.json"
        case RoomsVersion():
            return f"{RECORDS}/rooms/{row.version}.json"


def _document(row: Hold | Enrolment | RoomsVersion) -> dict[str, Any]:
    match row:
        case Hold():
            return {
                "id": row.id,
                "room": row.room,
                "start_us": row.start_us,
                "end_us": row.end_us,
                "request_id": row.request_id,
                "created_us": row.created_us,
                "expires_us": row.expires_us,
            }
        case Enrolment():
            return {
                "id": row.id,
                "room": row.room,
                "public_key": base64.b64encode(row.public_key).decode(),
                "token_sha256": row.token_sha256,
                "created_us": row.created_us,
                "revoked_us": row.revoked_us,
            }
        case RoomsVersion():
            return {
                "version": row.version,
                "text": row.text,
                "author": row.author,
                "created_us": row.created_us,
            }
