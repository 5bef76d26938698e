"""A camera's RTSP connection: a thread that opens it, reads packets and never waits for anybody.

What it sees goes into an Inbox, in order: Opened, bursts of packets, Overloaded, Lost. The recorder
empties the inbox; when it does not keep up, packets are dropped here and the drop is reported.
"""

from __future__ import annotations

import queue
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from recorder.capture.decoding import codec_name
from recorder.errors import ConfigurationError
from recorder.host_clock import monotonic_us
from recorder.logging import get_logger, redact
from recorder.manifest import GapCause

# For connecting and for each read, kept by FFmpeg. A camera that is switched on answers in milliseconds; more
# than one lost SYN is not waited for. PyAV's own limit of reading calls Python before each of the 700 reads
# in a second, for a sixth of all CPU; the recorder sees sooner than this that nothing comes.
_SOCKET_TIMEOUT_US = 3_000_000
_OPEN_TIMEOUT_S = 6.0
# About 6 s of 25 pictures and 50 packets of sound; the heaviest cameras send 2 MB in a second.
_INBOX_PACKETS = 450
# Packets are read in bursts: between two of them the kernel holds what comes, for a kill to lose. Waking
# for each packet would cost a third more of all CPU; each burst a second costs about a twentieth of
# FFmpeg's CPU. With 25 pictures a second the next burst ends 200 ms after the last one. The packet that
# ends a burst was waited for, so its arrival is exact; the clock needs no other.
_BURST_NS = 168_000_000
_WAITED_NS = 2_000_000
# A burst ends with a picture, as long as pictures come: the one before it is then whole, and what a kill
# can lose counts from there. (FFmpeg's parser gives a picture away when the next one begins.)
_PICTURE_WITHIN_NS = 100_000_000
_BURST_PACKETS = 200
# What comes by UDP is read at once, because the kernel holds no more of it than net.core.rmem_max says
# (200 KB as a rule, which a keyframe alone may fill). A packet that overtook others waits for them this
# long (us); what is then still missing is lost.
_UDP_OPTIONS = {"buffer_size": "4194304", "reorder_queue_size": "500", "max_delay": "100000"}
# Not at first, when the recorder learns how late packets are.
_BURSTS_AFTER_NS = 1_000_000_000
_PAUSE_S = (0.25, 1.0)
# Wrong passwords lock accounts: cameras are asked rarely, the longer they refuse the more so.
_REFUSED_PAUSE_S = (5.0, 300.0)


@dataclass(frozen=True, slots=True)
class Opened:
    """The camera sends. The streams live as long as `container` is open; of what was made of them only
    decoders live on.

    It is open until `taken` is set by the one who has looked at them, whatever the camera does meanwhile.
    """

    container: InputContainer
    video: VideoStream | None
    audio: AudioStream | None
    taken: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Packets between the one before and the one after were dropped."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended or could not be made."""

    cause: GapCause
    detail: str


Transport = Literal["tcp", "udp"]
Event = Opened | Overloaded | Lost
Burst = list[tuple[Any, int]]  # packets and their arrivals on CLOCK_MONOTONIC


class Inbox:
    """From the camera's thread to its recorder: bursts of packets, and events, in their order.

    Bounded: what does not fit is dropped whole, until the recorder has caught up, and it is told so.
    """

    def __init__(self, *, limit_packets: int = _INBOX_PACKETS) -> None:
        self._queue: queue.SimpleQueue[Burst | tuple[Event, int] | None] = queue.SimpleQueue()
        self._limit_packets = limit_packets
        self._dropping = False
        # Each is written by one thread alone.
        self._put_packets = self._taken_packets = 0

    def put_burst(self, burst: Burst) -> None:
        waiting = self._put_packets - self._taken_packets
        if waiting >= self._limit_packets or (waiting and self._dropping):
            self._dropping = True
            return
        if self._dropping:
            self._dropping = False
            self._queue.put((Overloaded(), burst[0][1]))
        self._put_packets += len(burst)
        self._queue.put(burst)

    def put(self, event: Opened | Lost, at_us: int) -> None:
        self._queue.put((event, at_us))

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()

    def wake(self) -> None:
        """`take` returns now."""
        self._queue.put(None)

    def take(self, timeout_s: float) -> Burst | tuple[Event, int] | None:
        """The oldest burst or event; None when none came in time."""
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, list):
            self._taken_packets += len(item)
        return item


def split_credentials(credentials: str) -> tuple[str, str]:
    """User and password of `user:password`, as the secret file holds it. Raises ConfigurationError."""
    user, colon, password = credentials.strip().partition(":")
    if not colon or not user:
        raise ConfigurationError("a camera's credentials must be one line, user:password")
    return user, password


class Address(Protocol):
    """Where a camera is, and how it is opened. Two that are equal lead to the same camera; as text it bears
    no password.
    """

    transport: Transport

    @property
    def clock_error_ms(self) -> float | None:
        """The camera's UTC minus the host's when it was last asked; None when unknown."""

    def open(self) -> InputContainer:
        """Connects and reads until the streams are known. Raises CameraError."""

    def facts(self) -> dict[str, Any]:
        """What is known of the camera besides what it sends, for people; no password."""


class CameraAddress:
    """An RTSP URL and the credentials for it, which never reach a log."""

    clock_error_ms: float | None = None

    def __init__(self, url: str, credentials: str | None, transport: Transport = "tcp") -> None:
        """`credentials` is `user:password` as the secret file holds it."""
        self._url = url
        self.transport = transport
        if credentials is not None:
            parts = urllib.parse.urlsplit(url)
            secret = ":".join(urllib.parse.quote(part, safe="") for part in split_credentials(credentials))
            host = parts.netloc.rpartition("@")[2]
            self._url = urllib.parse.urlunsplit(parts._replace(netloc=f"{secret}@{host}"))

    def __str__(self) -> str:
        return redact(self._url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CameraAddress) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self._url, self.transport

    def open(self) -> InputContainer:
        """Connects and reads until the streams are known. Raises CameraError."""
        options = {
            "rtsp_transport": self.transport,
            **(_UDP_OPTIONS if self.transport == "udp" else {}),
            "timeout": str(_SOCKET_TIMEOUT_US),
            # The streams' parameters are taken from the first keyframe; do not guess a frame rate.
            "fpsprobesize": "0",
        }
        try:
            return av.open(self._url, options=options, timeout=(_OPEN_TIMEOUT_S, None))
        except (av.FFmpegError, OSError) as error:
            raise CameraError.of(error) from error

    def facts(self) -> dict[str, Any]:
        return {}


class CameraError(Exception):
    """`refused`: the camera is there and says no, so asking again soon would do harm."""

    def __init__(self, detail: str, *, cause: GapCause, refused: bool = False) -> None:
        super().__init__(detail)
        self.cause = cause
        self.refused = refused

    @classmethod
    def of(cls, error: Exception) -> CameraError:
        unreachable = GapCause.CAMERA_UNREACHABLE
        if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
            return cls("the camera refuses the user or the password", cause=unreachable, refused=True)
        if isinstance(error, av.error.HTTPNotFoundError):
            return cls("the camera knows no stream of that path", cause=unreachable, refused=True)
        if isinstance(error, (av.error.ExitError, TimeoutError)):
            return cls("the camera does not answer", cause=unreachable)
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return cls(redact(text)[:150], cause=unreachable)


class _Pace:
    """When a burst may end. Between two bursts the thread sleeps, or it goes on reading (UDP)."""

    def __init__(self, now_ns: int, *, sleeps: bool) -> None:
        self.due_ns = 0
        self._from_ns = now_ns + _BURSTS_AFTER_NS
        self._sleeps = sleeps

    def burst_ended(self, now_ns: int) -> None:
        if now_ns <= self._from_ns:
            return
        if self._sleeps:
            time.sleep(_BURST_NS / 1e9)
        else:
            self.due_ns = now_ns + _BURST_NS


class CameraLink(threading.Thread):
    """Keeps the connection while it is wanted. A daemon: a hung socket must not keep the agent."""

    def __init__(self, address: Address, inbox: Inbox, source: str) -> None:
        super().__init__(name=f"camera-{source}", daemon=True)
        self._address = address
        self._inbox = inbox
        self._log = get_logger(source=source, camera=str(address))
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        # The present session goes on. Set by this thread, cleared by others: looked at for each packet.
        self._reading = False
        self._pause_s = 0.0
        self._last_error = ""

    def want(self, *, wanted: bool) -> None:
        """Connect, or disconnect: at the next burst, or when the camera has been silent for three seconds."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
            self._reading = False

    def reopen(self, *, pause_s: float = 0.0) -> None:
        """Gives up the present session: something is wrong with it that reading does not show."""
        self._pause_s = pause_s
        self._reading = False

    def stop(self) -> None:
        self._stopped.set()
        self._wanted.set()
        self._reading = False

    def run(self) -> None:
        pause_s = refused_s = 0.0
        while True:
            self._wanted.wait()
            if self._stopped.is_set():
                return
            began = time.monotonic()
            try:
                self._read_session()
            except CameraError as error:
                self._report(error)
                if error.refused:
                    refused_s = min(max(refused_s * 2, _REFUSED_PAUSE_S[0]), _REFUSED_PAUSE_S[1])
                    self._stopped.wait(refused_s)
                    continue
            refused_s = 0.0
            lasted = time.monotonic() - began > 2 * _PAUSE_S[1]
            pause_s = _PAUSE_S[0] if lasted else min(max(pause_s * 2, _PAUSE_S[0]), _PAUSE_S[1])
            if self._wanted.is_set():
                self._stopped.wait(max(pause_s, self._pause_s))
                self._pause_s = 0.0

    def _report(self, error: CameraError) -> None:
        self._inbox.put(Lost(error.cause, str(error)), monotonic_us())
        if str(error) != self._last_error:
            self._last_error = str(error)
            self._log.warning("camera lost", reason=str(error), cause=error.cause.value)

    def _read_session(self) -> None:
        self._reading = True
        container = self._address.open()
        opened: Opened | None = None
        try:
            streams = container.streams
            video = streams.video[0] if streams.video else None
            audio = streams.audio[0] if streams.audio else None
            opened = Opened(container, video, audio)
            self._inbox.put(opened, monotonic_us())
            self._log.info("camera opened", tracks=[codec_name(s) for s in (video, audio) if s])
            self._last_error = ""
            self._read(container, video, audio)
        finally:
            # Else whoever drops it last closes it: reading a stream of a closed one is a crash.
            if opened is None or opened.taken.is_set():
                container.close()

    def _read(self, container: InputContainer, video: VideoStream | None, audio: AudioStream | None) -> None:
        """Returns when the session is given up; raises CameraError when the camera ends it."""
        inbox, clock_ns = self._inbox, time.monotonic_ns
        streams = [each for each in (video, audio) if each]
        video_index = video.index if video else -1
        burst: Burst = []
        asked_ns = woke_ns = now_ns = clock_ns()
        pace, live = _Pace(now_ns, sleeps=self._address.transport == "tcp"), False
        failure: Exception | None = None
        try:
            # Cameras send other things too, such as what they think they see.
            for packet in container.demux(*streams):
                if packet.size == 0:
                    break  # PyAV's way to say that the stream ended or that reading timed out
                now_ns = clock_ns()
                burst.append((packet, now_ns // 1000))
                # Once one packet was waited for, arrivals are exact, and the next picture's is too.
                live = live or now_ns - asked_ns > _WAITED_NS
                ends = packet.stream_index == video_index or now_ns - woke_ns > _PICTURE_WITHIN_NS
                if (live and ends and now_ns >= pace.due_ns) or len(burst) >= _BURST_PACKETS:
                    inbox.put_burst(burst)
                    if not self._reading:
                        return
                    burst = []
                    pace.burst_ended(now_ns)
                    woke_ns, live = clock_ns(), False
                asked_ns = clock_ns()
        except (av.FFmpegError, OSError) as error:
            failure = error
        if burst:
            inbox.put_burst(burst)
        if clock_ns() - now_ns > 0.9 * _SOCKET_TIMEOUT_US * 1000:
            raise CameraError("the camera sends nothing any more", cause=GapCause.CAMERA_STALLED)
        if failure is not None:
            raise CameraError.of(failure) from failure
        raise CameraError("the camera closed the connection", cause=GapCause.CAMERA_UNREACHABLE)
