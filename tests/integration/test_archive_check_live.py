"""A check beside a server that works, and over a store that fails: what it says is so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select

from archive.check import check
from archive.local_store import LocalStore
from archive.models import Segment
from archive.sealed import SealedStore
from archive.store import StoreError
from recorder.instants import to_us
from tests.footage import SECOND, FakeAgent

T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))


def test_what_is_accepted_meanwhile_is_not_foreign(archive):
    agent = FakeAgent(archive)
    agent.record(T0)
    with archive.database.reading() as session:
        archive.store.delete([session.scalars(select(Segment.object_name)).one()])
    findings = check(archive)
    assert next(findings).kind == "missing"
    agent.record(T0 + 2 * SECOND)
    assert "foreign" not in {finding.kind for finding in findings}


class Failing(LocalStore):
    """A disk that reads nothing of footage."""

    def open(self, name):
        if name.startswith("_records/"):
            return super().open(name)
        raise StoreError(f"cannot read {name}: Input/output error")


def test_an_object_that_the_store_does_not_give_is_not_called_altered(archive):
    FakeAgent(archive).record(T0)
    failing = replace(archive, store=SealedStore(Failing(archive.store.raw.root), archive.store.keys))
    assert [finding.kind for finding in check(failing)] == ["unreadable"]
