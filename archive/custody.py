"""The custody log: who did what to which footage or request, when; chained by hash.

An event is written in the transaction of what it tells about, and the head row is locked last
(invariant 7). It bears ids and salted commitments only, never a name or a contact, so that
anonymising a person later breaks no chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from archive.models import CustodyEvent, CustodyHead
from recorder.manifest import canonical

# The hash "before" the first event: the digest of nothing.
GENESIS = hashlib.sha256(b"").hexdigest()

_COLUMNS = (
    CustodyEvent.sequence, CustodyEvent.action, CustodyEvent.actor, CustodyEvent.at_us, CustodyEvent.date,
    CustodyEvent.details, CustodyEvent.room, CustodyEvent.subject, CustodyEvent.previous_sha256,
    CustodyEvent.sha256,
)  # fmt: skip
_ROWS_AT_ONCE = 2000
# RFC 8785 escapes strings and writes integers as this does.
_json = json.JSONEncoder(ensure_ascii=False, default=repr).encode


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


def verify(session: Session, see: Callable[[Row[Any]], None] | None = None) -> Iterator[str]:
    """Walk the whole chain, streaming; a line for each break, edit or cut found. Silence is a clean chain.

    `see` is shown every row that has a place on the chain, as it is stored. What the database holds is
    taken for whatever somebody may have put there: nothing in a row makes the walk stop.
    """
    previous, expected = GENESIS, 1
    row: Any
    for row in session.execute(
        select(*_COLUMNS).order_by(CustodyEvent.sequence).execution_options(yield_per=_ROWS_AT_ONCE)
    ):
        sequence = row.sequence
        if not isinstance(sequence, int) or sequence < expected:
            yield f"custody: event {sequence!r} has no place in the chain"
            continue
        if sequence > expected:
            yield f"custody: events {expected}..{sequence - 1} are missing"
        if row.previous_sha256 != previous:
            yield f"custody: event {sequence} does not follow the one before it"
        if _digest_as_stored(row) != row.sha256:
            yield f"custody: event {sequence} was altered"
        if see is not None:
            see(row)
        previous, expected = row.sha256, sequence + 1
    head = session.execute(select(CustodyHead.sequence, CustodyHead.sha256)).all()
    if [tuple(each) for each in head] != [(expected - 1, previous)]:
        yield "custody: the head does not match the last event: the chain was shortened or extended"


def _digest_as_stored(row: Row[Any]) -> str:
    """`digest` of the row, without parsing its details: they are canonical already, or were written by
    somebody else, and then their very bytes matter.
    """
    encoded = (
        f'{{"action":{_json(row.action)},"actor":{_json(row.actor)},"at_us":{_json(row.at_us)},'
        f'"date":{_json(row.date)},"details":{row.details},"previous":{_json(row.previous_sha256)},'
        f'"room":{_json(row.room)},"sequence":{row.sequence},"subject":{_json(row.subject)}}}'
    )
    return hashlib.sha256(encoded.encode("utf-8", "replace")).hexdigest()
