"""A private PostgreSQL for the tests: of a server's own in a directory, gone with it.

One server a pytest process, started when the first test wants it; one database a test, copied from
one that has been migrated already.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from archive.database import Database
from tests.guard import Guard

# Debian keeps the server's programs out of PATH, by major version.
_BIN = Path(os.environ.get("PROTOKOL_TEST_POSTGRESQL_BIN", "/usr/lib/postgresql/15/bin"))
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# A test server is thrown away with its machine: these make a commit take no disk access.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class Server:
    """A running server on a Unix socket. Text in it sorts by code point, as Protokol demands."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """Initdb and start; returns when connections are taken. The server never runs as root."""
        if not (_BIN / "initdb").exists():
            raise RuntimeError(f"no PostgreSQL in {_BIN}; setup-system.sh installs it")
        self.directory = directory
        self._account = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        directory.mkdir(mode=0o700)
        if self._account:
            shutil.chown(directory, "postgres", "postgres")
        initdb = [_BIN / "initdb", "-D", directory / "data", "-U", "protokol", "-A", "trust"]
        self._run(*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        settings = _SETTINGS | ({} if durable else _FORGETFUL)
        self._options = [f"-c{name}={value}" for name, value in settings.items()]
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Again, after `stop`; returns when connections are taken."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_BIN / "postgres", "-D", self.directory / "data", "-k", self.directory, *self._options],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._account,
            )
        # Its directory alone, or the one that was made for it.
        own = (
            self.directory.parent if self.directory.parent.name.startswith("protokol-pg-") else self.directory
        )
        self._guard = Guard(self._process, own, "QUIT")
        self._wait_until_it_answers()

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://protokol@/{name}?host={self.directory}"

    def execute(self, statement: str, name: str = "postgres") -> list[tuple]:
        """One statement outside any transaction; its rows."""
        with psycopg.connect(
            f"host={self.directory} user=protokol dbname={name}", autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a database of one's own, dropped at the end whoever is still connected."""
        if migrated and not self.execute("SELECT 1 FROM pg_database WHERE datname = 'migrated'"):
            self.execute("CREATE DATABASE migrated")
            template = Database(self.url("migrated"))
            template.migrate()
            template.dispose()
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'migrated' if migrated else 'template0'}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self, *, kill: bool = False) -> None:
        """At once; connections are cut. With `kill`, as by a loss of power, but for the disk's cache."""
        self._guard.dismiss()
        self._process.send_signal(signal.SIGQUIT if kill else signal.SIGINT)
        self._process.wait(30)

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = (self.directory / "log").read_text("utf-8", "replace")
                    raise RuntimeError(f"PostgreSQL does not start: {said[-2000:]}") from None
                time.sleep(0.05)
            else:
                return

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._account)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")


@contextmanager
def private_server() -> Iterator[Server]:
    """One of one's own. Its path is short: a socket's has a limit."""
    parent = Path(tempfile.mkdtemp(prefix="protokol-pg-"))
    parent.chmod(0o755)
    server = Server(parent / "pg")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(parent)
