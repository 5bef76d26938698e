"""Uploads that meet a purge, their own twin or a fork: no held object loses its key, none is left over."""

from __future__ import annotations

from contextlib import closing
from datetime import date

import pytest
from sqlalchemy import select

from archive import reindex as rebuilding
from archive.check import check
from archive.ingest import Ingest
from archive.models import Gap, Quarantine, Segment
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from recorder.manifest import GapManifest, sign
from retention import holds, purge
from tests.footage import FakeAgent

NOON = local_midnight_us(date(2026, 11, 20), "Europe/Kyiv") + 720 * US_PER_MINUTE
DUE = local_midnight_us(date(2026, 12, 20), "Europe/Kyiv")
LATE = DUE - US_PER_SECOND


@pytest.fixture
def agent(archive):
    return FakeAgent(archive)


def hold(archive) -> None:
    order = holds.HoldOrder("108", Interval(NOON, NOON + US_PER_SECOND), "a complaint", "order 1", "user:3")
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], LATE)


def run(archive) -> None:
    report = purge.run(archive, actor="system", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    assert report.failures == []


def upload(archive, agent, signed, body, *, damaged=False, fault=lambda step: None):
    ingest = Ingest(archive, fault)
    begun = ingest.begin(
        "108", agent.key.token, signed.manifest.segment_id, signed.header, LATE, damaged=damaged
    )
    begun.write(body)
    return begun


def only(archive, table) -> str:
    with archive.database.reading() as session:
        return session.scalars(select(table.object_name)).one()


def content(archive, name) -> bytes:
    with closing(archive.store.open(name)) as reader:
        return reader.pread(0, reader.size_bytes)


def test_the_twin_that_ends_after_the_purge_leaves_the_held_segment_readable(archive, agent):
    signed, body = agent.segment(NOON)
    twin = upload(archive, agent, signed, body)
    agent.send(signed, body, LATE)
    hold(archive)
    run(archive)
    assert twin.finish(DUE).again
    assert content(archive, only(archive, Segment)) == body


def test_a_twin_that_is_named_after_the_purge_leaves_the_held_segment_readable(archive, agent):
    signed, body = agent.segment(NOON)

    def meanwhile(step: str) -> None:
        if step == "indexed":
            agent.send(signed, body, LATE)
            hold(archive)
            run(archive)

    assert upload(archive, agent, signed, body, fault=meanwhile).finish(LATE).again
    assert content(archive, only(archive, Segment)) == body
    run(archive)
    assert content(archive, only(archive, Segment)) == body


def test_a_refused_twin_that_ends_after_the_purge_leaves_the_held_one_readable(archive, agent):
    signed, body = agent.segment(NOON)
    twin = upload(archive, agent, signed, body, damaged=True)
    agent.send(signed, body, LATE, damaged=True)
    hold(archive)
    run(archive)
    assert twin.finish(DUE).outcome == "quarantined"
    assert content(archive, only(archive, Quarantine)) == body


def test_a_purged_day_takes_nothing_refused_in(archive, agent):
    agent.record(NOON)
    late = upload(archive, agent, *agent.segment(NOON + US_PER_MINUTE), damaged=True)
    run(archive)
    assert late.finish(DUE).outcome == "expired"
    with archive.database.reading() as session:
        assert session.scalars(select(Quarantine)).all() == []
    assert list(archive.store.names()) == []


def fork(agent, manifest, **changes):
    return sign(manifest.model_copy(update=changes), agent.key.signing_key())


def test_a_rebuilt_index_takes_no_fork_for_the_accepted_one(archive, agent, tmp_path):
    signed, body = agent.segment(NOON)
    agent.send(signed, body)
    forks = [fork(agent, signed.manifest, agent_version=f"fork {number}") for number in range(4)]
    for each in forks:
        media = body[: signed.manifest.media_bytes]
        assert agent.send(each, media + each.box).outcome == "quarantined"
    names = list(archive.store.names())
    settings = archive.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.sqlite'}"})
    with closing(Archive.open(settings, migrate=True, rebuild=True)) as new:
        report = rebuilding.reindex(new, "cli:0", LATE)
        assert (report.segments, report.quarantined, report.findings) == (1, 4, [])
        assert only(new, Segment) == only(archive, Segment)
        assert list(new.store.names()) == names


def test_a_fork_of_a_gap_leaves_no_object_that_no_row_names(archive, agent):
    signed = agent.gap(NOON, NOON + US_PER_MINUTE)
    agent.send(signed)
    assert isinstance(signed.manifest, GapManifest)
    assert agent.send(fork(agent, signed.manifest, cause="power_lost")).outcome == "quarantined"
    assert only(archive, Gap)
    assert [finding for finding in check(archive) if finding.kind == "foreign"] == []
