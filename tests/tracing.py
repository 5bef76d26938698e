"""System calls of a running process, by strace: watched in their order, or made to fail."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"
_ENDS_WITHIN_S = 20
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")


@dataclass
class Trace:
    """What was seen; complete once the tracing has ended."""

    path: Path

    def calls(self) -> list[str]:
        """Each as `name(arguments) = result`, in the order in which they ended."""
        begun: dict[str, str] = {}
        ended = []
        for line in self.path.read_text("utf-8", "replace").splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                continue
            thread, rest = match["thread"], match["rest"]
            resumed = _RESUMED.fullmatch(rest)
            if rest.endswith(_UNFINISHED):
                begun[thread] = rest.removesuffix(_UNFINISHED)
            elif resumed:
                ended.append(begun.pop(thread, "") + resumed["rest"])
            else:
                ended.append(rest)
        return ended

    def injected(self) -> list[str]:
        return [call for call in self.calls() if "(INJECTED)" in call]


@contextmanager
def traced(pid: int, path: Path, calls: str, *expressions: str) -> Iterator[Trace]:
    """Follow all threads of a process inside the context. Skips where processes may not be traced.

    `calls`: comma-separated; `expressions`: more for strace's -e, as `inject=fsync:error=EIO:when=3`,
    where each thread counts for itself.
    """
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    command = ["strace", "-f", "-y", "-s", "64", "-p", str(pid), "-o", path, "-e", f"trace={calls}"]
    for expression in expressions:
        command += ["-e", expression]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        said = tracer.stderr.readline().decode()
        if "attached" not in said:
            tracer.kill()
            pytest.skip(f"processes cannot be traced here: {said.strip()}")
        try:
            yield Trace(path)
        finally:
            tracer.send_signal(signal.SIGTERM)
            try:
                tracer.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                # strace 6.1 waits without end for a thread that was begun while its process ended. What was
                # seen is written line by line.
                tracer.kill()
