"""The rows of a due room-day, replaced by one tombstone: ids, times and hashes, never content.

Works inside the purge's transaction, on what the policy decided under the room-day's lock.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from archive.models import (
    Derived,
    Gap,
    Garbage,
    Quarantine,
    RoomDay,
    SampleIndex,
    Segment,
    SegmentManifestRow,
    Tombstone,
)
from recorder.manifest import canonical
from retention.facts import batches
from retention.policy import Decision, Kind

# What goes with a segment, after the transaction that decides.
_LEAVES = (SampleIndex, SegmentManifestRow, Derived)


def bury(
    session: Session, day: RoomDay, decision: Decision, *, plan_sha256: str, clock: str, now_us: int
) -> Tombstone:
    """Delete the rows of everything that `decision` destroys, and list its objects as garbage.

    What is kept stays whole: row, manifest, sample index, thumbnails. Chain links stay, so that the chain
    of manifests can be walked for ever. Objects are untouched until the transaction has committed, and so are
    manifests, sample indexes and rows of thumbnails: `leaves` tells which are to be deleted then.
    """
    ids = {kind: [item.id for item in decision.destroy if item.kind is kind] for kind in Kind}
    segments = _segments(session, day, set(ids[Kind.SEGMENT]))
    quarantined = _quarantined(session, ids[Kind.QUARANTINE])
    gaps = _gaps(session, ids[Kind.GAP])
    # The objects' names leave the rows here: they are garbage's to tell, not the tombstone's.
    names = [row.pop("object_name") for row in [*segments, *quarantined, *gaps]]
    garbage = [
        {"object_name": name, "room": day.room, "date": day.date, "created_us": now_us}
        for name in names
        if name is not None
    ]
    document = {
        "room": day.room,
        "date": day.date,
        "due_us": day.due_us,
        "purged_us": now_us,
        "clock": clock,
        "configuration_version": day.configuration_version,
        "plan_sha256": plan_sha256,
        "segments": segments,
        "quarantined": quarantined,
        "gaps": gaps,
        "kept": [
            {"hold": hold, "items": [[str(item.kind), item.id] for item in items]}
            for hold, items in decision.held_by.items()
        ],
    }
    if garbage:
        # Into the table: as entities they would take longer, and ingest waits.
        session.execute(insert(Garbage.metadata.tables[Garbage.__tablename__]), garbage)
    _delete_rows(session, ids)
    tombstone = Tombstone(room=day.room, date=day.date, purged_us=now_us, body=canonical(document).decode())
    session.add(tombstone)
    day.state = "purged"
    day.purged_us = now_us if day.purged_us is None else day.purged_us
    day.revision += 1
    session.flush()
    return tombstone


def buried(session: Session, room: str, date: str) -> tuple[str, ...]:
    """How the files of all that the room-day's tombstones tell of begin: whole names are not in them."""
    found: list[str] = []
    for body in session.scalars(select(Tombstone.body).where(Tombstone.room == room, Tombstone.date == date)):
        told = json.loads(body)
        found += (f"{each['id']}-" for each in (*told["segments"], *told["gaps"]))
        for each in told["quarantined"]:
            # What was refused after it had its name keeps that.
            found += (f"q-{each['claimed_id']}-{each['sha256'][:16]}", f"{each['claimed_id']}-")
    return tuple(found)


def leaves(session: Session, tombstone_id: int) -> list[str]:
    """The segments of a tombstone of which a manifest, a sample index or a row of thumbnails is left."""
    body = json.loads(session.get_one(Tombstone, tombstone_id).body)
    found: set[str] = set()
    for batch in batches(each["id"] for each in body["segments"]):
        for table in _LEAVES:
            found.update(session.scalars(select(table.segment_id).where(table.segment_id.in_(batch))))
    return sorted(found)


def strip(session: Session, segments: list[str]) -> None:
    """Delete what `leaves` tells of segments that are in the index no more."""
    for table in _LEAVES:
        session.execute(
            delete(table).where(
                table.segment_id.in_(segments), ~exists().where(Segment.id == table.segment_id)
            )
        )


def _delete_rows(session: Session, ids: dict[Kind, list[str]]) -> None:
    for batch in batches(ids[Kind.SEGMENT]):
        session.execute(delete(Segment).where(Segment.id.in_(batch)))
    for batch in batches(ids[Kind.GAP]):
        session.execute(delete(Gap).where(Gap.id.in_(batch)))
    for batch in batches(ids[Kind.QUARANTINE]):
        session.execute(delete(Quarantine).where(Quarantine.id.in_(map(int, batch))))


def _segments(session: Session, day: RoomDay, ids: set[str]) -> list[dict[str, Any]]:
    # The day whole, less what is kept: to ask for each of its segments by name takes three times as long.
    statement = select(
        Segment.id,
        Segment.source,
        Segment.run,
        Segment.start_us,
        Segment.end_us,
        Segment.size_bytes,
        Segment.file_sha256.label("sha256"),
        Segment.manifest_sha256,
        Segment.object_name,
    ).where(Segment.room == day.room, Segment.date == day.date)
    found = [dict(row) for row in session.execute(statement).mappings() if row["id"] in ids]
    return sorted(found, key=lambda row: row["id"])


def _quarantined(session: Session, ids: list[str]) -> list[dict[str, Any]]:
    statement = select(
        Quarantine.id,
        Quarantine.claimed_id,
        Quarantine.size_bytes,
        Quarantine.sha256,
        Quarantine.received_us,
        Quarantine.object_name,
    )
    return [
        row._asdict()
        for batch in batches(ids)
        for row in session.execute(statement.where(Quarantine.id.in_(map(int, batch))))
    ]


def _gaps(session: Session, ids: list[str]) -> list[dict[str, Any]]:
    statement = select(Gap.id, Gap.source, Gap.start_us, Gap.end_us, Gap.tracks, Gap.cause, Gap.object_name)
    return [
        row._asdict() for batch in batches(ids) for row in session.execute(statement.where(Gap.id.in_(batch)))
    ]
