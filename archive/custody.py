"""The custody log: who did what to which footage or request, when; chained by hash.

An event is written in the transaction of what it tells about, and the head row is locked last
(invariant 7). It bears ids and salted commitments only, never a name or a contact, so that
anonymising a person later breaks no chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from archive.models import CustodyEvent, CustodyHead
from recorder.manifest import canonical

# The hash "before" the first event: the digest of nothing.
GENESIS = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Event:
    """One event before it has a place on the chain.

    `actor` is `user:ID`, `request:NUMBER`, `agent:ENROLMENT`, `cli:UID`,
    `webhook:NAME` or `system`; `subject` the
    thing done to (`segment:…`, `request:…`, `hold:…`, `user:…`); `date` the room's local ISO date.
    """

    action: str
    actor: str
    at_us: int
    room: str | None = None
    date: str | None = None
    subject: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def digest(sequence: int, event: Event, previous_sha256: str) -> str:
    """SHA-256 of the event's canonical JSON with its place and its predecessor."""
    document = {
        "sequence": sequence,
        "previous": previous_sha256,
        "action": event.action,
        "actor": event.actor,
        "at_us": event.at_us,
        "room": event.room,
        "date": event.date,
        "subject": event.subject,
        "details": dict(event.details),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def append(session: Session, *events: Event) -> int:
    """Chain events in the caller's transaction; returns the last sequence number.

    Durable when that transaction commits. Call it after every other lock of the transaction.
    """
    head = session.execute(select(CustodyHead).where(CustodyHead.id == 1).with_for_update()).scalar_one()
    sequence, previous = head.sequence, head.sha256
    rows = []
    for event in events:
        sequence += 1
        sha256 = digest(sequence, event, previous)
        rows.append(
            {
                "sequence": sequence,
                "at_us": event.at_us,
                "actor": event.actor,
                "action": event.action,
                "room": event.room,
                "date": event.date,
                "subject": event.subject,
                "details": canonical(dict(event.details)).decode(),
                "previous_sha256": previous,
                "sha256": sha256,
            }
        )
        previous = sha256
    if rows:
        session.execute(insert(CustodyEvent), rows)
        session.execute(
            update(CustodyHead).where(CustodyHead.id == 1).values(sequence=sequence, sha256=previous)
        )
        session.expire(head)
    return sequence


def as_event(row: CustodyEvent) -> Event:
    return Event(row.action, row.actor, row.at_us, row.room, row.date, row.subject, json.loads(row.details))


def verify(session: Session) -> Iterator[str]:
    """Walk the whole chain; yields one line for each break, edit or cut found. Silence is a clean chain."""
    previous, expected = GENESIS, 1
    for row in session.scalars(
        select(CustodyEvent).order_by(CustodyEvent.sequence).execution_options(yield_per=1000)
    ):
        if row.sequence != expected:
            yield f"custody: events {expected}..{row.sequence - 1} are missing"
        if row.previous_sha256 != previous:
            yield f"custody: event {row.sequence} does not follow the one before it"
        if digest(row.sequence, as_event(row), row.previous_sha256) != row.sha256:
            yield f"custody: event {row.sequence} was altered"
        previous, expected = row.sha256, row.sequence + 1
    head = session.get(CustodyHead, 1)
    if head is None or head.sequence != expected - 1 or head.sha256 != previous:
        yield "custody: the head does not match the last event: the chain was shortened or extended"
