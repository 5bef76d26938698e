"""The agent's end of the process that looks and listens: starts it, asks it, kills it when it hangs.

Everything here may wait for seconds, so it belongs to the health thread alone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recorder.die_with_parent import die_with_parent
from recorder.health_rules import Levels

# What is to be shown of a picture; a clear one comes with the blurred one beside it.
Show = Literal["blurred", "clear"] | None

_COMMAND = (sys.executable, "-m", "recorder.capture.health_child")
# A picture takes 10 ms; a host that cannot do it in this time has other worries, and the next one is coming.
_ANSWER_S = 10.0
# OpenCV and the decoders are read from the disk first.
_FIRST_ANSWER_S = 30.0
_BACK_OFF_S = (1.0, 60.0)
_PIECE_BYTES = 1 << 16


class LookFailedError(Exception):
    """This was not measured; the process that should have done it is gone."""


class UndecodableError(Exception):
    """This was not measured, because it is no picture, or no sound; the process goes on."""


@dataclass(frozen=True, slots=True)
class SoundCoding:
    """How a source's sound is coded; names are FFmpeg's."""

    codec: str
    rate: int
    layout: str
    extradata: bytes


class HealthProcess:
    """Started by the first question, again after a failure, with a growing pause between attempts."""

    def __init__(self, command: Sequence[str] = _COMMAND, answer_s: float = _ANSWER_S) -> None:
        self._command = tuple(command)
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None
        self._fresh = True
        self._pause_s = 0.0
        self._not_before = 0.0
        self._failure = ""

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    @property
    def rss_bytes(self) -> int | None:
        """Memory of the running process; a third of it is code shared with other rooms' processes."""
        if self.pid is None:
            return None
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def look(self, source: str, codec: str, annexb: bytes, show: Show) -> dict[str, Any]:
        """What `health_child` measured. Raises UndecodableError, LookFailedError."""
        return self._answer({"source": source, "codec": codec, "show": show}, annexb)

    def hear(self, source: str, coding: SoundCoding, packets: Sequence[bytes]) -> list[Levels]:
        """Each second that is full with these packets. Raises UndecodableError, LookFailedError."""
        extradata = base64.b64encode(coding.extradata).decode()
        sound = {"codec": coding.codec, "rate": coding.rate, "layout": coding.layout, "extradata": extradata}
        request = {"source": source, "sound": sound, "sizes": [len(packet) for packet in packets]}
        answer = self._answer(request, b"".join(packets))
        return [Levels(**each) for each in answer["levels"]]

    def _answer(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        if time.monotonic() < self._not_before:
            raise LookFailedError(self._failure)
        line = json.dumps({**request, "bytes": len(data)}).encode() + b"\n"
        try:
            answer = self._ask(line + data)
        except (OSError, ValueError) as error:
            self.stop()
            self._failure = str(error)
            self._pause_s = min(max(self._pause_s * 2, _BACK_OFF_S[0]), _BACK_OFF_S[1])
            self._not_before = time.monotonic() + self._pause_s
            raise LookFailedError(self._failure) from error
        self._fresh = False
        self._pause_s = 0.0
        if "error" in answer:
            raise UndecodableError(str(answer["error"]))
        return answer

    def stop(self) -> None:
        """Killed: it holds nothing that could be lost."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def _ask(self, question: bytes) -> dict[str, Any]:
        """Raises OSError (TimeoutError among them), ValueError."""
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        deadline = time.monotonic() + (
            max(_FIRST_ANSWER_S, self._answer_s) if self._fresh else self._answer_s
        )
        to_child, from_child = process.stdin.fileno(), process.stdout.fileno()
        rest = memoryview(question)
        while rest:
            _wait(to_child, select.POLLOUT, deadline)
            rest = rest[os.write(to_child, rest[:_PIECE_BYTES]) :]
        said = b""
        while not said.endswith(b"\n"):
            _wait(from_child, select.POLLIN, deadline)
            piece = os.read(from_child, _PIECE_BYTES)
            if not piece:
                raise OSError(f"the process ended with code {process.wait()}")
            said += piece
        answer = json.loads(said)
        if not isinstance(answer, dict):
            raise ValueError("the process answered something else")  # noqa: TRY004 one kind of failure for the caller
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._fresh = True
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 it calls the kernel and nothing else
            )
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    os.set_blocking(pipe.fileno(), False)
        return self._process


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left_s = deadline - time.monotonic()
    if left_s <= 0 or not poll.poll(left_s * 1000):
        raise TimeoutError("the process does not answer")
