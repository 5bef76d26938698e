"""What must be true of an archive whatever has happened to it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import select

from archive import certified as certificates
from archive import custody, derived
from archive.check import check
from archive.models import (
    Gap,
    Garbage,
    Quarantine,
    SampleIndex,
    Segment,
    SegmentManifestRow,
    Tombstone,
)
from archive.system import Archive
from retention import certificate
from tests.thumbnails import assert_thumbnails_go_with_their_segments

# What `check` may tell of an archive whose agents sent late, out of order or too late.
HARMLESS = {"open_link", "uncovered"}


def finished(archive: Archive, strays: set[str]) -> None:
    """After a whole run: objects and rows are one to one, but for these strays; no certificate is owed."""
    with archive.database.reading() as session:
        assert list(session.scalars(select(Garbage.object_name))) == []
        named = set(session.scalars(select(Segment.object_name)))
        for table in (Quarantine, Gap):
            named |= set(session.scalars(select(table.object_name)))
        assert certificate.uncertified(session) == 0
        segments = set(session.scalars(select(Segment.id)))
        for table in (SampleIndex, SegmentManifestRow):
            assert set(session.scalars(select(table.segment_id))) == segments
    objects = {name for name in archive.store.names() if derived.owner_of(name) == name}
    assert_thumbnails_go_with_their_segments(archive)
    assert named <= objects
    assert {name.split("/")[-1][:36] for name in objects - named} <= strays


def certified(archive: Archive, destroyed: Iterable[tuple[str, str]]) -> None:
    """The certificates are whole, and tell of everything that was destroyed, once."""
    with archive.database.reading() as session:
        bodies = [json.loads(body) for body in session.scalars(select(Tombstone.body))]
        assert list(certificates.verify(session, archive.server_key.public_key())) == []
    told = [("segment", each["id"]) for body in bodies for each in body["segments"]]
    told += [("quarantine", f"q-{each['claimed_id']}") for body in bodies for each in body["quarantined"]]
    told += [("gap", each["id"]) for body in bodies for each in body["gaps"]]
    assert sorted(told) == sorted(destroyed)


def chains(archive: Archive, *, strays: bool) -> None:
    """Every chain is whole, and every object what was accepted."""
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []
    harmless = HARMLESS | ({"foreign"} if strays else set())
    assert [each for each in check(archive, deep=True) if each.kind not in harmless] == []
