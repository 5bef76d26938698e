"""`protokol` as a process whose imports have been done: it starts in a fraction of a second.

Forked from a process that has loaded the program and done nothing else with it; from `main` on it is the
command as installed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

_PATIENCE_S = 60.0
_COMMAND_S = 120.0
_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["bench.warm_imports"])


def environment(data: Path, port: int, **more: str) -> dict[str, str]:
    """Settings of an installation of its own in `data`; nothing of this machine's leaks in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
    url = f"http://127.0.0.1:{port}"
    return {
        **inherited,
        "PROTOKOL_SETTINGS_FILE": os.devnull,
        "PROTOKOL_DATA_DIR": str(data),
        "PROTOKOL_SERVER_URL": url,
        "PROTOKOL_PUBLIC_URL": url,
        "PROTOKOL_LISTEN_PORT": str(port),
        "PROTOKOL_SECURE_COOKIES": "false",
        "PROTOKOL_DEMO": "true",
        **more,
    }


def is_ready(url: str) -> bool:
    """Whether a server there says that it takes requests; waits two seconds for its answer at most."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 -- our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run_command(settings: Mapping[str, str], *arguments: str) -> CompletedProcess[str]:
    """A command to its end, with no standard input. Raises TimeoutError after two minutes."""
    with tempfile.TemporaryDirectory(prefix="protokol-command-") as name:
        said = [Path(name) / each for each in ("stdout", "stderr")]
        process = _forking.Process(
            target=_run, args=(dict(settings), [str(each) for each in said], arguments)
        )
        process.start()
        process.join(_COMMAND_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{arguments} did not end: {said[1].read_text('utf-8', 'replace')[-2000:]}")
        return CompletedProcess(arguments, process.exitcode, *(each.read_text("utf-8") for each in said))


class WarmServer:
    """Started at once; the caller closes it. It logs to `log`.

    `serve` replaces the command by a function of the settings' port, found by its name in the other process.
    """

    def __init__(
        self, settings: Mapping[str, str], log: Path, serve: Callable[[int], None] | None = None
    ) -> None:
        self.log = log
        self._url = settings["PROTOKOL_SERVER_URL"]
        self._process = _forking.Process(target=_serve, args=(dict(settings), str(log), serve))
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def wait_until_ready(self) -> None:
        """Raises RuntimeError when it has ended, or does not answer in time."""
        until = time.monotonic() + _PATIENCE_S
        while not is_ready(self._url):
            if not self._process.is_alive() or time.monotonic() > until:
                raise RuntimeError(f"the server does not answer: {self.said()}")
            time.sleep(0.02)

    def kill9(self) -> None:
        """Gone on return, with every file that it had open."""
        self._process.kill()
        self._process.join()

    close = kill9

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-4000:]


def _serve(settings: dict[str, str], log: str, serve: Callable[[int], None] | None) -> None:
    if serve is None:
        _run(settings, [log, log], ("serve", "--port", settings["PROTOKOL_LISTEN_PORT"]))
    else:
        _become(settings, [log, log])
        serve(int(settings["PROTOKOL_LISTEN_PORT"]))


def _run(settings: dict[str, str], said: list[str], arguments: Sequence[str]) -> None:
    import protokol  # noqa: PLC0415 -- here alone: the caller's process does not need it

    _become(settings, said)
    sys.argv = ["protokol", *arguments]
    protokol.main()


def _become(settings: dict[str, str], said: list[str]) -> None:
    """Standard output and error go to these files."""
    for standard, file in enumerate(said, 1):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(settings)
