"""An acceptance killed between any two steps: nothing half is visible, the next try is accepted once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from archive import custody
from archive.check import check
from archive.models import ChainLink, CustodyEvent, Gap, SampleIndex, Segment, SegmentManifestRow
from archive.upload import STEPS
from recorder.instants import to_us
from tests.footage import SECOND, FakeAgent, make_archive

ROOT = Path(__file__).parents[2]
T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
# From this step on the object bears its name; only after the last one the row is there.
FIRST_STORED, COMMITTED = "stored", "committed"
GAP_STEPS = ("judged", "locked", "inserted", "committed")


def kill_at(step, directory, agent, signed, body):
    upload = {
        "room_id": agent.room,
        "token": agent.key.token,
        "segment_id": signed.manifest.segment_id,
        "header": signed.header,
        "at_us": signed.manifest.end_us + SECOND,
    }
    (directory / "upload.json").write_text(json.dumps(upload), "utf-8")
    (directory / "body").write_bytes(body)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.integration.accept_killed_run", directory, step],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def rows_of(archive, segment_id):
    """How many rows of each kind tell of the segment; all or none."""
    with archive.database.reading() as session:
        return [
            len(list(session.scalars(select(column).where(column == value))))
            for column, value in (
                (Segment.id, segment_id),
                (SegmentManifestRow.segment_id, segment_id),
                (SampleIndex.segment_id, segment_id),
                (ChainLink.manifest_id, segment_id),
                (CustodyEvent.subject, f"segment:{segment_id}"),
            )
        ]


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_acceptance_is_whole_or_not_there(tmp_path, step):
    archive = make_archive(tmp_path)
    agent = FakeAgent(archive)
    before = agent.record(T0)
    signed, body = agent.segment(T0 + 2 * SECOND)
    segment_id = signed.manifest.segment_id
    kill_at(step, tmp_path, agent, signed, body)

    committed = step == COMMITTED
    assert rows_of(archive, before) == [1] * 5
    assert rows_of(archive, segment_id) == [int(committed)] * 5
    stored = [name for name in archive.store.names() if segment_id in name]
    assert len(stored) == (STEPS.index(step) >= STEPS.index(FIRST_STORED))
    assert archive.store.sweep(alone=True) == (not stored)
    foreign = [finding.kind for finding in check(archive, deep=True)]
    assert foreign == (["foreign"] if stored and not committed else [])

    answer = agent.send(signed, body)
    assert (answer.outcome, answer.again) == ("accepted", committed)
    assert rows_of(archive, segment_id) == [1] * 5
    assert archive.store.sweep(alone=True) == 0
    assert list(check(archive, deep=True)) == []
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []
    archive.close()


@pytest.mark.parametrize("step", GAP_STEPS)
def test_a_killed_gap_is_whole_or_not_there(tmp_path, step):
    archive = make_archive(tmp_path)
    agent = FakeAgent(archive)
    signed = agent.gap(T0, T0 + 2 * SECOND)
    kill_at(step, tmp_path, agent, signed, b"")
    with archive.database.reading() as session:
        gaps = list(session.scalars(select(Gap.id)))
    assert len(gaps) == (step == COMMITTED)
    answer = agent.send(signed)
    assert (answer.outcome, answer.again) == ("accepted", step == COMMITTED)
    assert list(check(archive, deep=True)) == []
    archive.close()
