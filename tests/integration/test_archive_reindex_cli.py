"""The database lost, as the one on duty meets it: what each command says on the way back."""

from __future__ import annotations

from bench.warm import environment
from recorder.instants import US_PER_DAY, format_instant, parse_instant
from recorder.intervals import Interval
from retention import holds
from tests.footage import SECOND, FakeAgent, make_archive
from tests.processes import protokol, protokol_json

AT_US = parse_instant("2026-10-12T10:00:00+03:00")
LATER = ("--now", format_instant(AT_US + 40 * US_PER_DAY))


def fill(directory) -> None:
    """Two segments and a gap in room 108, all past their time, a hold on the first; and no database."""
    archive = make_archive(directory)
    agent = FakeAgent(archive)
    agent.record(AT_US)
    agent.record(AT_US + 2 * SECOND)
    assert agent.send(agent.gap(AT_US + 4 * SECOND, AT_US + 9 * SECOND)).outcome == "accepted"
    order = holds.HoldOrder("108", Interval(AT_US, AT_US + SECOND), "inquiry", "order 7", "user:1")
    with archive.database.transaction() as session:
        holds.place(session, archive, [order], AT_US)
    archive.close()
    for path in directory.glob("archive.sqlite*"):
        path.unlink()


def test_a_lost_database_is_rebuilt_and_nothing_destroyed_until_a_person_has_looked(tmp_path):
    fill(tmp_path)
    env = environment(tmp_path, 1, PROTOKOL_DATABASE_URL=f"sqlite:///{tmp_path / 'new.sqlite'}")
    protokol(env, "archive", "migrate")
    assert "`protokol archive reindex`" in protokol(env, "archive", "stats", expect=2).stderr

    done = protokol(env, "archive", "reindex")
    assert {"rooms_files: 1", "enrolments: 1", "holds: 1", "segments: 2", "gaps: 1"} <= set(
        done.stdout.splitlines()
    )
    assert "protokol hold confirm" in done.stderr
    assert "not empty" in protokol(env, "archive", "reindex", expect=2).stderr
    assert protokol(env, "archive", "check", "--deep").stdout == ""

    said = protokol(env, "retention", "run", *LATER, expect=2).stderr
    assert "holds are not confirmed" in said
    asked = protokol(env, "hold", "confirm", expect=1)
    assert "2026-10-12T10:00:00.000+03:00" in asked.stdout
    digest = asked.stderr.split()[-1]
    assert "`protokol hold confirm`" in said
    assert digest in protokol(env, "hold", "confirm", "0" * 16, expect=2).stderr
    protokol(env, "retention", "run", *LATER, expect=2)
    assert protokol_json(env, "archive", "stats")["segments"] == 2

    assert "confirmed" in protokol(env, "hold", "confirm", digest).stdout
    assert "nothing waits" in protokol(env, "hold", "confirm", digest).stdout
    plan = protokol_json(env, "retention", "plan", *LATER, expect=1)
    protokol(env, "retention", "run", *LATER, "--confirm", plan["digest"], expect=1)
    assert protokol_json(env, "archive", "stats")["segments"] == 1
