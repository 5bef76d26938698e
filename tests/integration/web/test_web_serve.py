"""`protokol serve` and `protokol user …` as commands, in processes of their own."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from bench.warm import environment
from retrieval_api.server import Housekeeping
from tests.footage import make_archive
from tests.processes import free_port, protokol, server
from tests.web import Client


@pytest.fixture
def env(tmp_path):
    archive = make_archive(tmp_path)
    archive.close()
    return environment(tmp_path, free_port())


def test_users_from_the_command_line(env) -> None:
    made = protokol(env, "user", "add", "olena", "--role", "operator")
    password = made.stdout.strip()
    assert len(password) == 19
    assert protokol(env, "user", "add", "olena", "--role", "operator", expect=2).stderr.count("olena") == 1
    listed = json.loads(protokol(env, "user", "list", "--json").stdout)
    assert [(user["name"], user["role"], user["state"]) for user in listed] == [
        ("olena", "operator", "active")
    ]
    assert password not in json.dumps(listed)
    with closing(sqlite3.connect(Path(env["PROTOKOL_DATA_DIR"]) / "archive.sqlite")) as index:
        (stored,) = index.execute("SELECT password_hash FROM user_account").fetchone()
    # The library's own choice (RFC 9106, low memory), and not the cheap one of the tests.
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    fresh = protokol(env, "user", "reset", "olena").stdout.strip()
    assert fresh != password
    protokol(env, "user", "disable", "olena")
    assert json.loads(protokol(env, "user", "list", "--json").stdout)[0]["state"] == "disabled"
    assert "no user 'nobody'" in protokol(env, "user", "disable", "nobody", expect=2).stderr


def test_a_password_from_stdin(env) -> None:
    command = [
        sys.executable,
        "-m",
        "protokol",
        "user",
        "add",
        "taras",
        "--role",
        "auditor",
        "--password-stdin",
    ]
    short = subprocess.run(command, env=env, input="short\n", capture_output=True, text=True, check=False)
    assert short.returncode == 2
    assert "12 to 256 characters" in short.stderr
    done = subprocess.run(
        command, env=env, input="a long enough password\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_server_says_when_it_is_ready_and_stops_in_order(env, tmp_path) -> None:
    password = protokol(env, "user", "add", "olena", "--role", "operator").stdout.strip()
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(30)
        env |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        with server(env, tmp_path / "log") as process:
            heard = [supervisor.recv(100) for _ in range(3)]
            assert heard[0] == b"READY=1"
            assert heard[1:] == [b"WATCHDOG=1"] * 2
            with Client(base_url=env["PROTOKOL_PUBLIC_URL"]) as client:
                assert client.log_in("olena", password).status_code == 303
                protokol(env, "user", "disable", "olena")
                assert client.get("/staff/board").status_code == 303
            taken = protokol(env, "serve", "--port", env["PROTOKOL_LISTEN_PORT"], expect=2)
            assert "cannot listen" in taken.stderr
            assert process.terminate() == 0
            said = process.said()
            assert '"event": "stopped"' in said
            assert "Traceback" not in said


def test_a_stop_does_not_wait_for_readers_that_do_not_read(env, tmp_path) -> None:
    address = f"{env['PROTOKOL_PUBLIC_URL']}/openapi.json"
    with server(env, tmp_path / "log") as process, httpx.stream("GET", address):
        assert process.terminate(15) == 0


def test_a_stop_does_not_wait_for_boards_that_are_watched(env, tmp_path) -> None:
    password = protokol(env, "user", "add", "olena", "--role", "operator").stdout.strip()
    with (
        server(env, tmp_path / "log") as process,
        Client(base_url=env["PROTOKOL_PUBLIC_URL"], timeout=30) as client,
    ):
        client.log_in("olena", password)
        with client.stream("GET", "/staff/board/events") as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line == "event: board")
            began = time.monotonic()
            assert process.terminate() == 0
            assert time.monotonic() - began < 8, "uvicorn cuts off only after ten seconds"
            assert list(lines)[-1:] == [""], "the stream ends whole"


def test_what_a_killed_server_left_is_swept_by_one_that_goes_on(tmp_path) -> None:
    """Where others may be writing, nobody may sweep all of it at the start."""
    with closing(make_archive(tmp_path)) as archive:
        old, young = (archive.store.writer(f"108/2026-11-20/{name}.mp4") for name in ("old", "young"))
        left = sorted(archive.store.raw.root.glob("108/*/.incoming-*"), key=lambda path: path.stat().st_ino)
        two_days_ago = time.time() - 48 * 3600
        os.utime(left[0], (two_days_ago, two_days_ago))
        Housekeeping(archive).round()
        assert [path.exists() for path in left] == [False, True]
        for writer in (old, young):
            writer.abort()
