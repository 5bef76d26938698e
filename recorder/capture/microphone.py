"""A room's microphone: a thread that keeps its process alive, reads it and never waits for anybody."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

from recorder.capture.microphone_events import (
    MicrophoneEvent,
    MicrophoneLost,
    MicrophoneOpened,
    SoundBlock,
)
from recorder.capture.microphone_wire import Ending, Frame, FrameReader, Kind, WireError, error_of
from recorder.host_clock import monotonic_us
from recorder.instants import now_us
from recorder.logging import get_logger
from recorder.rooms import Microphone

_CHILD = "recorder.capture.microphone_child"
# A stalled USB bus comes back within a second or does not.
_HUNG_S = 2.0
# Starting an interpreter and asking every sound device takes 0.3 s, on a busy host some times that.
_OPEN_S = 5.0
_PAUSE_S = (0.25, 2.0)
# Asking for devices costs 0.2 s of CPU; nobody sees whether a plug was noticed sooner.
_MISSING_PAUSE_S = 2.0
_WAKE_S = 1.0
_READ_BYTES = 65_536
# ALSA writes a few lines for each device that it cannot open; the reason stands at the end.
_WORDS_BYTES = 8_192
# What the detail of a gap may hold.
_DETAIL_CHARACTERS = 200
_REAP_S = 1.0

Receiver = Callable[[MicrophoneEvent], None]


@dataclass(frozen=True, slots=True)
class MicrophoneState:
    """For the heartbeat. `detail`: why it is lost. `since_us`: UTC. `overflows`: since the link was made."""

    state: Literal["closed", "opening", "opened", "lost"] = "closed"
    device: str = ""
    detail: str = ""
    since_us: int = 0
    overflows: int = 0


class MicrophoneError(Exception):
    """The microphone gives nothing. `missing`: there is no such device, so asking again soon is no use."""

    def __init__(self, detail: str, *, missing: bool = False) -> None:
        cut = len(detail) > _DETAIL_CHARACTERS
        super().__init__(detail[: _DETAIL_CHARACTERS - 1] + "…" if cut else detail)
        self.missing = missing


class MicrophoneLink(threading.Thread):
    """Records while it is wanted; when it is not, there is no process and no sound.

    A daemon: the threads of the agent are ended by its own supervision.
    """

    def __init__(self, microphone: Microphone, *, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is laid over the process's own: another sound system, for tests."""
        super().__init__(name="microphone", daemon=True)
        self.state = MicrophoneState(since_us=now_us())
        self.beat_us = monotonic_us()
        self._microphone = microphone
        self._environment = environment
        self._log = get_logger(microphone=microphone.device)
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        # Set when `want` or `stop` was called: whatever this thread waits for, it looks around.
        self._nudge = _Nudge()
        # Held while an event is handed out, so that a new receiver's first event is in its order.
        self._lock = threading.Lock()
        self._receivers: tuple[Receiver, ...] = ()
        self._last_event: MicrophoneOpened | MicrophoneLost | None = None
        self._session = 0

    def subscribe(self, receiver: Receiver) -> None:
        """It is called in this link's thread for each event; it must not block, raise or (un)subscribe.

        Where the microphone is open or lost at present, it is told so first, at once, in the caller's thread.
        """
        with self._lock:
            self._receivers += (receiver,)
            if self._last_event is not None:
                receiver(self._last_event)

    def unsubscribe(self, receiver: Receiver) -> None:
        """It is not called any more when this returns."""
        with self._lock:
            self._receivers = tuple(each for each in self._receivers if each != receiver)

    def want(self, *, wanted: bool) -> None:
        """Record, or end the recording at once.

        Blocks on their way may still come then; no event tells the end.
        """
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
        self._nudge.set()

    def stop(self) -> None:
        self._stopped.set()
        self._nudge.set()

    def run(self) -> None:
        pause_s = 0.0
        while not self._stopped.is_set():
            self.beat_us = monotonic_us()
            if not self._wanted.is_set():
                self._close()
                self._nudge.wait(_WAKE_S)
                continue
            began = time.monotonic()
            try:
                self._record()
            except MicrophoneError as error:
                self._lose(error)
                lasted = time.monotonic() - began > _PAUSE_S[1]
                pause_s = _PAUSE_S[0] if lasted else min(max(pause_s * 2, _PAUSE_S[0]), _PAUSE_S[1])
                self._pause(_MISSING_PAUSE_S if error.missing else pause_s)
        self._close()

    @property
    def _is_wanted(self) -> bool:
        return self._wanted.is_set() and not self._stopped.is_set()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._is_wanted and time.monotonic() < until:
            self.beat_us = monotonic_us()
            self._nudge.wait(min(_WAKE_S, until - time.monotonic()))

    def _record(self) -> None:
        """Returns when it is not wanted any more; raises MicrophoneError when the microphone ends it."""
        self._session += 1
        if self.state.state == "closed":
            self.state = replace(self.state, state="opening", since_us=now_us())
        child = MicrophoneProcess(
            *(f"--channels={self._microphone.channels}", _device_option(self._microphone.device)),
            environment=self._environment,
        )
        try:
            self._read(child)
        finally:
            child.kill()

    def _read(self, child: MicrophoneProcess) -> None:
        reader = FrameReader()
        deadline = time.monotonic() + _OPEN_S
        poll = select.poll()
        for watched in (child.frames, child.words, self._nudge):
            poll.register(watched, select.POLLIN)
        while self._is_wanted:
            self.beat_us = monotonic_us()
            # Looked at even when the time is over: this process itself may have been stopped.
            left_s = max(0.0, deadline - time.monotonic())
            ready = {descriptor for descriptor, _ in poll.poll(min(left_s, _WAKE_S) * 1000)}
            self._nudge.clear()
            if child.words.fileno() in ready and not child.listen():
                poll.unregister(child.words)
            if child.frames.fileno() in ready:
                data = os.read(child.frames.fileno(), _READ_BYTES)
                if not data:
                    raise child.verdict() or MicrophoneError("the microphone's process has ended")
                try:
                    for frame in reader.feed(data):
                        self._deliver(frame)
                except WireError as error:
                    raise MicrophoneError(f"the microphone's process writes nonsense: {error}") from error
                deadline = time.monotonic() + _HUNG_S
            elif time.monotonic() >= deadline:
                what = "sends nothing any more" if self.state.state == "opened" else "does not answer"
                raise MicrophoneError(f"the sound system {what}")

    def _deliver(self, frame: Frame) -> None:
        if frame.kind is Kind.OPENED:
            device = frame.payload.decode("utf-8", "replace")
            self.state = replace(self.state, state="opened", device=device, detail="", since_us=now_us())
            self._log.info("microphone opened", device=device)
            self._tell(MicrophoneOpened(device))
            return
        if frame.overflow:
            self.state = replace(self.state, overflows=self.state.overflows + 1)
        self._tell(
            SoundBlock(frame.payload, frame.end_count, frame.arrival_us, self._session, frame.overflow)
        )

    def _lose(self, error: MicrophoneError) -> None:
        lost = MicrophoneLost(str(error))
        if lost != self._last_event:
            self._log.warning("microphone lost", reason=lost.detail)
            self.state = replace(self.state, state="lost", device="", detail=lost.detail, since_us=now_us())
            self._tell(lost)

    def _close(self) -> None:
        if self.state.state != "closed":
            self.state = MicrophoneState(since_us=now_us(), overflows=self.state.overflows)
            with self._lock:
                self._last_event = None

    def _tell(self, event: MicrophoneEvent) -> None:
        with self._lock:
            if not isinstance(event, SoundBlock):
                self._last_event = event
            for receiver in self._receivers:
                receiver(event)


class MicrophoneProcess:
    """One run of the microphone's process; always ended by `kill`."""

    frames: IO[bytes]
    words: IO[bytes]

    def __init__(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Raises MicrophoneError."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _CHILD, f"--parent={os.getpid()}", *options],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as error:
            raise MicrophoneError(f"the microphone's process cannot start: {error.strerror}") from error
        assert self._process.stdout is not None  # noqa: S101 asked for above
        assert self._process.stderr is not None  # noqa: S101 asked for above
        self.frames, self.words = self._process.stdout, self._process.stderr
        self._said = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self) -> bool:
        """Reads what is on stderr; false at its end."""
        data = os.read(self.words.fileno(), _READ_BYTES)
        self._said = (self._said + data)[-_WORDS_BYTES:]
        return bool(data)

    def verdict(self) -> MicrophoneError | None:
        """Why it failed, once its stdout has ended; None when it did what it was asked."""
        try:
            status = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return MicrophoneError("the microphone's process hangs")
        if status == 0:
            return None
        while self.listen():
            pass
        said = error_of(self._said.decode("utf-8", "replace"))
        if status in list(Ending):
            return MicrophoneError(said, missing=status == Ending.MISSING)
        return MicrophoneError(f"the microphone's process ended ({status}): {said}")

    def kill(self) -> None:
        """Idempotent. One that is stuck in a driver ends when the driver lets it."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        self.frames.close()
        self.words.close()


def list_sound_devices(environment: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """`index`, `name`, `channels`, `rate` and possible `rates` of each that can record.

    Raises MicrophoneError when the sound system does not answer.
    """
    child = MicrophoneProcess("--list", environment=environment)
    try:
        said, until = b"", time.monotonic() + _OPEN_S
        while True:
            if not select.select([child.frames], [], [], max(0.0, until - time.monotonic()))[0]:
                raise MicrophoneError("the sound system does not answer")
            data = os.read(child.frames.fileno(), _READ_BYTES)
            if not data:
                break
            said += data
        error = child.verdict()
        if error is not None:
            raise error
        return [json.loads(line) for line in said.splitlines()]
    finally:
        child.kill()


def _device_option(device: str | int) -> str:
    return f"--index={device}" if isinstance(device, int) else f"--device={device}"


class _Nudge:
    """An event that can be polled together with pipes."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def set(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def wait(self, seconds: float) -> None:
        """Until it is set, or for that long; it is clear again."""
        select.select([self._descriptor], [], [], max(0.0, seconds))
        self.clear()

    def __del__(self) -> None:
        os.close(self._descriptor)
