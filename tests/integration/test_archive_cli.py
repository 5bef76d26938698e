"""`protokol archive …` as it is typed: what it prints, how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from archive.models import CustodyEvent, Segment
from bench.warm import environment
from recorder.instants import format_instant, to_us
from recorder.keyfile import AgentKey
from tests.footage import SECOND, FakeAgent, make_archive
from tests.processes import protokol, protokol_json

T0 = to_us(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))


@pytest.fixture
def archive(tmp_path, database_url):
    archive = make_archive(tmp_path, database_url=database_url)
    agent = FakeAgent(archive)
    for number in range(3):
        agent.record(T0 + number * 2 * SECOND)
    agent.send(agent.gap(T0 + 6 * SECOND, T0 + 60 * SECOND))
    yield archive
    archive.close()


@pytest.fixture
def env(archive, tmp_path, database_url):
    return environment(tmp_path, 1, PROTOKOL_DATABASE_URL=database_url)


def span(start_us, end_us):
    return ["--from", format_instant(start_us), "--to", format_instant(end_us)]


@pytest.mark.both_databases
def test_search_by_date_and_by_interval(env):
    found = protokol_json(env, "archive", "search", "--room", "108", "--date", "2026-11-20", expect=0)
    assert [len(found["segments"]), [gap["cause"] for gap in found["gaps"]]] == [3, ["camera_unreachable"]]
    part = protokol_json(env, "archive", "search", "--room", "108", *span(T0 + SECOND, T0 + 3 * SECOND))
    assert len(part["segments"]) == 2
    protokol(env, "archive", "search", "--room", "228-А", "--date", "2026-11-20", expect=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--room", "999", "--date", "2026-11-20"], "999"),
        (["--room", "108", "--date", "20.11.2026"], "write it as 2026-11-20"),
        (["--room", "108", *span(T0 + SECOND, T0)], "must be after"),
        (["--room", "108", "--from", "2026-11-20T10:00:00", "--to", "2026-11-20T11:00:00"], "no time zone"),
        (["--room", "108"], "give either --date"),
    ],
)
def test_bad_input_is_named_and_ends_with_2(env, arguments, said):
    done = protokol(env, "archive", "search", *arguments, expect=2)
    assert said in done.stderr
    assert done.stdout == ""


def test_export_decodes_without_an_error_and_is_in_the_log(env, archive, tmp_path):
    file = tmp_path / "clip.mp4"
    ask = ["archive", "export", "--room", "108", *span(T0, T0 + 6 * SECOND), "-o", str(file)]
    assert "ground" in protokol(env, *ask, expect=2).stderr
    assert not file.exists()
    done = protokol(env, *ask, "--ground", "audit")
    assert str(file.stat().st_size) in done.stderr
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", file, "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert decoded.stderr == ""
    assert "exists already" in protokol(env, *ask, "--ground", "audit", expect=2).stderr
    with archive.database.reading() as session:
        event = session.query(CustodyEvent).filter(CustodyEvent.action == "view_opened").first()
    assert event.actor.startswith("cli:")
    assert json.loads(event.details)["ground"] == "audit"


@pytest.mark.both_databases
def test_check_finds_what_is_missing_altered_and_foreign(env, archive):
    assert protokol(env, "archive", "check", "--deep").stdout == ""
    first, second, third = sorted(archive.store.raw.root.glob("108/*/*.mp4"))
    first.unlink()
    data = bytearray(second.read_bytes())
    data[5000] ^= 1
    second.write_bytes(data)
    third.with_name("00000000-0000.mp4").write_bytes(third.read_bytes())
    shallow = protokol_json(env, "archive", "check", expect=1)
    assert sorted(finding["kind"] for finding in shallow) == ["foreign", "missing"]
    deep = protokol_json(env, "archive", "check", "--deep", expect=1)
    assert sorted(finding["kind"] for finding in deep) == ["altered", "foreign", "missing"]


def test_enroll_writes_a_key_that_only_its_owner_reads(env, tmp_path):
    path = tmp_path / "108.key"
    protokol(env, "agent", "enroll", "108", "-o", str(path))
    key = AgentKey.load(path)
    key.configuration.verify(key.server_key())
    assert (key.room, path.stat().st_mode & 0o777) == ("108", 0o600)
    assert "exists already" in protokol(env, "agent", "enroll", "108", "-o", str(path), expect=2).stderr


@pytest.mark.both_databases
def test_stats_say_how_much_since_when(env):
    stats = protokol_json(env, "archive", "stats", expect=0)
    assert (stats["segments"], stats["holds"], stats["quarantined"]) == (3, 0, 0)
    assert stats["oldest"] == "2026-11-20T10:00:00.000+02:00"


def test_years_and_holds_beyond_any_archive_end_with_2(env, tmp_path):
    for dates in (["--date", "9999-12-31"], ["--date", "0001-01-01"]):
        assert "year" in protokol(env, "archive", "search", "--room", "108", *dates, expect=2).stderr
    ground = ["--ground", "hold:99999999999999999999", "-o", str(tmp_path / "x.mp4")]
    interval = span(T0, T0 + SECOND)
    said = protokol(env, "archive", "export", "--room", "108", *interval, *ground, expect=2).stderr
    assert "hold" in said
    protokol(env, "hold", "release", "99999999999999999999", "--reason", "x", expect=2)


def test_an_export_that_is_too_long_names_those_that_are_not(env, archive, tmp_path):
    agent = FakeAgent(archive, room="228-a")
    four_hours = 4 * 3600 * SECOND
    for start_us in (T0, T0 + four_hours):
        agent.record(start_us)
    ask = ["archive", "export", "--room", "228-a", "--ground", "audit", "-o", str(tmp_path / "part.mp4")]
    said = protokol(env, *ask, *span(T0, T0 + four_hours + 2 * SECOND), expect=2).stderr
    listed = re.findall(r"(--from) (\S+) (--to) (\S+)", said)
    assert len(listed) == 2
    protokol(env, *ask, *listed[1])


def test_an_export_is_its_owners_and_never_half_a_file(env, archive, tmp_path):
    output = tmp_path / "clip.mp4"
    command = ["archive", "export", "--room", "108", *span(T0, T0 + 4 * SECOND), "--ground", "audit"]
    protokol(env, *command, "-o", str(output), expect=0)
    assert output.stat().st_mode & 0o777 == 0o600
    with archive.database.reading() as session:
        name = session.scalars(select(Segment.object_name).order_by(Segment.start_us).offset(1)).first()
    archive.store.delete([name])
    broken = tmp_path / "broken.mp4"
    assert name in protokol(env, *command, "-o", str(broken), expect=2).stderr
    assert not broken.exists()


def test_a_room_that_was_just_written_into_the_file_can_be_enrolled(env, archive, tmp_path):
    text = archive.settings.rooms.read_text("utf-8")
    archive.settings.rooms.write_text(
        text.replace("id: 228-a, label: 228-А", 'id: "512", label: "512"'), "utf-8"
    )
    protokol(env, "agent", "enroll", "512", "-o", str(tmp_path / "512.key"), expect=0)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/none/a.sqlite", "sqlite:///{tmp}/text"])
def test_a_database_that_cannot_be_opened_ends_with_2(tmp_path, url):
    (tmp_path / "text").write_text("not a database " * 20)
    env = environment(tmp_path, 1, PROTOKOL_DATABASE_URL=url.format(tmp=tmp_path))
    for command in ("stats", "migrate"):
        said = protokol(env, "archive", command, expect=2).stderr
        assert "Traceback" not in said
        assert "database" in said


def test_reading_makes_no_archive_where_there_is_none(tmp_path):
    env = environment(tmp_path / "mistyped", 1)
    assert "migrate" in protokol(env, "archive", "stats", expect=2).stderr
    assert not (tmp_path / "mistyped").exists()


def test_a_defect_does_not_end_like_a_finding(env):
    """1 means "done, with findings"; a result that could not be written was not done."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        done = subprocess.run(
            [sys.executable, "-m", "protokol", "archive", "stats"],
            env=env,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, b"No space left" in done.stderr) == (2, True)
