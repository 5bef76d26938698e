"""Certificates of purge: what was destroyed, what was kept and why, signed by the server, chained.

A certificate is written only when every object of its tombstone is gone from the store. It tells
ids of holds and digests, never a reason, a person or content, and it speaks for this system alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import custody
from archive.checkpoint import chain_sha256
from archive.models import Certificate, Garbage, Tombstone
from archive.system import Archive
from recorder.manifest import canonical

FORMAT_VERSION = 1
SCOPE = {
    "uk": "Знищено в цій системі. Інші пристрої, що записували це приміщення, названо в also_recorded_by.",
    "en": "Destroyed in this system. Other recorders of this room are named in also_recorded_by.",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate's canonical JSON (without the signature), its signature, and the SHA-256 of both
    together, by which the next certificate refers to it.
    """

    encoded: str
    signature: str
    sha256: str


def body(
    tombstone: Mapping[str, Any],
    *,
    number: int,
    previous_sha256: str | None,
    room_label: str,
    also_recorded_by: Iterable[str],
    issued_us: int,
) -> dict[str, Any]:
    """The certificate of a tombstone's body (`retention.tombstone`). Pure; times in UTC microseconds.

    `destroyed.start_us` and `end_us` bound what was destroyed; both are null where nothing was.
    """
    stored = [*tombstone["segments"], *tombstone["quarantined"]]
    intervals = [*tombstone["segments"], *tombstone["gaps"]]
    return {
        "format": FORMAT_VERSION,
        "number": number,
        "previous": previous_sha256,
        "room": {"id": tombstone["room"], "label": room_label},
        "date": tombstone["date"],
        "due_us": tombstone["due_us"],
        "purged_us": tombstone["purged_us"],
        "issued_us": issued_us,
        "clock": tombstone["clock"],
        "destroyed": {
            "segments": len(tombstone["segments"]),
            "quarantined": len(tombstone["quarantined"]),
            "gap_records": len(tombstone["gaps"]),
            "size_bytes": sum(each["size_bytes"] for each in stored),
            "start_us": min((each["start_us"] for each in intervals), default=None),
            "end_us": max((each["end_us"] for each in intervals), default=None),
            "objects_sha256": digest_of(each["sha256"] for each in stored),
        },
        "kept": tombstone["kept"],
        "also_recorded_by": list(also_recorded_by),
        "scope": SCOPE,
        "configuration_version": tombstone["configuration_version"],
        "plan_sha256": tombstone["plan_sha256"],
        "tombstone_sha256": hashlib.sha256(canonical(dict(tombstone))).hexdigest(),
    }


def digest_of(hashes: Iterable[str]) -> str:
    """SHA-256 of the objects' SHA-256 in hex, sorted, one a line: recomputable from the tombstone."""
    return hashlib.sha256("".join(f"{each}\n" for each in sorted(hashes)).encode()).hexdigest()


def sign(document: dict[str, Any], key: Ed25519PrivateKey) -> Signed:
    encoded = canonical(document)
    signature = base64.b64encode(key.sign(encoded)).decode()
    return Signed(encoded.decode(), signature, chain_sha256(encoded.decode(), signature))


def issue(session: Session, archive: Archive, tombstone_id: int, *, actor: str, now_us: int) -> int | None:
    """Sign and link the certificate of a tombstone, in the caller's writing transaction.

    Returns its number, or None when there is nothing to certify yet or any more: it bears one
    already, or objects of its room-day still wait to be unlinked.
    """
    # The head is this transaction's only contended lock. It comes first, because it also makes
    # certificate numbers gapless when two processes issue at once.
    custody.append(session)
    row = session.get_one(Tombstone, tombstone_id, populate_existing=True)
    waiting = select(Garbage.object_name).where(Garbage.room == row.room, Garbage.date == row.date).limit(1)
    if row.certificate_id is not None or session.scalar(waiting) is not None:
        return None
    tombstone = json.loads(row.body)
    configuration = archive.configurations.room(session, row.room, tombstone["configuration_version"])
    last = session.scalars(select(Certificate).order_by(Certificate.id.desc()).limit(1)).one_or_none()
    number = 1 if last is None else last.id + 1
    previous = None if last is None else last.sha256
    document = body(
        tombstone,
        number=number,
        previous_sha256=previous,
        room_label=configuration.room.label,
        also_recorded_by=configuration.room.also_recorded_by,
        issued_us=now_us,
    )
    signed = sign(document, archive.server_key)
    session.add(
        Certificate(
            id=number,
            room=row.room,
            date=row.date,
            created_us=now_us,
            body=signed.encoded,
            signature=signed.signature,
            sha256=signed.sha256,
            previous_sha256=previous,
        )
    )
    row.certificate_id = number
    session.flush()
    custody.append(
        session,
        custody.Event(
            "purge_certified",
            actor,
            now_us,
            room=row.room,
            date=row.date,
            subject=f"certificate:{number}",
            details={"sha256": signed.sha256, "tombstone": tombstone_id},
        ),
    )
    return number


def uncertified(session: Session) -> int:
    """Tombstones whose objects are not gone, or whose certificate is not signed, yet."""
    statement = select(func.count()).select_from(Tombstone).where(Tombstone.certificate_id.is_(None))
    return session.scalar(statement) or 0
