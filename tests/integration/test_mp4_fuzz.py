"""libFuzzer against what strangers' bytes meet first; ten minutes of it in the long run."""

from __future__ import annotations

import subprocess
import sys

import pytest


def fuzz(target: str, seconds: int) -> None:
    command = [sys.executable, "-m", "tests.fuzz.mp4_reader", "--target", target, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]


@pytest.mark.parametrize(("target", "seconds"), [("segment", 8), ("index", 3), ("manifest", 3)])
def test_no_input_breaks_a_reader(target: str, seconds: int) -> None:
    fuzz(target, seconds)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("target", "seconds"), [("segment", 600), ("index", 60), ("manifest", 120)])
def test_no_input_breaks_a_reader_for_long(target: str, seconds: int) -> None:
    fuzz(target, seconds)
