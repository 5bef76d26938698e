"""The chain of certificates, walked: what `retention.certificate` signs is proven here, on the floor
of the index, so that one check sees all proofs together.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.checkpoint import chain_sha256
from archive.models import Certificate, Tombstone


def verify(session: Session, public_key: Ed25519PublicKey) -> Iterator[str]:
    """Walk all certificates; yields a line for each that is missing, altered, unsigned or misplaced,
    and for each tombstone that does not match its certificate. Silence is a clean chain.
    """
    buried: defaultdict[int | None, list[str]] = defaultdict(list)
    for number, body in session.execute(
        select(Tombstone.certificate_id, Tombstone.body).execution_options(yield_per=1000)
    ):
        buried[number].append(hashlib.sha256(body.encode()).hexdigest())
    expected, previous = 1, None
    statement = select(Certificate).order_by(Certificate.id).execution_options(yield_per=1000)
    for row in session.scalars(statement):
        if row.id != expected:
            yield f"certificates {expected}..{row.id - 1} are missing"
        if row.previous_sha256 != previous:
            yield f"certificate {row.id} does not follow the one before it"
        yield from _check(row, public_key, buried[row.id])
        expected, previous = row.id + 1, row.sha256


def _check(row: Certificate, public_key: Ed25519PublicKey, buried: list[str]) -> Iterator[str]:
    if chain_sha256(row.body, row.signature) != row.sha256:
        yield f"certificate {row.id} was altered"
    try:
        public_key.verify(base64.b64decode(row.signature), row.body.encode())
        document = json.loads(row.body)
        told = (document["number"], document["room"]["id"], document["date"], document["previous"])
        promised = document["tombstone_sha256"]
    except (InvalidSignature, ValueError, KeyError, TypeError):
        yield f"certificate {row.id} bears no valid signature of this server's key"
        return
    if told != (row.id, row.room, row.date, row.previous_sha256):
        yield f"certificate {row.id} is filed under another number, room or date than it was signed for"
    if buried != [promised]:
        yield f"certificate {row.id}: its tombstone is missing or was altered"
