"""A day with thumbnails, from its noon to what becomes of them after its due midnight."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import select

from archive import derived
from archive.models import Job, Segment
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, local_midnight_us
from retention import holds, purge
from tests.dying import Killed
from tests.thumbnails import derive_now

NOON = local_midnight_us(date(2026, 11, 20), "Europe/Kyiv") + 720 * US_PER_MINUTE
DUE = local_midnight_us(date(2026, 12, 20), "Europe/Kyiv")
LATER = local_midnight_us(date(2026, 12, 21), "Europe/Kyiv")


def names(archive: Archive) -> list[str]:
    return [name for name in archive.store.names() if name.endswith(derived.SUFFIX)]


def job_rows(archive: Archive) -> dict[str, str]:
    with archive.database.reading() as session:
        return {job.key: job.state for job in session.scalars(select(Job))}


def contents(archive: Archive, segment_id: str) -> derived.Contents:
    with archive.database.reading() as session:
        return derived.read(archive.store, session.get_one(Segment, segment_id).object_name)


def release(archive: Archive, number: int) -> None:
    with archive.database.transaction() as session:
        holds.release(session, archive, number, actor="user:3", reason="decided", now_us=DUE)


def destroy(archive: Archive, now_us: int = DUE) -> None:
    report = purge.run(archive, actor="system", now_us=now_us, confirm=purge.plan(archive, now_us).digest)
    assert report.failures == []


def die_in_purge(archive: Archive, step: str) -> None:
    confirm = purge.plan(archive, DUE).digest
    with pytest.raises(Killed):
        purge.run(archive, actor="system", now_us=DUE, confirm=confirm, fault=dying_at(step))


def killed(archive: Archive, segment_id: str, step: str) -> None:
    with pytest.raises(Killed):
        derive_now(archive, segment_id, fault=dying_at(step))


def dying_at(step: str):
    def fault(reached: str) -> None:
        if reached == step:
            raise Killed

    return fault
