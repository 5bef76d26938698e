"""Enrolment: a room's signing key and token are made here, and the private half is not kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import Enrolment
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.keyfile import AgentKey
from recorder.manifest import enrolment_of


class NotEnrolledError(ProtokolError):
    """The token belongs to no enrolment of this room, or that enrolment was revoked."""


def enroll(archive: Archive, room_name: str, actor: str, now_us: int) -> AgentKey:
    """A new key and token for a room; the ones before stay valid until they are revoked, so that what
    an agent has spooled under them is still taken in. Raises UnknownRoomError.
    """
    private_key = Ed25519PrivateKey.generate()
    token = secrets.token_urlsafe(32)
    enrolment = enrolment_of(private_key.public_key())
    with archive.database.transaction() as session:
        _, rooms = archive.configurations.current(session)
        room = rooms.room(room_name)
        row = Enrolment(
            id=enrolment,
            room=room.id,
            public_key=private_key.public_key().public_bytes_raw(),
            token_sha256=_digest(token),
            created_us=now_us,
        )
        session.add(row)
        archive.records.keep(session, row)
        configuration = archive.configurations.signed(session, room.id, now_us)
        custody.append(
            session,
            custody.Event("agent_enrolled", actor, now_us, room=room.id, subject=f"enrolment:{enrolment}"),
        )
    return AgentKey(
        room=room.id,
        enrolment=enrolment,
        private_key=base64.b64encode(private_key.private_bytes_raw()).decode(),
        token=token,
        server_url=archive.settings.server_url,
        server_public_key=base64.b64encode(archive.server_key.public_key().public_bytes_raw()).decode(),
        configuration=configuration,
    )


def authenticate(session: Session, room_id: str, token: str) -> Enrolment:
    """The enrolment that the bearer token proves; raises NotEnrolledError."""
    row = session.scalars(select(Enrolment).where(Enrolment.token_sha256 == _digest(token))).one_or_none()
    if row is None or row.revoked_us is not None or not hmac.compare_digest(row.room, room_id):
        raise NotEnrolledError(
            f"the token is not that of an agent enrolled for room {room_id}; "
            "make a new one with: protokol agent enroll ROOM -o FILE"
        )
    return row


def public_key(row: Enrolment) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(row.public_key)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
