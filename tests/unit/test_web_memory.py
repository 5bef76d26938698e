"""What the server's process holds, and what it keeps: looked at in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LAY_OUT = """
import resource
import sys
import threading

from archive.mp4.virtual import build
from recorder.intervals import Interval
from retrieval_api.server import set_heaps
from tests.unit.test_mp4_virtual import hours

if sys.argv[1:] == ["set"]:
    set_heaps()
pieces = hours(1)
interval = Interval(pieces[0].start_us, pieces[-1].end_us)
faults = []

def lay_out():
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        build(pieces, interval, exact=False)
        faults.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

# As handlers do, in a thread that is not the first.
thread = threading.Thread(target=lay_out)
thread.start()
thread.join()
print(min(faults[1:]))
"""


def faults(*arguments: str) -> int:
    """Pages that the kernel was asked for by a layout that came after another."""
    done = subprocess.run(
        [sys.executable, "-c", _LAY_OUT, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_a_layout_uses_the_memory_of_the_one_before():
    if sys.platform != "linux":
        pytest.skip("glibc's own")
    assert faults() > 1000, "without it nothing is kept, and the test below says nothing"
    assert faults("set") < 100


def test_what_draws_sheets_is_loaded_when_one_is_asked_for():
    loaded = "import sys, retrieval_api.server; print('fpdf' in sys.modules, 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


def test_no_thread_keeps_the_others_waiting_for_long():
    settings = (
        "import gc, sys; from retrieval_api.server import let_threads_in; let_threads_in(); "
        "print(sys.getswitchinterval() <= 0.001, gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", settings], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]
