"""A council of its own in a directory: one room, a real `protokol serve`, a real `protokol agent run`.

SQLite and a local directory; nothing of this machine's settings leaks in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select

from archive.database import Database
from archive.models import SegmentManifestRow
from bench.warm import is_ready
from recorder.instants import format_instant
from recorder.intervals import Interval
from recorder.manifest import SegmentManifest, decode
from simulator.control import free_ports

ROOM = "108"
MICROPHONE = "room-mic"
_EVER = ("--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z")
# A busy machine takes ten seconds to start a process, and more to take a long segment in.
_PATIENCE_S = 120.0


class Installation:
    """A context manager around the server. `camera_url`: None for a room that has a microphone alone.

    The room is recorded around the clock, by `recording`.
    """

    def __init__(self, directory: Path, camera_url: str | None, sound: Mapping[str, str]) -> None:
        """`sound`: the environment in which the agent finds the microphone MICROPHONE."""
        [port] = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROTOKOL_")}
        self._directory = directory
        self._sound = sound
        self._url = url
        self._environment = {
            **inherited,
            "PROTOKOL_SETTINGS_FILE": os.devnull,
            "PROTOKOL_DATA_DIR": str(directory),
            "PROTOKOL_SERVER_URL": url,
            "PROTOKOL_PUBLIC_URL": url,
            "PROTOKOL_LISTEN_PORT": str(port),
            "PROTOKOL_SECURE_COOKIES": "false",
            "PROTOKOL_DEMO": "true",
            "PROTOKOL_AGENT_KEY_FILE": str(directory / "agent.key"),
        }
        self._spool = directory / "spool" / ROOM
        (directory / "rooms.yaml").write_text(_rooms_file(camera_url), "utf-8")
        self._server: subprocess.Popen[bytes] | None = None

    def protokol(self, *arguments: str) -> str:
        """What the command says on stdout. Raises RuntimeError with its complaint when it fails."""
        command = [sys.executable, "-m", "protokol", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stdout[-2000:] + done.stderr[-2000:]
            raise RuntimeError(f"protokol {' '.join(arguments)}: {said}")
        return done.stdout

    @contextmanager
    def recording(self) -> Iterator[None]:
        """The agent runs, and has begun to record. All that it recorded has been shipped on return."""
        process = self._start("agent", "run", ROOM, sound=self._sound)
        try:
            self._wait(lambda: any(self._spool.rglob("*.part")), process, "nothing is recorded")
            yield
        finally:
            _end(process)
        if self._unshipped():
            # The end of an agent does not wait for a slow server; its next beginning goes on shipping.
            unshipped = self._unshipped()
            process = self._start("agent", "run", ROOM, sound=self._sound)
            try:
                self._wait(lambda: not unshipped & self._unshipped(), process, "the spool is not emptied")
            finally:
                _end(process)

    def search(self) -> dict[str, Any]:
        """What `archive search` tells of all time: `segments` and `gaps`."""
        found: dict[str, Any] = json.loads(
            self.protokol("archive", "search", "--room", ROOM, *_EVER, "--json")
        )
        return found

    def manifests(self) -> list[SegmentManifest]:
        """Of the segments that the archive has, by start."""
        database = Database(f"sqlite:///{self._directory / 'archive.sqlite'}")
        with database.reading() as session:
            told = [decode(row).manifest for row in session.scalars(select(SegmentManifestRow.encoded))]
        segments = [manifest for manifest in told if isinstance(manifest, SegmentManifest)]
        return sorted(segments, key=lambda manifest: manifest.start_us)

    def export(self, interval: Interval, output: Path) -> None:
        ends = ("--from", format_instant(interval.start_us), "--to", format_instant(interval.end_us))
        self.protokol("archive", "export", "--room", ROOM, *ends, "--ground", "audit", "-o", str(output))

    def said(self) -> str:
        """The end of what server and agent logged."""
        return (self._directory / "said.log").read_text("utf-8", "replace")[-4000:]

    def _start(self, *arguments: str, sound: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self._directory / "said.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "protokol", *arguments],
                env={**self._environment, **(sound or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _unshipped(self) -> set[Path]:
        return {path for suffix in ("mp4", "gap") for path in self._spool.rglob(f"*.{suffix}")}

    def _wait(self, true: Callable[[], bool], process: subprocess.Popen[bytes], why: str) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not true():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{why}: {self.said()}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        self._server = self._start("serve", "--port", self._environment["PROTOKOL_LISTEN_PORT"])
        try:
            self._wait(partial(is_ready, self._url), self._server, "the server does not answer")
            self.protokol("agent", "enroll", ROOM, "-o", self._environment["PROTOKOL_AGENT_KEY_FILE"])
        except BaseException:
            _end(self._server)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            _end(self._server)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _rooms_file(camera_url: str | None) -> str:
    camera = f'{{name: main, url: "{camera_url}"}}' if camera_url else ""
    lines = ["council: {name: {uk: Рада, en: Council}, timezone: Europe/Kyiv}", "retention: {months: 1}"]
    lines += ["hours:", '  mon-sun: ["00:00-24:00"]', "rooms:"]
    lines += [f'  - {{id: "{ROOM}", label: "{ROOM}", floor: 1, cameras: [{camera}],']
    lines += [f"     microphone: {{device: {MICROPHONE}}}}}"]
    return "\n".join(lines) + "\n"
