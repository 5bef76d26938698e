"""A chain may arrive in any order, in pieces, twice: what the archive holds in the end is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from archive.check import check
from archive.ingest import Ingest
from archive.models import ChainLink, CustodyEvent, Enrolment, Gap, Quarantine, Segment
from archive.upload import Answer
from recorder.manifest import SignedManifest
from tests.footage import SECOND, FakeAgent, make_archive, unsigned

BASE = 1_790_000_000 * SECOND
LATER = BASE + 600 * SECOND


def send(archive, agent: FakeAgent, claimed: str, signed: SignedManifest, body: bytes) -> Answer:
    begun = Ingest(archive).begin(agent.room, agent.key.token, claimed, signed.header, LATER)
    if isinstance(begun, Answer):
        return begun
    begun.write(body)
    return begun.finish(LATER)


def holdings(archive) -> tuple[object, ...]:
    """All that was decided, but for the order in which it came; which of two overlapping came second is
    part of that order.
    """
    with archive.database.reading() as session:
        links = select(ChainLink.enrolment, ChainLink.source, ChainLink.sequence, ChainLink.manifest_sha256)
        segments = select(Segment.id, Segment.file_sha256, Segment.object_name)
        refused = select(Quarantine.claimed_id, Quarantine.code, Quarantine.sha256)
        return (
            sorted(map(tuple, session.execute(links))),
            sorted(map(tuple, session.execute(segments))),
            sorted(session.scalars(select(Gap.id))),
            sorted(map(tuple, session.execute(refused))),
            sorted(session.scalars(select(CustodyEvent.action))),
            sorted(archive.store.names()),
            [finding for finding in check(archive) if finding.kind != "uncovered"],
        )


def test_the_order_of_arrival_decides_nothing() -> None:
    with tempfile.TemporaryDirectory() as directory:
        first = make_archive(_made(directory, "first"))
        old, new = FakeAgent(first), FakeAgent(first)
        entries = []
        for agent in (old, new):
            for number in range(3):
                signed, body = agent.segment(BASE + (2 * number + agent.sequence // 3) * SECOND)
                entries.append((agent, signed.manifest.segment_id, signed, body))
            gap = agent.gap(BASE + 20 * SECOND, BASE + 30 * SECOND)
            entries.append((agent, gap.manifest.segment_id, gap, b""))
        # Refused whenever they come: nobody's signature, another's address.
        stray, body = new.segment(BASE + 40 * SECOND)
        forged = unsigned(stray)
        entries.append((new, stray.manifest.segment_id, forged, body))
        wrong, body = old.segment(BASE + 50 * SECOND)
        entries.append((old, entries[0][1], wrong, body))
        expected, numbers = None, range(len(entries))

        @settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
        @given(st.permutations(numbers), st.lists(st.sampled_from(numbers), max_size=8))
        def deliver(order: list[int], again: list[int]) -> None:
            nonlocal expected
            with tempfile.TemporaryDirectory(dir=directory) as fresh:
                archive = _copy_of(first, Path(fresh))
                for number in [*order, *again]:
                    agent, claimed, signed, body = entries[number]
                    assert send(archive, agent, claimed, signed, body).outcome in ("accepted", "quarantined")
                found = holdings(archive)
                archive.close()
            expected = expected or found
            assert found == expected

        deliver()
        first.close()
        assert expected is not None
        assert len(expected[1]) == 6
        assert [code for _, code, _ in expected[3]]
        assert expected[6] == []


def _made(directory: str, name: str) -> Path:
    path = Path(directory) / name
    path.mkdir()
    return path


def _copy_of(archive, directory: Path):
    """Another archive with the same enrolments and nothing stored."""
    made = make_archive(directory)
    with archive.database.reading() as session, made.database.transaction() as target:
        for row in session.scalars(select(Enrolment)):
            values = {column.name: getattr(row, column.name) for column in Enrolment.__table__.columns}
            target.add(Enrolment(**values))
    with made.database.reading() as session:
        made.records.sync(session)
    return made


def test_a_fork_is_kept_apart_whichever_comes_second() -> None:
    """Here the order does decide which of the two stands; never is either lost, or both taken in."""
    for turned in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            archive = make_archive(Path(directory))
            agent = FakeAgent(archive)
            one = agent.segment(BASE)
            agent.sequence, agent.previous = 0, None
            two = agent.segment(BASE + 10 * SECOND)
            pair = [two, one] if turned else [one, two]
            outcomes = [agent.send(*each).outcome for each in [*pair, *pair]]
            assert outcomes == ["accepted", "quarantined"] * 2
            with archive.database.reading() as session:
                assert [row.code for row in session.scalars(select(Quarantine))] == ["fork"]
            assert len(list(archive.store.names())) == 2
            archive.close()
