"""The health of a room: a thread that is told of pictures and sound, asks the host, and says what is wrong.

Who records never waits for it: `offer_*` put a value where the thread finds it, or drop it. Pictures are
looked at, and cameras' sound is heard, in a process of its own (`health_process.py`), which runs while there
are pictures and no longer.
"""

from __future__ import annotations

import base64
import binascii
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recorder.capture.health_process import (
    HealthProcess,
    LookFailedError,
    Show,
    SoundCoding,
    UndecodableError,
)
from recorder.health_rules import (
    Active,
    Condition,
    HealthRules,
    HostFacts,
    Levels,
    Limits,
    PictureFacts,
    RecordingState,
)
from recorder.host_clock import monotonic_us, wall_minus_monotonic_us
from recorder.instants import US_PER_SECOND
from recorder.logging import get_logger

# Who has a picture to show wakes the thread; the rest waits.
_ROUND_S = 4.0
# Keyframes come at whole seconds, more or less.
_SLACK_US = 100_000
# Sound of a minute and of two cameras, if this thread should hang that long: a megabyte.
_MAX_WAITING = 64
# What a heartbeat tells of loudness: twice what has passed since the last one, so that one may be lost. Sound
# comes in batches of two seconds, and waits for a round.
_METER_SECONDS = 10
_METER_US = (_METER_SECONDS + 4) * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class HealthTerms:
    """`every_us`: pause between two looks at a source, and at the host; tests are in a greater hurry."""

    limits: Limits = field(default_factory=Limits)
    every_us: int = 5 * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Picture:
    """Small grey JPEGs of a source, in memory only. `at_us` is UTC; `clear` only while one is asked for."""

    at_us: int
    blurred: bytes
    clear: bytes | None


class HealthMonitor(threading.Thread):
    """A daemon: what it waits for must not keep the agent. All instants it takes are CLOCK_MONOTONIC."""

    def __init__(
        self,
        host: Callable[[], HostFacts],
        terms: HealthTerms | None = None,
        process: HealthProcess | None = None,
    ) -> None:
        super().__init__(name="health", daemon=True)
        terms = terms or HealthTerms()
        self._host = host
        self._every_us = terms.every_us
        self._stale_us = terms.limits.stale_us
        self._rules = HealthRules(terms.limits)
        self._process = process or HealthProcess()
        self._log = get_logger()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._told: queue.SimpleQueue[tuple[Callable[..., None], str, Any, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, bytes, int]] = {}  # source: codec, picture, arrival
        self._offered_us: dict[str, int] = {}
        self._watched_until_us = 0
        self._clear_until_us = 0
        self._pictures: dict[str, Picture] = {}
        self._sources: dict[str, dict[str, Any]] = {}
        self._loudness: dict[str, tuple[tuple[int, Levels], ...]] = {}
        self._noted_us: dict[str, int] = {}
        self._host_facts: HostFacts | None = None
        self._host_asked_us = 0
        self._active: list[Active] = []
        self._said: dict[str, str] = {}  # event: reason

    # --- told by who records; never waits

    def wants_keyframe(self, source: str, now_us: int) -> bool:
        """Whether it is time for another look at the source."""
        offered_us = self._offered_us.get(source)
        return offered_us is None or now_us - offered_us >= self._every_us - _SLACK_US

    def offer_keyframe(self, source: str, codec: str, annexb: bytes) -> None:
        """`codec`: h264 or hevc; parameter sets in band. Dropped while another one waits."""
        now_us = monotonic_us()
        with self._lock:
            self._offered_us[source] = now_us
            if source in self._waiting:
                return
            self._waiting[source] = (codec, annexb, now_us)
        self._wake.set()

    def offer_sound(self, source: str, levels: Levels) -> None:
        """A second of sound that somebody else has measured; `source` may be a microphone."""
        self._tell(self._hear, source, levels)

    def offer_coded_sound(self, source: str, coding: SoundCoding, packets: Sequence[bytes]) -> None:
        """A second or two of the source's sound as the camera sent it, in whole packets, in their order."""
        self._tell(self._decode, source, (coding, packets))

    def offer_recording(self, source: str, state: RecordingState) -> None:
        """Each second or so, while the source records."""
        self._tell(self._rules.see_recording, source, state)

    def offer_camera_clock(self, source: str, error_us: int) -> None:
        """The camera's clock minus the host's, as sender reports or the camera itself tell it."""
        self._tell(self._rules.see_camera_clock, source, error_us)

    def forget(self, source: str) -> None:
        """Its window has closed: nothing of a picture is kept, and the process ends with the last source."""
        with self._lock:
            self._offered_us.pop(source, None)
            self._waiting.pop(source, None)
            self._pictures.pop(source, None)
        self._wake.set()

    def _tell(self, step: Callable[..., None], source: str, value: object) -> None:
        if self._told.qsize() < _MAX_WAITING:
            self._told.put((step, source, value, monotonic_us()))

    # --- asked by who reports

    def watch(self, until_us: int, clear_until_us: int = 0) -> None:
        """Keep small pictures of all sources at hand until then (CLOCK_MONOTONIC), clear ones beside the
        blurred until `clear_until_us`. No picture is looked at more often for that.
        """
        self._watched_until_us, self._clear_until_us = until_us, clear_until_us

    @property
    def pictures(self) -> dict[str, Picture]:
        """The latest one of each source, while pictures come and somebody watches."""
        now_us = monotonic_us()
        with self._lock:
            if now_us >= self._watched_until_us:
                self._pictures.clear()
            elif now_us >= self._clear_until_us:
                self._pictures = {name: replace(each, clear=None) for name, each in self._pictures.items()}
            return dict(self._pictures)

    @property
    def conditions(self) -> list[Active]:
        """What is wrong at the end of the last round; instants are UTC."""
        return self._active

    def report(self) -> dict[str, Any]:
        """For the heartbeat: JSON-able, a few hundred bytes a source, no picture."""
        facts = self._host_facts
        return {
            "conditions": [
                {
                    "condition": each.condition.value,
                    "source": each.source,
                    "since_us": each.since_us,
                    "detail": each.detail[:200],
                }
                for each in self._active
            ],
            "sources": {name: {**facts, **self._meter(name)} for name, facts in self._sources.items()},
            "host": {
                "disk_free_bytes": facts.disk_free_bytes if facts else None,
                "temperature_c": facts.temperature_c if facts else None,
            },
            "process_rss_bytes": self._process.rss_bytes,
        }

    def _meter(self, source: str) -> dict[str, Any]:
        """Its last seconds of sound, the oldest first, as pairs of rms and peak; nothing of a silent line."""
        heard, since_us = self._loudness.get(source, ()), monotonic_us() - _METER_US
        levels = [[each.rms_dbfs, each.peak_dbfs] for at_us, each in heard if at_us >= since_us]
        return {"levels": levels} if levels else {}

    # --- the thread

    def stop(self) -> None:
        """The thread ends within a look; its process with it."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait(_ROUND_S)
                self._wake.clear()
                try:
                    self._round()
                except Exception as error:  # noqa: BLE001 a defect here must not end the recording
                    self._say("health fails", error)
        finally:
            self._process.stop()

    def _round(self) -> None:
        while not self._told.empty():
            step, source, value, at_us = self._told.get()
            step(source, value, at_us)
        if monotonic_us() - self._host_asked_us >= self._every_us:
            self._host_asked_us = monotonic_us()
            self._host_facts = self._host()
            self._rules.see_host(self._host_facts, self._host_asked_us)
        with self._lock:
            waiting = self._waiting.popitem() if self._waiting else None
            if self._waiting:
                self._wake.set()
        if waiting and not self._stopping.is_set():
            self._look(waiting[0], *waiting[1])
        self._forget_stale(monotonic_us())
        self._conclude(monotonic_us())

    def _look(self, source: str, codec: str, annexb: bytes, at_us: int) -> None:
        now_us = monotonic_us()
        show: Show = None
        if now_us < self._watched_until_us:
            show = "clear" if now_us < self._clear_until_us else "blurred"
        try:
            found = self._process.look(source, codec, annexb, show)
            facts = PictureFacts(found["dark"], found["bright"], found["detail"], found["difference"])
            blurred, clear = (base64.b64decode(found.get(name, "")) for name in ("blurred", "clear"))
        except (LookFailedError, UndecodableError, KeyError, binascii.Error) as error:
            self._say("picture not checked", error)
            self._rules.miss_picture(source, at_us, str(error))
            return
        self._said.pop("picture not checked", None)
        self._rules.see_picture(source, facts, at_us)
        self._note(source, picture=asdict(facts))
        with self._lock:
            # Not of a source that was forgotten meanwhile: its window has closed.
            if blurred and source in self._offered_us:
                self._pictures[source] = Picture(at_us + wall_minus_monotonic_us(), blurred, clear or None)
            else:
                self._pictures.pop(source, None)

    def _decode(self, source: str, sound: tuple[SoundCoding, Sequence[bytes]], at_us: int) -> None:
        # Pictures come with sound: without them no process is wanted.
        if not self._offered_us:
            return
        try:
            seconds = self._process.hear(source, *sound)
        except (LookFailedError, UndecodableError, KeyError, TypeError) as error:
            self._say("sound not checked", error)
            return
        self._said.pop("sound not checked", None)
        for levels in seconds:
            self._hear(source, levels, at_us)

    def _hear(self, source: str, levels: Levels, at_us: int) -> None:
        self._rules.see_sound(source, levels, at_us)
        lately = (*self._loudness.get(source, ())[1 - _METER_SECONDS :], (at_us, levels))
        self._loudness = {**self._loudness, source: lately}
        self._note(source, sound=asdict(levels))

    def _note(self, source: str, **facts: Any) -> None:
        self._noted_us[source] = monotonic_us()
        # Replaced, never changed: `report` reads it from another thread.
        self._sources = {**self._sources, source: {**self._sources.get(source, {}), **facts}}

    def _forget_stale(self, now_us: int) -> None:
        """Without pictures nothing of them is kept, and no process for them runs."""
        for source, offered_us in list(self._offered_us.items()):
            if now_us - offered_us > self._stale_us:
                self.forget(source)
        self._sources = {
            source: facts
            for source, facts in self._sources.items()
            if now_us - self._noted_us[source] <= self._stale_us
        }
        if not self._offered_us:
            self._process.stop()

    def _conclude(self, now_us: int) -> None:
        offset_us = wall_minus_monotonic_us()
        before = {(each.condition, each.source): each for each in self._active}
        now = {}
        for each in self._rules.active(now_us):
            known = before.get((each.condition, each.source))
            # One beginning is told as one instant, however the wall clock is slewed meanwhile.
            since_us = known.since_us if known else each.since_us + offset_us
            now[each.condition, each.source] = Active(each.condition, each.source, since_us, each.detail)
        for key in now.keys() - before.keys():
            self._log.warning("health raised", **_fields(now[key]), detail=now[key].detail)
        for key in before.keys() - now.keys():
            self._log.info("health cleared", **_fields(before[key]))
        self._active = list(now.values())

    def _say(self, event: str, error: Exception) -> None:
        """Once for each reason, not for each picture."""
        text = f"{type(error).__name__}: {error}"
        if self._said.get(event) != text:
            self._said[event] = text
            self._log.warning(event, reason=text)


def _fields(active: Active) -> dict[str, str]:
    name: Condition = active.condition
    return {"condition": name.value, **({"source": active.source} if active.source else {})}
