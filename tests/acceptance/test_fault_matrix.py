"""docs/fault-matrix.md says what a real agent does: some of its rows are played again."""

from __future__ import annotations

import re

import pytest

from bench.faults import DOCUMENT, FAULTS, play
from simulator import faults, microphone

# They end a fault or ask; the rest begins one.
HEALING = {"start", "resume", "restore", "see", "hear", "mend", "status", "plug"}
# What a microphone may hear in a room where all is well.
WELL = {"beeps", "tone", "speech"}
PLAYED = ("kill", "stall", "restart", "unplug")


def rows():
    """The document's rows by the fault's cell."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {each[0]: each for each in cells}


def words(cell):
    return set(re.findall(r"\w+", cell))


@pytest.mark.parametrize(
    ("usage", "has_microphone"),
    [(faults.USAGE, False), (microphone.USAGE, True)],
    ids=["camera", "microphone"],
)
def test_every_fault_of_the_simulator_has_a_row(usage, has_microphone):
    commands = [command.split() for command in usage.split(" | ")]
    possible = {
        tuple(word for word in words if word.islower())
        for words in commands
        if words[0] not in HEALING | WELL
    }
    stated = {tuple(fault.words.split()) for fault in FAULTS if fault.has_microphone == has_microphone}
    for each in possible:
        assert any(fault[: len(each)] == each for fault in stated), f"FAULTS of bench/faults.py lacks {each}"


def test_every_fault_is_written_down():
    assert list(rows()) == [fault.title for fault in FAULTS], "run: python -m bench faults --write"


def test_some_rows_played_again_say_the_same():
    first = {fault.words: fault for fault in reversed(FAULTS)}
    played = play([first[words] for words in PLAYED])
    assert len(played) == len(PLAYED)
    for row in played:
        assert row.flaws == []
        document = rows()[row.title]
        now = [cell.strip() for cell in row.markdown().strip("|").split(" | ")]
        # How much was lost is the machine's to say.
        assert now[1] == document[1], row.title
        # A busy machine may lose a moment of sound before the camera's follows.
        briefly = {"microphone_lost"} if row.lost_ms["sound"] < 1000 else set()
        assert words(now[3]) - briefly <= words(document[3]), row.title
        # A heartbeat each 5 s sees some of the states that a camera goes through, not always the same.
        assert words(now[4]) <= words(document[4]), row.title
        assert (now[4] == "none") == (document[4] == "none"), row.title


@pytest.mark.slow
def test_no_fault_breaks_the_account():
    assert [flaw for row in play(FAULTS) for flaw in row.flaws] == []
