"""`protokol archive rotate-key` as it is called, and killed between all of its steps."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from archive.check import check
from archive.keys_cli import STEPS
from archive.models import CustodyEvent
from archive.system import Archive
from bench.warm import environment
from recorder.instants import now_us
from recorder.settings import Settings
from tests.footage import SECOND, FakeAgent, make_archive
from tests.processes import protokol

ROOT = Path(__file__).parents[2]
_KILLED = """
import os, signal, sys
from pathlib import Path
from archive.keys_cli import rotate
from archive.master_key import make_master_key, read_master_key
from archive.system import Archive
from recorder.settings import load_settings
new, step = Path(sys.argv[1]), sys.argv[2]
make_master_key(new)
die = lambda reached: os.kill(os.getpid(), signal.SIGKILL) if reached == step else None
rotate(Archive.open(load_settings()), read_master_key(new), "cli:0", 1, die)
"""


@pytest.fixture
def env(tmp_path):
    """A council's archive with a segment; its old and new master key beside it."""
    with closing(make_archive(tmp_path, demo=False)) as archive:
        FakeAgent(archive).record(now_us() // SECOND * SECOND - 60 * SECOND)
    key = {"PROTOKOL_MASTER_KEY_FILE": str(tmp_path / "master.key"), "PROTOKOL_DEMO": "false"}
    return environment(tmp_path, 1, **key)


def opened(archive_dir: Path, key: str) -> tuple[list[object], list[str]]:
    """Findings of a deep check by that master key, and what the log says of it."""
    with closing(Archive.open(Settings(data_dir=archive_dir, master_key_file=archive_dir / key))) as archive:
        with archive.database.reading() as session:
            told = [each for each in session.scalars(select(CustodyEvent.action)) if "master" in each]
        return list(check(archive, deep=True)), told


def test_a_rotation_says_what_to_do_next_and_is_done_once(env, tmp_path):
    new = tmp_path / "new.key"
    first = protokol(env, "archive", "rotate-key", "--new", str(new))
    assert "1 keys are wrapped" in first.stderr
    assert f"put it in the place of {tmp_path / 'master.key'}" in first.stderr
    assert new.stat().st_mode & 0o777 == 0o600
    assert "nothing was left to wrap" in protokol(env, "archive", "rotate-key", "--new", str(new)).stderr
    # The old key is refused from then on, with the way out.
    assert "another master key" in protokol(env, "archive", "check", expect=2).stderr
    assert opened(tmp_path, "new.key")[0] == []


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_the_same_command_finishes_it(env, tmp_path, step):
    new = tmp_path / "new.key"
    killed = subprocess.run([sys.executable, "-c", _KILLED, new, step], env=env, cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    in_force = "master.key" if step in {"begun", "rewrapped"} else "new.key"
    findings, told = opened(tmp_path, in_force)
    assert findings == []
    # A rotation that was cut off can be seen in the log.
    assert told == ["master_key_rotation_begun", "master_key_rotated"][: 2 if step == "told" else 1]
    protokol(env, "archive", "rotate-key", "--new", str(new))
    findings, told = opened(tmp_path, "new.key")
    assert findings == []
    assert told[-1] == "master_key_rotated"
