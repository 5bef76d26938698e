"""Daily checkpoints, and what `check --custody` finds with them: also a chain that was reckoned anew."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from archive import checkpoint, custody, custody_check
from archive.checkpoint_service import CheckpointService
from archive.custody import Event
from archive.models import CustodyCheckpoint, CustodyEvent, CustodyHead
from bench.warm import environment
from recorder.instants import US_PER_DAY, US_PER_MINUTE, to_us
from tests.attacker import attack, rechain, unguard
from tests.footage import make_archive
from tests.processes import protokol

MIDNIGHT = to_us(datetime(2026, 11, 23, 22, 0, tzinfo=UTC))  # 24 November in Kyiv


def write(archive, count: int) -> None:
    with archive.database.transaction() as session:
        for number in range(count):
            custody.append(session, Event("tested", "user:1", number, room="108", details={"так": number}))


def lines(archive) -> list[str]:
    return [line for _, line in custody_check.check(archive)]


@pytest.fixture
def kept(archive):
    """Three days of checkpoints with events before, between and after them."""
    for day in range(3):
        write(archive, 4)
        checkpoint.make_checkpoint(archive, MIDNIGHT + day * US_PER_DAY)
    write(archive, 3)
    return archive


def test_one_is_made_each_local_day_and_tells_where_the_chain_stood(archive):
    write(archive, 2)
    before = checkpoint.make_checkpoint(archive, MIDNIGHT - 1)
    first = checkpoint.make_checkpoint(archive, MIDNIGHT)
    again = checkpoint.make_checkpoint(archive, MIDNIGHT + US_PER_DAY - 1)
    assert (before.date, first.date, again.number) == ("2026-11-23", "2026-11-24", first.number)
    told = checkpoint.read(first, archive.server_key.public_key())
    with archive.database.reading() as session:
        event = session.get(CustodyEvent, first.sequence)
        last = session.get(CustodyHead, 1)
    assert (told.head_sha256, told.previous, told.events) == (event.sha256, before.sha256, 1)
    assert last.sequence == first.sequence + 1
    assert lines(archive) == []


def test_two_servers_make_one(archive, tmp_path):
    others = [make_archive(tmp_path) for _ in range(3)]
    gate = threading.Barrier(3)
    made = []

    def work(other) -> None:
        gate.wait()
        made.append(checkpoint.make_checkpoint(other, MIDNIGHT).sha256)

    threads = [threading.Thread(target=work, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        others.pop().close()
    assert (len(made), len(set(made))) == (3, 1)
    assert lines(archive) == []


def test_a_clock_that_was_a_year_ahead_stops_no_checkpoint(archive):
    for at_us in (MIDNIGHT + 365 * US_PER_DAY, MIDNIGHT, MIDNIGHT + US_PER_DAY):
        checkpoint.make_checkpoint(archive, at_us)
    with archive.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CustodyCheckpoint)) == 3
    assert lines(archive) == []


def test_the_file_is_verified_by_openssl_alone(archive, tmp_path):
    checkpoint.make_checkpoint(archive, MIDNIGHT)
    published = json.loads((tmp_path / "checkpoints" / "2026-11-24.json").read_text("utf-8"))
    (tmp_path / "key.pem").write_bytes(checkpoint.public_key_pem(archive.server_key.public_key()))
    # What `jq -jcS .checkpoint` prints.
    body = json.dumps(published["checkpoint"], sort_keys=True, separators=(",", ":"))
    (tmp_path / "body").write_text(body)
    decode = subprocess.run(
        ["base64", "-d"], input=published["signature"].encode(), capture_output=True, check=True
    )
    (tmp_path / "signature").write_bytes(decode.stdout)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]
    verify += ["-in", "body", "-sigfile", "signature"]
    assert b"Successfully" in subprocess.run(verify, cwd=tmp_path, capture_output=True, check=True).stdout


def test_the_service_makes_it_at_once_and_writes_a_lost_file_again(archive, tmp_path):
    service = CheckpointService(archive, lambda: MIDNIGHT + US_PER_MINUTE)
    service.round()
    path = tmp_path / "checkpoints" / "2026-11-24.json"
    content = path.read_bytes()
    path.unlink()
    assert "is missing" in lines(archive)[0]
    service.start()
    service.stop()
    assert path.read_bytes() == content
    assert lines(archive) == []


def test_a_published_file_is_never_written_over(kept, tmp_path):
    path = tmp_path / "checkpoints" / "2026-11-25.json"
    path.write_bytes(b"another")
    checkpoint.make_checkpoint(kept, MIDNIGHT)
    assert path.read_bytes() == b"another"
    assert any("differs from the database" in line for line in lines(kept))


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["DELETE FROM custody_checkpoint WHERE number = 2"], "checkpoints 2..2 are missing"),
        (["DELETE FROM custody_checkpoint WHERE number = 3"], "the database has no such checkpoint"),
        (["UPDATE custody_checkpoint SET body = replace(body, '2026', '2027')"], "no valid signature"),
        (["UPDATE custody_checkpoint SET body = 'x'"], "no valid signature"),
        (["UPDATE custody_checkpoint SET signature = 'ї'"], "no valid signature"),
        (["UPDATE custody_checkpoint SET sha256 = 'x' WHERE number = 3"], "was altered"),
        (["UPDATE custody_checkpoint SET sequence = 1 WHERE number = 3"], "another place or date"),
        (["UPDATE custody_checkpoint SET time_stamp = x'30'"], "2026-11-24.tsr is missing"),
        (
            [
                "DELETE FROM custody_event WHERE sequence > 6",
                "UPDATE custody_head SET sequence = 6",
                "UPDATE custody_head SET sha256 = (SELECT sha256 FROM custody_event WHERE sequence = 6)",
            ],
            "the chain was cut before event",
        ),
        (["UPDATE custody_event SET details = details || ' ' WHERE sequence = 3"], "event 3 was altered"),
        (["UPDATE custody_event SET details = 'no json' WHERE action = 'checkpoint_signed'"], "or is gone"),
        (["UPDATE custody_event SET at_us = 'text' WHERE sequence = 3"], "event 3 was altered"),
        (["UPDATE custody_event SET actor = CAST(x'ff' AS TEXT) WHERE sequence = 3"], ""),
        (["UPDATE custody_event SET actor = x'ff' WHERE sequence = 3"], "event 3 was altered"),
        ([], "the trigger custody_event_no_update is missing"),
    ],
)
def test_an_attack_is_told(kept, statements, finding):
    assert lines(kept) == []
    attack(kept, *statements)
    told = [line for line in lines(kept) if statements == [] or "trigger" not in line]
    assert any(finding in line for line in told), told


def test_a_last_checkpoint_that_is_gone_with_its_file_is_missed_by_its_event(kept, tmp_path):
    attack(kept, "DELETE FROM custody_checkpoint WHERE number = 3")
    (tmp_path / "checkpoints" / "2026-11-26.json").unlink()
    assert any("checkpoint:2026-11-26" in line for line in lines(kept))


def test_what_somebody_else_has_kept_bears_witness(kept, tmp_path):
    copy = tmp_path / "kept-at-home.json"
    shutil.copy(tmp_path / "checkpoints" / "2026-11-26.json", copy)
    env = environment(tmp_path, 1)
    assert protokol(env, "archive", "check", "--custody", "--witness", str(copy)).stdout == ""
    with kept.database.transaction() as session:
        # The last day is cut out without a trace in the house.
        statements = (
            "DELETE FROM custody_event WHERE sequence > 8",
            "DELETE FROM custody_checkpoint WHERE number > 2",
        )
        triggers = session.scalars(text("SELECT sql FROM sqlite_master WHERE type = 'trigger'")).all()
        unguard(session)
        for statement in (*statements, *triggers):
            session.connection().exec_driver_sql(statement)
    with kept.database.transaction() as session:
        unguard(session)
        session.execute(text("DELETE FROM custody_event WHERE sequence > 10"))
        rechain(session)
        for trigger in triggers:
            session.connection().exec_driver_sql(trigger)
    (tmp_path / "checkpoints" / "2026-11-26.json").unlink()
    done = protokol(env, "archive", "check", "--custody", "--witness", str(copy), expect=1)
    assert "kept-at-home.json was signed by this server" in done.stdout
    assert "keep both, inquire" in done.stderr
    copy.write_text(copy.read_text().replace("2026-11-26", "2026-11-27"))
    assert "is not a checkpoint that this server's key has signed" in "".join(
        line for _, line in custody_check.witness(kept, copy)
    )


# --- any attack on the rows -------------------------------------------------------------------------

# The rooms file, then 4 + 1 + 4 + 1 + 4; then the third checkpoint's own event and three more.
LAST_BOUND = 15
LAST = LAST_BOUND + 4
COLUMNS = ("at_us", "actor", "action", "room", "date", "subject", "details", "previous_sha256", "sha256")
edits = st.tuples(st.just("edit"), st.integers(1, LAST), st.sampled_from(COLUMNS), st.text("ab1", min_size=1))
cuts = st.tuples(st.just("cut"), st.integers(1, LAST), st.integers(1, 4))
swaps = st.tuples(st.just("swap"), st.integers(1, LAST), st.integers(1, LAST))
inserts = st.tuples(st.just("insert"), st.integers(1, LAST + 1))


def rows_of(session) -> list[dict]:
    found = session.execute(text("SELECT * FROM custody_event ORDER BY sequence")).mappings()
    return [dict(row) for row in found]


def apply(rows: list[dict], step: tuple) -> None:
    kind, place = step[0], step[1]
    if kind == "edit" and place <= len(rows):
        row = rows[place - 1]
        row[step[2]] = f"{row[step[2]]}{step[3]}" if step[2] != "at_us" else row["at_us"] + len(step[3])
    elif kind == "cut":
        del rows[place - 1 : place - 1 + step[2]]
    elif kind == "swap" and max(place, step[2]) <= len(rows):
        rows[place - 1], rows[step[2] - 1] = rows[step[2] - 1], rows[place - 1]
    elif kind == "insert":
        forged = dict(rows[min(place, len(rows)) - 1]) if rows else None
        if forged:
            rows.insert(place - 1, {**forged, "actor": "user:66", "sha256": f"{random.random()}"})


@given(st.lists(st.one_of(edits, cuts, swaps, inserts), min_size=1, max_size=3), st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_touches_the_chain_is_found(kept, steps, rechained):
    """Without a new reckoning: always. With one: whenever it touches what a checkpoint binds."""
    with kept.database.transaction() as session:
        before = rows_of(session)
        assert len(before) == LAST
        rows = [dict(row) for row in before]
        for step in steps:
            apply(rows, step)
        for sequence, row in enumerate(rows, 1):
            row["sequence"] = sequence
        touched = rows != before
        content = [{k: v for k, v in row.items() if "sha256" not in k} for row in rows]
        bound = [{k: v for k, v in row.items() if "sha256" not in k} for row in before]
        touched_bound = content[:LAST_BOUND] != bound[:LAST_BOUND]
        unguard(session)
        session.execute(text("DELETE FROM custody_event"))
        if rows:
            columns = ", ".join(before[0])
            values = ", ".join(f":{name}" for name in before[0])
            session.execute(text(f"INSERT INTO custody_event ({columns}) VALUES ({values})"), rows)  # noqa: S608
        if rechained:
            rechain(session)
        told = [
            line
            for step in custody_check.steps(kept)
            for kind, line in step(session)
            if kind != "guard" and not line.startswith("the trigger")
        ]
        session.rollback()
    if (touched and not rechained) or touched_bound:
        assert told
    if not touched:
        assert told == []
