"""`protokol retention …` and `protokol hold …` as installed: what is printed, and how they exit."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from protokol import cli
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from retention.errors import ClockError, ConfirmationError, DayGoneError
from tests.attacker import attack
from tests.footage import FakeAgent, make_archive

# Each of these starts processes: twice is too long for every day.
pytestmark = pytest.mark.both_databases(slow=True)

ROOT = Path(__file__).parents[2]
TEN = local_midnight_us(date(2099, 11, 20), "Europe/Kyiv") + 600 * US_PER_MINUTE
# Holds are placed by the real clock: footage of a year to come is neither due nor refused.
HELD = ("--from", "2099-11-20T10:00:00+02:00", "--to", "2099-11-20T10:00:01+02:00")
ADD = ("hold", "add", "--room", "108", *HELD, "--reason", "inquiry", "--legal-ground", "order 5")
BEFORE, DUE = "2099-12-19T23:59:59+02:00", "2099-12-20T00:00:00+02:00"
# Nobody destroyed it on its night: now a person must say so.
LATE = "2099-12-22T00:00:00+02:00"


@pytest.fixture
def directory(tmp_path, monkeypatch, database_url):
    """A demo archive with two segments of 20 November 2099, as the commands' settings name it."""
    archive = make_archive(tmp_path, database_url=database_url)
    agent = FakeAgent(archive)
    agent.record(TEN)
    agent.record(TEN + 2 * US_PER_SECOND)
    archive.close()
    monkeypatch.setenv("PROTOKOL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PROTOKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("PROTOKOL_DEMO", "true")
    return tmp_path


def protokol(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    if result.exception and not isinstance(result.exception, SystemExit | ProtokolError):
        raise result.exception
    return result


def document(*arguments: str, exit_code: int = 0):
    result = protokol(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_the_whole_way_plan_hold_run_release_run(directory):
    before = protokol("retention", "plan", "--now", BEFORE)
    assert before.exit_code == 0
    assert before.stdout.startswith("would destroy 0 objects, 0 B, of 0 room-days; the archive has 2 objects")

    (hold,) = document(*ADD)
    assert [each["id"] for each in document("hold", "list")] == [hold["id"]]
    planned = document("retention", "plan", "--now", LATE, exit_code=1)
    assert planned["destroy"]["objects"] == 1
    assert planned["room_days"][0]["held"][0]["hold"] == hold["id"]

    refused = protokol("retention", "run", "--now", LATE)
    assert isinstance(refused.exception, ConfirmationError)
    assert planned["digest"] in str(refused.exception)
    ran = document("retention", "run", "--now", LATE, "--confirm", planned["digest"], exit_code=1)
    assert (ran["destroyed"]["objects"], ran["certificates"], ran["failures"]) == (1, [1], [])

    released = protokol("hold", "release", str(hold["id"]), "--reason", "answered")
    assert (released.exit_code, released.stdout) == (0, f"hold {hold['id']} released\n")
    assert document("hold", "list") == []
    digest = document("retention", "plan", "--now", LATE)["digest"]
    assert document("retention", "run", "--now", LATE, "--confirm", digest)["destroyed"]["objects"] == 1

    signed = document("retention", "certificates")
    assert [each["certificate"]["destroyed"]["segments"] for each in signed] == [1, 1]
    lines = protokol("retention", "certificates").stdout.splitlines()
    assert lines[0].startswith("1  room 108  2099-11-20: 1 objects, ")
    assert lines[0].endswith(f"; kept under hold {hold['id']}")
    assert protokol("retention", "certificates", "--pdf", str(directory / "sheets")).exit_code == 0
    sheet, signed_file = directory / "1.pdf", directory / "1.json"
    assert protokol("retention", "certificate", "1", "-o", str(sheet)).exit_code == 0
    assert sheet.read_bytes() == (directory / "sheets" / "certificate-1.pdf").read_bytes()
    assert protokol("retention", "certificate", "1", "-o", str(signed_file)).exit_code == 0
    assert json.loads(signed_file.read_bytes()) == signed[0]
    for number, why in ((1, "exists already"), (7, "there is no certificate 7")):
        refused = protokol("retention", "certificate", str(number), "-o", str(sheet))
        assert why in str(refused.exception)
    sheets = sorted((directory / "sheets").iterdir())
    assert [each.name for each in sheets] == ["certificate-1.pdf", "certificate-2.pdf"]
    assert sheets[0].read_bytes().startswith(b"%PDF-")


def test_an_altered_certificate_is_a_finding(directory, database_url):
    digest = document("retention", "plan", "--now", DUE)["digest"]
    document("retention", "run", "--now", DUE, "--confirm", digest)
    archive = make_archive(directory, database_url=database_url)
    attack(archive, "UPDATE certificate SET signature = 'AAAA'")
    archive.close()
    result = protokol("retention", "certificates")
    assert result.exit_code == 1
    assert "certificate 1 was altered" in result.stderr


def test_an_expired_hold_is_a_finding_of_the_list(directory):
    protokol(*ADD, "--expires", "2026-01-01T00:00:00Z")
    result = protokol("hold", "list")
    assert result.exit_code == 1
    assert "EXPIRED" in result.stdout
    assert "hold 1 of room 108 has expired" in result.stderr


def test_a_hold_of_a_gone_day_says_why(directory):
    gone = ("--from", "2020-11-20T10:00:00+02:00", "--to", "2020-11-20T11:00:00+02:00")
    arguments = [*ADD[:4], *gone, "--reason", "inquiry", "--legal-ground", "order 5"]
    result = protokol(*arguments)
    assert isinstance(result.exception, DayGoneError)
    assert "2020-11-20 (due)" in str(result.exception)


def test_a_council_refuses_a_stated_time(tmp_path, monkeypatch, database_url):
    make_archive(tmp_path, demo=False, database_url=database_url).close()
    monkeypatch.setenv("PROTOKOL_DATABASE_URL", database_url)
    monkeypatch.setenv("PROTOKOL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PROTOKOL_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    for command in ("plan", "run"):
        assert isinstance(protokol("retention", command, "--now", DUE).exception, ClockError)


def test_a_refusal_exits_2_with_one_line_and_no_traceback(directory):
    refused = subprocess.run(
        [sys.executable, "-m", "protokol", "retention", "run", "--now", LATE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("protokol: this run would destroy 2 of 2 objects")
    assert "Traceback" not in refused.stderr
