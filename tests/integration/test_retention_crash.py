"""A purge killed between any two steps: the next run finishes it, and held footage is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select

from archive import certified, custody, derived
from archive.check import check
from archive.keys import KeyGoneError
from archive.models import CustodyEvent, RoomDay, Segment, Tombstone
from archive.system import Archive
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from retention import holds, purge
from tests.footage import FakeAgent
from tests.thumbnails import derive_now, rows

# Each of these starts processes: twice is too long for every day.
pytestmark = pytest.mark.both_databases(slow=True)

ROOT = Path(__file__).parents[2]
MIDNIGHT = local_midnight_us(date(2026, 11, 20), "Europe/Kyiv")
DUE = local_midnight_us(date(2026, 12, 20), "Europe/Kyiv")
HELD_US = MIDNIGHT + 600 * US_PER_MINUTE

# After a kill at the step: is the day purged, how many of its four segments are there, is it certified?
# Three objects are due and unheld, one is held. A step that is not listed leaves what `assert_in_order` says.
LEFT_BEHIND = {
    "locked": ("open", 4, 0),
    "retained": ("open", 4, 0),
    "written": ("open", 4, 0),
    "committed": ("purged", 4, 0),
    "shredded": ("purged", 4, 0),
    "half_unlinked": ("purged", 2, 0),
    "unlinked": ("purged", 1, 0),
    "swept": ("purged", 1, 0),
    "signed": ("purged", 1, 0),
    "certified": ("purged", 1, 1),
}


def assert_in_order(state, objects, certificates):
    """Nothing is unlinked before the day is purged, nothing certified before all is unlinked."""
    assert state == "purged" or objects == 4
    assert not certificates or objects == 1


def opens(archive, name):
    try:
        archive.store.open(name).close()
    except KeyGoneError:
        return False
    return True


def segments(archive):
    return [name for name in archive.store.names() if derived.owner_of(name) == name]


@pytest.mark.parametrize("step", [*purge.STEPS, "half_unlinked"])
def test_a_killed_purge_is_finished_by_the_next_run(archive, tmp_path, database_url, step):
    agent = FakeAgent(archive)
    held = agent.record(HELD_US)
    for minute in (1, 2, 3):
        last = agent.record(HELD_US + minute * US_PER_MINUTE)
    for segment in (held, last):
        derive_now(archive, segment)
    order = holds.HoldOrder(
        "108", Interval(HELD_US, HELD_US + US_PER_SECOND), "a complaint", "court order 1", "user:3"
    )
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], HELD_US)
    (held_name,) = [name for name in segments(archive) if held in name]
    footage = (archive.store.raw.root / held_name).read_bytes()

    killed = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.integration.retention_killed_run",
            tmp_path,
            database_url,
            str(DUE),
            step,
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with archive.database.reading() as session:
        state = session.scalars(select(RoomDay.state)).one()
        numbers = list(session.scalars(select(Tombstone.certificate_id)))
    left = (state, len(segments(archive)), sum(number is not None for number in numbers))
    assert_in_order(*left)
    assert left == LEFT_BEHIND.get(step, left)

    # What the day's key opened is gone from "shredded" on; the held segment never is.
    # Asked anew, as this process may still know the key for `archive.keys.CACHE_S`.
    with closing(Archive.open(archive.settings)) as anew:
        readable = {name for name in anew.store.names() if opens(anew, name)}
    gone = step in list(LEFT_BEHIND)[list(LEFT_BEHIND).index("shredded") :]
    kept = {held_name, derived.name_of(held_name)}
    assert readable == (kept if gone else set(archive.store.names()))

    report = purge.run(archive, actor="system", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    assert report.failures == []
    assert set(archive.store.names()) == kept
    assert rows(archive) == {held}
    assert (archive.store.raw.root / held_name).read_bytes() == footage
    assert list(check(archive, deep=True)) == []
    assert archive.store.keys.days() == {("108", "2026-11-20")}
    assert opens(archive, held_name)
    with archive.database.reading() as session:
        assert list(session.scalars(select(Segment.id))) == [held]
        assert list(session.scalars(select(Tombstone.certificate_id))) == [1]
        assert list(certified.verify(session, archive.server_key.public_key())) == []
        assert list(custody.verify(session)) == []
        actions = list(session.scalars(select(CustodyEvent.action)))
    assert (actions.count("purged"), actions.count("purge_certified")) == (1, 1)
