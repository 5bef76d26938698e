"""Ends what a test process has begun when that process is killed, and no fixture can."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Its standard input is a pipe of ours: at its end, however we end, `read` returns.
_SCRIPT = 'read -r _; kill -s "$1" -- "$2"; [ -z "$3" ] || rm -rf -- "$3"'


class Guard:
    """From now until `dismiss`, the end of this process is the end of `process`, and of `directory` with it.

    With `group`, of all that is in its process group.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        directory: Path | None = None,
        signal: str = "KILL",
        *,
        group: bool = False,
    ) -> None:
        # A session of its own: a Ctrl-C or a kill of the process group must not end it first.
        self._shell = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "sh", signal, f"{'-' if group else ''}{process.pid}", str(directory or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The process was ended in order; call it before that is waited for."""
        self._shell.kill()
        self._shell.communicate()
