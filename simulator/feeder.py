"""Pushes each access unit of every camera at its due time: one thread for all of them.

Picture n since 1970 is picture n modulo the loop, so the bar code tells the true capture time, and a
camera that comes back after a fault is where the clock is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import structlog

from simulator.audio import AudioLoop
from simulator.faults import AUDIO, VIDEO, Faults
from simulator.gst import Gst, GstApp
from simulator.media import VideoCodec, VideoLoop
from simulator.schedule import Schedule

_NS = 1_000_000_000
_TICK_NS = 40_000_000
# The thread wakes shortly after the instant at which pictures of 25 fps and blocks of sound are due.
_AFTER_DUE_NS = 300_000
_STEP_NS = 20_000_000

_log = structlog.get_logger()


def video_caps(loop: VideoLoop) -> str:
    spec = loop.spec
    kind = "x-h265,stream-format=hvc1" if spec.codec is VideoCodec.H265 else "x-h264,stream-format=avc"
    return (
        f"video/{kind},alignment=au,width={spec.width},height={spec.height},"
        f"framerate={spec.fps}/1,codec_data=(buffer){loop.codec_data.hex()}"
    )


class Feed:
    """The media of one camera while it is prepared: from the loops into the two `appsrc`."""

    def __init__(
        self,
        element: Any,
        faults: Callable[[], Faults],
        video: Callable[[], VideoLoop],
        audio: Callable[[], AudioLoop | None],
    ) -> None:
        """What is callable is asked at every tick, from the feeder's thread. Loops of sound may differ in
        what they hold and in nothing else.
        """
        self._element = element
        self._faults = faults
        self._video = video
        self._audio = audio
        self._pictures: Any = element.get_by_name(VIDEO)
        self._sounds: Any = element.get_by_name(AUDIO)
        sounds = audio()
        tracks = {VIDEO: self._pictures} if sounds is None else {VIDEO: self._pictures, AUDIO: self._sounds}
        self._unannounced = tracks
        self._base_ns: int | None = None
        self._loop = video()
        self._picture_schedule = _picture_schedule(self._loop)
        self._sound_schedule = None if sounds is None else _sound_schedule(sounds)
        self._awaits_keyframe = False

    def restart(self) -> None:
        """Go on from where the clock is; called when the host's clock was set."""
        self._picture_schedule.restart()
        if self._sound_schedule is not None:
            self._sound_schedule.restart()

    def push_due(self, now_ns: int, wall_minus_clock_ns: int) -> None:
        """Push what was captured until `now_ns` (unix time) and was not yet pushed."""
        if self._base_ns is None:
            self._base_ns = _base_time(self._element)
            if self._base_ns is None:
                return
        zero_ns = wall_minus_clock_ns + self._base_ns  # unix time at running time 0
        faults = self._faults()
        self._announce(faults, now_ns - zero_ns)
        self._push_pictures(now_ns, zero_ns, silent=faults.stalled or VIDEO in faults.dropped)
        audio = self._audio()
        if audio is not None and self._sound_schedule is not None:
            silent = faults.stalled or AUDIO in faults.dropped
            late_ns = round(faults.sound_late_ms * 1_000_000)
            # As if all of it had been later: the due, and the stamps.
            self._push_sounds(audio, self._sound_schedule, now_ns - late_ns, zero_ns - late_ns, silent=silent)

    def _announce(self, faults: Faults, running_ns: int) -> None:
        """Tell the server that a track which is silent from the start is there, and that nothing comes.

        Without it the server would not answer DESCRIBE: it waits for something on each track.
        """
        for track, source in list(self._unannounced.items()):
            if faults.stalled or track in faults.dropped:
                source.send_event(Gst.Event.new_gap(max(0, running_ns), _TICK_NS))
            del self._unannounced[track]

    def _push_pictures(self, now_ns: int, zero_ns: int, *, silent: bool) -> None:
        loop = self._video()
        if loop is not self._loop:
            self._loop, self._awaits_keyframe = loop, True
            self._picture_schedule = _picture_schedule(loop)
            self._pictures.set_caps(Gst.Caps.from_string(video_caps(loop)))
        schedule, count = self._picture_schedule, len(loop.units)
        for place in schedule.due(now_ns):
            unit = loop.units[place % count]
            if silent or (self._awaits_keyframe and not unit.is_keyframe):
                continue
            self._awaits_keyframe = False
            _push(
                self._pictures,
                unit.data,
                pts_ns=schedule.start_ns(place - place % count + unit.number) - zero_ns,
                dts_ns=schedule.start_ns(place - loop.reorder_frames) - zero_ns,
                duration_ns=schedule.start_ns(1),
            )

    def _push_sounds(
        self, audio: AudioLoop, schedule: Schedule, now_ns: int, zero_ns: int, *, silent: bool
    ) -> None:
        for place in schedule.due(now_ns):
            if not silent:
                start_ns = schedule.start_ns(place) - zero_ns
                data = audio.units[place % len(audio.units)]
                _push(
                    self._sounds,
                    data,
                    pts_ns=start_ns,
                    dts_ns=start_ns,
                    duration_ns=schedule.start_ns(1),
                )


def _picture_schedule(loop: VideoLoop) -> Schedule:
    # The picture at a place in decode order is coded once `reorder_frames` more have been taken.
    return Schedule(Fraction(loop.spec.fps), loop.reorder_frames)


def _sound_schedule(audio: AudioLoop) -> Schedule:
    # A block of sound is complete when the next one begins.
    return Schedule(Fraction(audio.rate, audio.unit_samples), 1)


def _push(source: Any, data: bytes, *, pts_ns: int, dts_ns: int, duration_ns: int) -> None:
    if dts_ns < 0:
        return  # captured before the pipeline's time began
    buffer = Gst.Buffer.new_wrapped(data)
    buffer.pts, buffer.dts, buffer.duration = pts_ns, dts_ns, duration_ns
    GstApp.AppSrc.push_buffer(source, buffer)


def _base_time(element: Any) -> int | None:
    """The base time of the pipeline that the element was put into; None until it runs.

    The RTSP server builds the pipeline only after it has shown us the element, and says nothing when it
    starts to run.
    """
    top = element
    while (parent := top.get_parent()) is not None:
        top = parent
    if not isinstance(top, Gst.Pipeline) or top.get_clock() is None:
        return None
    return int(top.get_base_time()) or None


class Feeder(threading.Thread):
    """Feeds every camera that has clients, 25 times a second."""

    def __init__(self) -> None:
        super().__init__(name="feeder", daemon=True)
        self._lock = threading.Lock()
        self._feeds: tuple[Feed, ...] = ()
        self._ends = threading.Event()

    def add(self, feed: Feed) -> None:
        with self._lock:
            self._feeds = (*self._feeds, feed)

    def remove(self, feed: Feed) -> None:
        with self._lock:
            self._feeds = tuple(other for other in self._feeds if other is not feed)

    def stop(self) -> None:
        self._ends.set()

    def run(self) -> None:
        wall_minus_clock_ns = _wall_minus_clock_ns()
        while not self._ends.is_set():
            offset_ns = _wall_minus_clock_ns()
            stepped = abs(offset_ns - wall_minus_clock_ns) > _STEP_NS
            if stepped:
                _log.warning("host_clock_stepped", step_ms=(offset_ns - wall_minus_clock_ns) // 1_000_000)
                wall_minus_clock_ns = offset_ns
            now_ns = time.monotonic_ns() + wall_minus_clock_ns
            for feed in self._feeds:
                if stepped:
                    feed.restart()
                feed.push_due(now_ns, wall_minus_clock_ns)
            left_ns = _TICK_NS - (time.time_ns() - _AFTER_DUE_NS) % _TICK_NS
            self._ends.wait(left_ns / _NS)


def _wall_minus_clock_ns() -> int:
    """Unix time minus GStreamer's system clock, which is the monotonic one.

    Read between two readings of the wall clock, thrice at most: a thread that loses the processor between
    two readings would see a step that never was.
    """
    best_width, best = _NS, 0
    for _ in range(3):
        before, clock, after = time.time_ns(), time.monotonic_ns(), time.time_ns()
        if abs(after - before) < best_width:
            best_width, best = abs(after - before), (before + after) // 2 - clock
        if best_width < 50_000:
            break
    return best
