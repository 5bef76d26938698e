"""`protokol rooms check | hours`, through the front door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.rooms import shipped_rooms_text


def protokol(*arguments: str, data_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    environment |= {"PROTOKOL_DATA_DIR": str(data_dir), "PROTOKOL_SETTINGS_FILE": str(data_dir / "none.toml")}
    return subprocess.run(
        [sys.executable, "-m", "protokol", *arguments],
        env=environment | {f"PROTOKOL_{name.upper()}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_without_a_file_reads_the_shipped_one(tmp_path: Path) -> None:
    done = protokol("rooms", "check", data_dir=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rooms.yaml (as shipped): no problems" in done.stdout
    assert "228-А (228-a), floor 2" in done.stdout


def test_check_without_a_file_prefers_the_live_one(tmp_path: Path) -> None:
    (tmp_path / "rooms.yaml").write_text(shipped_rooms_text().replace("floor: 5", "floor: 6"))
    done = protokol("rooms", "check", data_dir=tmp_path)
    assert f"{tmp_path / 'rooms.yaml'}: no problems" in done.stdout
    assert "512, floor 6" in done.stdout


def test_check_tells_each_problem_on_stderr_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        shipped_rooms_text().replace("label: 228-А", "label: 228-A").replace("floor: 5", "flor: 5")
    )
    done = protokol("rooms", "check", str(path), data_dir=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"{path}:") for line in lines[:-1])
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        "rooms[3].label",
        "rooms[6].floor",
        "rooms[6].flor",
    ]
    assert lines[-1] == "problems: 3"


def test_check_of_a_file_that_is_not_there_fails(tmp_path: Path) -> None:
    done = protokol("rooms", "check", str(tmp_path / "none.yaml"), data_dir=tmp_path)
    assert done.returncode == 2
    assert "none.yaml: cannot be read: No such file or directory" in done.stderr


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-20", 24)])
def test_hours_on_the_days_of_the_clock_change(tmp_path: Path, day: str, hours: int) -> None:
    live = tmp_path / "live.yaml"
    text = shipped_rooms_text().replace('mon-thu: ["08:00-12:00", "13:00-17:00"]', 'daily: ["00:00-24:00"]')
    live.write_text(text.replace('  fri: ["08:00-12:00", "13:00-16:45"]\n', ""))
    done = protokol(
        "rooms", "hours", "228-A", "--date", day, "--json", data_dir=tmp_path, rooms_file=str(live)
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert {key: answer[key] for key in ("room", "label", "date", "timezone")} == {
        "room": "228-a",
        "label": "228-А",
        "date": day,
        "timezone": "Europe/Kyiv",
    }
    assert answer["recorded_us"] == hours * 3600 * 1_000_000
    assert len(answer["windows"]) == 1
    assert answer["windows"][0]["start"].startswith(f"{day}T00:00:00+0")
    assert answer["windows"][0]["end_us"] - answer["windows"][0]["start_us"] == answer["recorded_us"]


def test_hours_for_people(tmp_path: Path) -> None:
    done = protokol("rooms", "hours", "108", "--date", "2026-11-20", data_dir=tmp_path)
    assert "2026-11-20T13:00:00.000+02:00 - 2026-11-20T16:45:00.000+02:00" in done.stdout
    assert "7 h 45 min recorded" in done.stdout
    done = protokol("rooms", "hours", "108", "--date", "2026-11-21", data_dir=tmp_path)
    assert "closed all day" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("999", "--date", "2026-11-20"), "no room '999'; the rooms are 108, 116"),
        (("108", "--date", "2026-02-30"), "not a date: '2026-02-30'; write it as 2026-11-20"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = protokol("rooms", "hours", *arguments, data_dir=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
