"""libFuzzer against what strangers' bytes meet first; ten minutes of it in the long run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard import Guard


def fuzz(target: str, seconds: int, directory: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.mp4_reader", "--target", target, "--seconds", str(seconds)]
    with subprocess.Popen(
        [*command, "--directory", directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    ) as running:
        # The group: the runner's child is what works.
        guard = Guard(running, group=True)
        try:
            said, _ = running.communicate()
        finally:
            guard.dismiss()
    assert running.returncode == 0, said.decode("utf-8", "replace")[-4500:]


@pytest.mark.parametrize(("target", "seconds"), [("segment", 8), ("index", 3), ("manifest", 3)])
def test_no_input_breaks_a_reader(target: str, seconds: int, tmp_path: Path) -> None:
    fuzz(target, seconds, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("target", "seconds"), [("segment", 600), ("index", 60), ("manifest", 120)])
def test_no_input_breaks_a_reader_for_long(target: str, seconds: int, tmp_path: Path) -> None:
    fuzz(target, seconds, tmp_path)
