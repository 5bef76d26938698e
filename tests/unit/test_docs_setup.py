"""docs/setup.uk.md promises ten commands that exist."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

import protokol
from recorder.rooms import parse_rooms, shipped_rooms_text
from recorder.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "setup.uk.md").read_text("utf-8")
MAIN_PATH = "## Десять команд"


def section(heading: str) -> str:
    _, found, rest = TEXT.partition(heading + "\n")
    assert found, heading
    return rest.split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    fences = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in fences]


def commands(text: str) -> list[str]:
    return [line for block in blocks(text, "sh") for line in block.splitlines() if line.strip()]


def protokol_calls(text: str) -> list[list[str]]:
    """Words after each `protokol` that is called, in commands and in running text alike."""
    inline = [each for each in re.findall(r"`([^`\n]+)`", text) if each.startswith("protokol ")]
    calls = []
    for line in [*commands(text), *inline]:
        words = list(itertools.dropwhile(lambda word: re.match(r"[A-Z_]+=", word), shlex.split(line)))
        if "protokol" in words and (words[0] == "protokol" or words[0] == "runuser"):
            after = words.index("--") + 1 if "--" in words else 0
            assert words[after] == "protokol", line
            calls.append(words[after + 1 :])
    return calls


def test_the_main_path_is_ten_commands_each_one_command() -> None:
    listed = commands(section(MAIN_PATH))
    assert 1 <= len(listed) <= 10
    assert all(not re.search(r"&&|;|\|\|", line) for line in listed)
    assert listed[-1] == "systemctl enable --now protokol-agent@108"


def test_every_protokol_command_exists() -> None:
    calls = protokol_calls(TEXT)
    assert len(calls) >= 8
    for words in calls:
        assert any(" ".join(words[:count]) in protokol._COMMANDS for count in (1, 2)), words


def test_every_option_of_a_protokol_command_exists() -> None:
    for words in protokol_calls(TEXT):
        path = next(" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in protokol._COMMANDS)
        command: click.Command | None = protokol.cli
        for word in path.split():
            assert isinstance(command, click.Group), path
            command = command.get_command(click.Context(command), word)
        assert command is not None, path
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_the_units_and_files_it_names_are_installed() -> None:
    units = {path.name.removesuffix(".service") for path in (ROOT / "systemd").iterdir()}
    for line in commands(TEXT):
        if line.startswith("systemctl"):
            for name in line.split():
                if name.startswith("protokol"):
                    assert re.sub(r"@\w+", "@", name) in units, line
    for path in set(re.findall(r"/opt/protokol/([\w./-]+\.sh)", TEXT)):
        assert (ROOT / path).stat().st_mode & 0o100


def test_settings_it_shows_are_settings() -> None:
    keys = {line.split("=")[0].strip() for block in blocks(TEXT, "toml") for line in block.splitlines()}
    assert keys
    assert keys <= set(Settings.model_fields)


@pytest.mark.parametrize("block", blocks(TEXT, "yaml"), ids=["hall", "recorder"])
def test_rooms_it_shows_can_be_added_to_the_shipped_file(block: str) -> None:
    shipped = shipped_rooms_text()
    wanted = re.search(r"id: (\S+)", block)
    assert wanted
    room_id = wanted[1].strip('"')
    without = re.sub(rf'  - id: "{room_id}"\n(    .*\n|\n)*', "", shipped)
    rooms = parse_rooms(without + block)
    assert rooms.room(room_id).id == room_id
    assert len(rooms.rooms) == (8 if without == shipped else 7)


def test_what_one_is_told_to_replace_stands_in_the_shipped_file() -> None:
    told = re.findall(r"замість `(rtsp://[^`]+)`", TEXT)
    assert told
    assert all(url in shipped_rooms_text() for url in told)
    secrets = set(re.findall(r"/etc/protokol/cameras/(cam-\d+)", TEXT))
    assert secrets
    assert all(f"credentials: {name}}}" in shipped_rooms_text() for name in secrets)


def test_the_messages_it_explains_are_the_agents() -> None:
    table = section("## Як перевірити")
    told = re.findall(r"`([a-z][a-z ]+[a-z])`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert len(told) >= 6
    agent = "".join(path.read_text("utf-8") for path in (ROOT / "recorder").rglob("*.py"))
    assert [message for message in told if message not in agent] == []
