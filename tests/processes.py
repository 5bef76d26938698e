"""The installed command as real processes: started on free ports, always ended by their id."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.warm import is_ready, run_command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float, why: str) -> Any:
    """The first true value that `what` gives; fails with `why` when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {why}")


def protokol(
    env: dict[str, str], *arguments: str, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `expect` is the exit code that must come."""
    done = run_command(env, *arguments)
    assert expect is None or done.returncode == expect, (arguments, done.returncode, done.stderr[-2000:])
    return done


def protokol_json(env: dict[str, str], *arguments: str, expect: int | None = None) -> Any:
    return json.loads(protokol(env, *arguments, "--json", expect=expect).stdout)


class Process:
    """A long-running command; `log` has what it said."""

    def __init__(self, env: dict[str, str], log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "protokol", *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def kill9(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def terminate(self, seconds: float = 15) -> int:
        """SIGTERM, then the exit code; kills and fails when it does not end in time."""
        self.popen.terminate()
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"did not end within {seconds} s of SIGTERM; {self.said()}") from None

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]

    def close(self) -> None:
        if self.popen.poll() is None:
            self.kill9()


@contextmanager
def server(env: dict[str, str], log: Path) -> Iterator[Process]:
    """`protokol serve`, ready to answer."""
    process = Process(env, log, "serve", "--port", env["PROTOKOL_LISTEN_PORT"])
    url = env["PROTOKOL_SERVER_URL"]

    def ready() -> bool:
        assert process.popen.poll() is None, process.said()
        return is_ready(url)

    try:
        wait_for(ready, 30, "the server is ready")
        yield process
    finally:
        process.close()
