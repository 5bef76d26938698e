"""Commands change a camera's state, or are refused with what can be said."""

from __future__ import annotations

import pytest

from simulator.faults import CommandError, Faults, change, describe
from simulator.media import MediaError


def after(*commands: str) -> Faults:
    faults = Faults()
    for command in commands:
        faults = change(faults, command.split())
    return faults


def test_faults_add_up_and_are_mended_one_by_one() -> None:
    broken = after("stall", "drop audio", "clock -3600.5", "loss 0.1", "resolution 640x480", "kill")
    assert broken == Faults(
        killed=True,
        stalled=True,
        dropped=frozenset({"audio"}),
        size=(640, 480),
        clock_offset_s=-3600.5,
        loss=0.1,
    )
    flawed = after("black", "blur", "hum")
    assert describe(flawed) == "picture: blur, sound: hum", "one of each at a time"
    assert describe(broken) == "killed, stalled, no audio, 640x480, clock -3600.5 s, loss 0.1"


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        ("kill", "start"),
        ("stall", "resume"),
        ("drop video", "restore"),
        ("clock 5", "clock 0"),
        ("loss 1", "loss 0"),
        ("sound-late 120.5", "sound-late 0"),
        *((look, "see") for look in ("black", "freeze", "cover", "blur")),
        *((sound, "hear") for sound in ("silence", "clip", "hum")),
    ],
)
def test_each_fault_is_undone_by_its_word(fault: str, mend: str) -> None:
    assert after(fault) != Faults()
    assert after(fault, mend) == Faults()
    assert describe(after(fault, mend)) == "well"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "explode",
        "drop",
        "drop smell",
        "loss",
        "loss 2",
        "loss nan",
        "clock soon",
        "stall now",
        "sound-late -1",
    ],
)
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(CommandError):
        after(line)


@pytest.mark.parametrize("size", ["640", "x480", "640x", "640xx480", "-2x480"])
def test_a_bad_size_is_named(size: str) -> None:
    with pytest.raises(MediaError, match="not a picture size"):
        after(f"resolution {size}")
