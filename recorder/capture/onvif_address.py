"""A camera that is known by its ONVIF host: asked which stream it has whenever that may have changed.

The camera is asked by a child process (`onvif_child`), in the camera's own thread, when the connection
is opened: it may be away when the agent starts.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from av.container import InputContainer

from recorder.capture.camera import CameraAddress, CameraError, Transport, split_credentials
from recorder.capture.onvif_device import (
    Answer,
    Choice,
    Device,
    Failure,
    GopChange,
    Question,
    shown,
    split_host,
)
from recorder.host_clock import monotonic_us
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from recorder.logging import get_logger
from recorder.manifest import GapCause

# A live camera accepts a connection in milliseconds; more than one lost SYN is not waited for.
_CONNECT_S = 3.0
# Four or five questions of at most 5 s each would be 25 s; a camera that slow is not well.
_CHILD_S = 20.0
_STALE_US = 60 * US_PER_MINUTE
# A stream that does not open although the camera was asked just now: asking again would tell the same.
_ASK_AGAIN_US = 30 * US_PER_SECOND
# A child costs 0.4 s of a core. What does not answer now may be a camera that still starts.
_PAUSE_US = (2 * US_PER_SECOND, 30 * US_PER_SECOND)


@dataclass(slots=True)
class Freshness:
    """When a camera is to be asked for its stream. Pure: times are CLOCK_MONOTONIC."""

    answered_us: int | None = None
    doubtful: bool = False
    _not_before_us: int | None = None
    _pause_us: int = 0

    def answered(self, at_us: int) -> None:
        self.answered_us, self.doubtful = at_us, False
        self._not_before_us, self._pause_us = None, 0

    def failed(self, at_us: int) -> None:
        """Not again at once; after each failure in a row, twice as late."""
        self._pause_us = min(max(2 * self._pause_us, _PAUSE_US[0]), _PAUSE_US[1])
        self._not_before_us = at_us + self._pause_us

    def is_due(self, now_us: int) -> bool:
        if self._not_before_us is not None and now_us < self._not_before_us:
            return False
        if self.answered_us is None:
            return True
        age_us = now_us - self.answered_us
        return age_us >= (_ASK_AGAIN_US if self.doubtful else _STALE_US)


def ask(question: Question, timeout_s: float = _CHILD_S) -> Answer:
    """Has a child process ask the camera; whatever goes wrong is in the answer."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "recorder.capture.onvif_child"],
            input=question.model_dump_json().encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = (
            f"camera {question.host} does not answer by ONVIF within {timeout_s:.0f} s; restart the camera"
        )
        return Answer(failure=Failure.UNREACHABLE, message=message)
    except OSError as error:
        return Answer(failure=Failure.FAULTY, message=f"cannot ask camera {question.host}: {error.strerror}")
    try:
        return Answer.model_validate_json(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        if question.password:
            said = said.replace(question.password, "***")
        message = f"cannot ask camera {question.host}: exit code {done.returncode}, {said or 'nothing said'}"
        return Answer(failure=Failure.FAULTY, message=message)


class OnvifAddress:
    """An Address. Once opened, it is opened by the same stream again, until that fails or is an hour old."""

    def __init__(self, host: str, credentials: str | None, transport: Transport = "tcp") -> None:
        """`host` as rooms.yaml has it; `credentials` is `user:password`. Raises ConfigurationError."""
        self.transport = transport
        self._host = host
        self._credentials = credentials
        user, password = split_credentials(credentials) if credentials is not None else (None, None)
        self._question = Question(host=host, user=user, password=password, record=True)
        self._fresh = Freshness()
        self._stream: CameraAddress | None = None
        self._told = ""
        self._failure = ("the camera was not asked", False)
        self._device: Device | None = None
        self._choice: Choice | None = None
        self._gop: GopChange | None = None

    def __str__(self) -> str:
        return f"onvif {self._host}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnvifAddress) and (other._question, other.transport) == (
            self._question,
            self.transport,
        )

    def __hash__(self) -> int:
        return hash(self._question)

    @property
    def clock_error_ms(self) -> float | None:
        return self._device.clock_error_ms if self._device else None

    def open(self) -> InputContainer:
        """Asks the camera for its stream if that is due, and opens it. Raises CameraError."""
        if self._fresh.is_due(monotonic_us()):
            self._resolve()
        if self._stream is None:
            raise self._error()
        try:
            container = self._stream.open()
        except CameraError:
            self._fresh.doubtful = True
            raise
        self._fresh.doubtful = False
        return container

    def facts(self) -> dict[str, Any]:
        """Of the last time that the camera was asked; nothing before."""
        device, choice, gop = self._device, self._choice, self._gop
        if device is None:
            return {}
        known: dict[str, Any] = {
            "model": device.model,
            "clock_error_ms": device.clock_error_ms,
            "clock_uncertainty_ms": device.clock_uncertainty_ms,
        }
        if choice:
            known["profile"] = choice.profile.name or choice.profile.token
            known["why"] = choice.reason
            known["stream"] = shown(choice.profile.uri or "", self._question.password)
            known["configured_gop_frames"] = gop.after if gop else choice.profile.gop_frames
        return known

    def _resolve(self) -> None:
        """The stream is the camera's present one afterwards. Where that cannot be learnt, the old one is
        tried; without one, raises CameraError.
        """
        if not self._listens():
            if self._stream is None:
                raise CameraError("the camera does not answer", cause=GapCause.CAMERA_UNREACHABLE)
            self._fresh.failed(monotonic_us())
            return
        answer = ask(self._question)
        self._device = answer.device or self._device
        if answer.choice is None or answer.choice.profile.uri is None:
            self._fresh.failed(monotonic_us())
            self._failure = (answer.message, answer.failure is Failure.REFUSED)
            if self._stream is None or answer.failure is Failure.REFUSED:
                raise self._error()
            if answer.message != self._told:
                self._told = answer.message
                log = get_logger(camera=str(self))
                log.warning("camera does not tell its stream; the last one is tried", reason=answer.message)
            return
        self._fresh.answered(monotonic_us())
        self._choice, self._gop = answer.choice, answer.gop
        self._stream = CameraAddress(answer.choice.profile.uri, self._credentials, self.transport)
        self._tell(answer, answer.choice)

    def _error(self) -> CameraError:
        detail, refused = self._failure
        return CameraError(detail, cause=GapCause.CAMERA_UNREACHABLE, refused=refused)

    def _listens(self) -> bool:
        """Cheap, and so asked before a child is started."""
        try:
            socket.create_connection(split_host(self._host), _CONNECT_S).close()
        except OSError:
            return False
        return True

    def _tell(self, answer: Answer, choice: Choice) -> None:
        """Once for each thing that is told."""
        profile, gop, device = choice.profile, answer.gop, answer.device or Device(host=self._host)
        long_gop = gop is not None and gop.after > gop.asked
        told = json.dumps([profile.token, profile.uri, device.reported_host, long_gop])
        if told == self._told:
            return
        self._told = told
        log = get_logger(camera=str(self))
        log.info(
            "camera tells its stream",
            model=device.model,
            profile=profile.name or profile.token,
            picture=profile.picture,
            why=choice.reason,
            stream=shown(profile.uri or "", self._question.password),
            clock_error_ms=device.clock_error_ms,
        )
        if device.reported_host:
            log.info(
                "camera names another host in its stream's address; it is not used", host=device.reported_host
            )
        if gop and long_gop:
            log.warning("camera keeps its long GOP", frames=gop.after, asked=gop.asked, reason=gop.refusal)
        elif gop:
            log.info("camera's GOP is shorter now", frames=gop.after, before=gop.before)
