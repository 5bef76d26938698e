"""Accept and purge on a disk with a little less room than they need, whatever that little is."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import func, select

from archive import ballast
from archive.check import check
from archive.disk_errors import DatabaseFullError
from archive.models import Segment, Tombstone
from archive.store import StoreFullError
from archive.system import Archive
from recorder.instants import local_midnight_us, to_us
from retention import purge
from tests.footage import SECOND, FakeAgent, make_archive

pytestmark = pytest.mark.root
T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
DUE = local_midnight_us(date(2026, 12, 20), "Europe/Kyiv")


@pytest.fixture
def disk(tmp_path):
    """A file system of 64 MiB: room for all that is accepted in the end."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", directory], check=True)
    yield directory
    # Lazily: an archive that a failed test has left open must not keep it.
    subprocess.run(["umount", "--lazy", directory], check=True)


def fill(disk, leaving_bytes):
    """A stranger's file that leaves so much of the disk, in whole blocks."""
    path = disk / "of-somebody-else"
    free = shutil.disk_usage(disk).free
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leaving_bytes))
    return path


def segments(archive):
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Segment))


def test_an_acceptance_that_finds_no_room_at_any_step_leaves_nothing_half(disk):
    archive = make_archive(disk)
    agent = FakeAgent(archive)
    agent.record(T0)
    refused = {StoreFullError: 0, DatabaseFullError: 0}
    accepted = 1
    signed, body = agent.segment(T0 + 2 * SECOND)
    # Past what one acceptance needs: its object, and pages of the database and its log.
    enough_kb = len(body) // 1024 + 300
    for leaving_kb in (*range(0, len(body) // 1024, 48), *range(len(body) // 1024, enough_kb, 12)):
        # What the database has grown its log to would be used again: each starts without one.
        archive.database.settle()
        stranger = fill(disk, leaving_kb * 1024)
        try:
            answer = agent.send(signed, body)
        except (StoreFullError, DatabaseFullError) as error:
            refused[type(error)] += 1
            stranger.unlink()
            assert archive.store.sweep(alone=True) == 0, "a temporary object was left"
            assert segments(archive) == accepted
            answer = agent.send(signed, body)
        else:
            stranger.unlink()
        assert (answer.outcome, answer.again) == ("accepted", False)
        accepted += 1
        assert segments(archive) == accepted
        assert list(check(archive, deep=True)) == []
        signed, body = agent.segment(T0 + 2 * SECOND * accepted)
    assert refused[StoreFullError] > 0, refused
    assert refused[DatabaseFullError] > 0, refused
    archive.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_purge_runs_on_a_full_disk_by_its_ballast(disk, restarted):
    archive = make_archive(disk)
    agent = FakeAgent(archive)
    for place in range(8):
        agent.record(T0 + place * 2 * SECOND)
    assert ballast.lay(archive.database)
    archive.database.settle()
    fill(disk, 0)
    with pytest.raises((StoreFullError, DatabaseFullError)):
        agent.record(T0 + 100 * SECOND)
    if restarted:
        archive.close()
        archive = Archive.open(archive.settings)
    report = purge.run(archive, actor="system", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    assert report.failures == []
    assert list(archive.store.names()) == []
    with archive.database.reading() as session:
        assert [row.certificate_id for row in session.scalars(select(Tombstone))] == [1]
    assert list(check(archive)) == []
    assert (disk / "ballast").exists(), "it is laid again once there is room"
    archive.close()


def test_a_ballast_that_was_cut_off_is_laid_to_its_end(archive):
    path = archive.database.file.with_name("ballast")
    path.touch()
    assert ballast.lay(archive.database)
    assert path.stat().st_size > 0
