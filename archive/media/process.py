"""Starts the decoding program, asks it, and ends it, whatever it does.

It is given an environment of its own, two pipes, and the coded samples of one segment: no key, no setting, no
open file, no name. What it answers is checked in form (`work.decode_answer`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from archive.job_failure import Failure
from archive.media import work
from recorder.errors import ProtokolError

# A segment takes a third of a second; on a host that is overloaded, thirty times that.
TIME_OUT_S = 30.0
_PIECE_BYTES = 1 << 16
_LOOK_EVERY_S = 0.5
_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-s", "-S", "-P", "-m", "archive.media.child")


class MediaError(ProtokolError):
    """The decoding program did not answer, or not what it was asked: the media may be hostile."""

    failure: ClassVar[Failure] = "decoding_ended"


class MediaTimeOutError(MediaError):
    """It did not answer in time: the media may be hostile, or the host overloaded."""

    failure: ClassVar[Failure] = "decoding_slow"


def environment() -> dict[str, str]:
    """All that the program has of one: where Python finds its modules."""
    spec = importlib.util.find_spec("av")
    places = spec.submodule_search_locations if spec else None
    paths = [str(_ROOT), *(str(Path(place).parent) for place in places or ())]
    return {"PYTHONPATH": os.pathsep.join(paths), "LC_ALL": "C.UTF-8"}


def start(command: tuple[str, ...] = COMMAND) -> subprocess.Popen[bytes]:
    """The program, waiting for its question. Raises MediaError."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=environment(),
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        raise MediaError(f"the decoding program cannot be started: {error}") from error


def ask(
    question: work.Question,
    *,
    look: Callable[[], None] = lambda: None,
    time_out_s: float = TIME_OUT_S,
    command: tuple[str, ...] = COMMAND,
) -> work.Answer:
    """The answer of a program of its own, which has ended on return.

    `look` is called while it is waited for: what it raises ends the program and comes through. Raises
    MediaError, which names whether it hung, died or lied.
    """
    with start(command) as process:
        try:
            said = _exchange(process, b"".join(work.encode_question(question)), look, time_out_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    if not said:
        raise MediaError(f"the decoding program {_how_it_ended(code)} without an answer")
    try:
        return work.decode_answer(said, question)
    except work.WorkError as error:
        raise MediaError(f"the decoding program failed: {error}") from error


def _exchange(
    process: subprocess.Popen[bytes], question: bytes, look: Callable[[], None], time_out_s: float
) -> bytes:
    """Everything the program says. Raises MediaError for one that hangs or says too much."""
    if process.stdin is None or process.stdout is None:
        raise MediaError("the decoding program has no pipes")
    deadline = time.monotonic() + time_out_s
    rest, said = memoryview(question), bytearray()
    for pipe in (process.stdin, process.stdout):
        os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise MediaTimeOutError(f"the decoding program did not answer within {time_out_s:.0f} s")
            look()
            for key, _ in ready.select(min(left_s, _LOOK_EVERY_S)):
                if key.fileobj is process.stdin:
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[_written(process.stdin.fileno(), rest[:_PIECE_BYTES]) :]
                    if not rest:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                piece = os.read(process.stdout.fileno(), _PIECE_BYTES)
                if not piece:
                    return bytes(said)
                said += piece
                if len(said) > work.MAX_ANSWER_BYTES:
                    raise MediaError("the decoding program said more than an answer")


def _written(descriptor: int, data: memoryview) -> int:
    """How much was taken; all of it, by nobody, where the program has ended: what it said is read next."""
    try:
        return os.write(descriptor, data)
    except BrokenPipeError:
        return len(data)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
