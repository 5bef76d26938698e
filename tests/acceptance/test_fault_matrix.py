"""docs/fault-matrix.md says what a real agent does: some of its rows are played again."""

from __future__ import annotations

import re

import pytest

from bench.faults import DOCUMENT, FAULTS, play
from simulator.faults import USAGE

# They end a fault or ask; the rest begins one.
HEALING = {"start", "resume", "restore", "mend", "status"}
PLAYED = ("kill", "stall", "drop audio", "resolution 640x360")


def rows():
    """The document's rows by the fault's cell."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {each[0]: each for each in cells}


def words(cell):
    return set(re.findall(r"\w+", cell))


def test_every_fault_of_the_simulator_has_a_row():
    commands = [command.split() for command in USAGE.split(" | ")]
    faults = {
        tuple(word for word in words if word.islower()) for words in commands if words[0] not in HEALING
    }
    stated = {tuple(fault.words.split()) for fault in FAULTS}
    for words in faults:
        assert any(each[: len(words)] == words for each in stated), f"FAULTS of bench/faults.py lacks {words}"
    assert list(rows()) == [fault.title for fault in FAULTS], "run: python -m bench faults --write"


def test_some_rows_played_again_say_the_same():
    played = play([fault for fault in FAULTS if fault.words in PLAYED])
    assert len(played) == len(PLAYED)
    for row in played:
        assert row.flaws == []
        document = rows()[row.title]
        now = [cell.strip() for cell in row.markdown().strip("|").split(" | ")]
        # How much was lost is the machine's to say.
        assert now[1] == document[1], row.title
        for place in (3, 4):
            # A heartbeat each 5 s sees some of the states that a camera goes through, not always the same.
            assert words(now[place]) <= words(document[place]), row.title
            assert (now[place] == "none") == (document[place] == "none"), row.title


@pytest.mark.slow
def test_no_fault_breaks_the_account():
    assert [flaw for row in play(FAULTS) for flaw in row.flaws] == []
