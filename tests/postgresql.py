"""A PostgreSQL of the test's own, as an unprivileged user, on a socket in its directory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """Yields the SQLAlchemy URL of its database `postgres`. `directory` must be reachable by others."""
    home = directory / "pg"
    home.mkdir()
    # The server refuses to run as root.
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    if as_user:
        subprocess.run(["chown", USER, home], check=True)
        for each in (directory, *directory.parents):
            if str(each).startswith("/tmp/") and not each.stat().st_mode & 0o001:
                each.chmod(each.stat().st_mode | 0o011)
    data = home / "data"
    initdb = [*as_user, BIN / "initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
    options = f"-c listen_addresses='' -c unix_socket_directories='{home}' -c fsync=off"
    control = [*as_user, BIN / "pg_ctl", "-D", data, "-w", "-l", home / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield f"postgresql+psycopg://{USER}@/postgres?host={home}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")
