"""Where the custody log of a rebuilt index begins: its first event, signed by the server.

The events of the old index are lost with it; its checkpoints and certificates are not. The mark names the
last of each, so that the new log is bound to them, and `check --custody` asks no event to vouch for what came
before. It is signed, because whoever can write the database could else drop the log and call that a rebuild.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.models import Certificate, CustodyCheckpoint, CustodyEvent
from recorder.manifest import canonical

ACTION = "index_rebuilt"


@dataclass(frozen=True, slots=True)
class Origin:
    """The last checkpoint and certificate of the index before, by number and digest; 0 is none."""

    rebuilt_us: int
    checkpoint: int
    checkpoint_sha256: str | None
    certificate: int
    certificate_sha256: str | None


def mark(session: Session, key: Ed25519PrivateKey, rebuilt_us: int) -> dict[str, Any]:
    """Details for the first event of a log that begins over the checkpoints and certificates of the index."""
    checkpoint = session.execute(
        select(CustodyCheckpoint.number, CustodyCheckpoint.sha256).order_by(CustodyCheckpoint.number.desc())
    ).first()
    certificate = session.execute(
        select(Certificate.id, Certificate.sha256).order_by(Certificate.id.desc())
    ).first()
    log = {
        "rebuilt_us": rebuilt_us,
        "checkpoint": checkpoint[0] if checkpoint else 0,
        "checkpoint_sha256": checkpoint[1] if checkpoint else None,
        "certificate": certificate[0] if certificate else 0,
        "certificate_sha256": certificate[1] if certificate else None,
    }
    return {"log": log, "signature": base64.b64encode(key.sign(_signed(log))).decode()}


def read(session: Session, key: Ed25519PublicKey) -> Origin | None:
    """Where the log begins; None for one that was never rebuilt, or whose mark this server has not signed."""
    details = _details(session)
    try:
        document = json.loads(details or "")
        log = document["log"]
        key.verify(base64.b64decode(document["signature"]), _signed(log))
        return Origin(**log)
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature):
        return None


def is_unsigned(session: Session, key: Ed25519PublicKey) -> bool:
    """Whether the log says that it was rebuilt, and this server does not."""
    return _details(session) is not None and read(session, key) is None


def _details(session: Session) -> str | None:
    return session.scalar(
        select(CustodyEvent.details).where(CustodyEvent.sequence == 1, CustodyEvent.action == ACTION)
    )


def _signed(log: Any) -> bytes:
    return canonical({"log_begins": log})
