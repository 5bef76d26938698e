"""A test process that is killed leaves no server of its own running, and nothing in /tmp."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
_OWNER = """
import sys, tempfile, time
from pathlib import Path
from tests.postgresql import Server
parent = Path(tempfile.mkdtemp(prefix="protokol-pg-"))
parent.chmod(0o755)
server = Server(parent / "pg")
print(server.pid, parent, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_private_postgresql_ends_with_the_tests_that_own_it(how):
    owner = subprocess.Popen([sys.executable, "-c", _OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid, directory = owner.stdout.readline().split()
    server = psutil.Process(int(pid))
    getattr(owner, how)()
    owner.communicate()
    server.wait(20)
    deadline = time.monotonic() + 20
    while Path(directory).exists():
        assert time.monotonic() < deadline, f"{directory} is left"
        time.sleep(0.05)
