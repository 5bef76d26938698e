"""Looks at a room and listens to it for a minute, in memory alone: what calibration works on.

Nothing is kept: pictures are reduced to a grid of brightness as they come, and the sound is forgotten
with the process. Packets are read and placed as the recorder does it, so that what is measured is what
recordings have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame

from recorder.calibration import CannotTellError
from recorder.calibration_events import Floats, Pictures, Stretch, split_where_torn
from recorder.capture.camera import Address, CameraLink, Inbox, Lost, Opened, Overloaded
from recorder.errors import ProtokolError
from recorder.media_clock import CAMERA, MediaClock, PictureArrivals
from recorder.timeline import TrackTimeline

# Cells of about 27 pixels of a 720p picture.
_ROWS, _COLUMNS = 27, 48
# A greater picture is looked at with every second pixel, or fewer.
_MOST_ROWS = 720
# Until the first sender report the relation of a camera's tracks is a guess; cameras report each five
# seconds or so.
_REPORT_WITHIN_S = 15.0


class SoundListener(Protocol):
    """A microphone of the room, listened to beside the camera, in the place of the camera's sound."""

    def start(self) -> None:
        """Raises ProtokolError."""

    def stop(self) -> tuple[int, Sequence[tuple[float, Floats]]]:
        """Rate, and blocks of mono samples with the host's monotonic microseconds of their first one.

        Less the room's own `av_offset_ms`, where recordings get it.
        """


@dataclass(frozen=True, slots=True)
class Observed:
    """Pictures and sound on the host's monotonic clock, as a recording would have them without offset."""

    pictures: Pictures
    sound: list[Stretch]


def observe(address: Address, seconds: float, microphone: SoundListener | None = None) -> Observed:
    """Looks and listens for that long, after up to 15 s of waiting for the camera's sender reports.

    Raises ProtokolError when the camera fails, CannotTellError when its tracks have no sure relation.
    """
    inbox = Inbox()
    link = CameraLink(address, inbox, "calibration")
    if microphone:
        microphone.start()
    link.start()
    link.want(wanted=True)
    try:
        watcher = _watch(inbox, seconds, with_sound=microphone is None)
    finally:
        link.stop()
        heard = microphone.stop() if microphone else None
    return watcher.observed(heard)


def _watch(inbox: Inbox, seconds: float, *, with_sound: bool) -> _Watcher:
    watcher: _Watcher | None = None
    give_up = time.monotonic() + seconds + _REPORT_WITHIN_S
    while time.monotonic() < give_up:
        item = inbox.take(1.0)
        if isinstance(item, list) and watcher:
            for packet, arrival_us in item:
                watcher.take(packet, arrival_us)
            if watcher.seconds >= seconds:
                break
        elif isinstance(item, tuple):
            event = item[0]
            if isinstance(event, Opened):
                watcher = _Watcher(event, with_sound=with_sound)
            elif isinstance(event, Lost):
                raise ProtokolError(f"the camera failed: {event.detail}; try again when it is well")
            elif isinstance(event, Overloaded) and watcher:
                watcher.forget()
    if watcher is None:
        raise ProtokolError("the camera did not open")
    return watcher


@dataclass(slots=True)
class _Track:
    tick_us: float
    timeline: TrackTimeline = field(default_factory=TrackTimeline)
    came: bool = False


class _Watcher:
    """One connection's packets: placed, decoded and reduced."""

    def __init__(self, opened: Opened, *, with_sound: bool) -> None:
        if opened.video is None or opened.video.time_base is None:
            raise CannotTellError("no_picture", "the camera offers no picture")
        audio = opened.audio if with_sound else None
        if with_sound and audio is None:
            raise CannotTellError("no_sound", "the camera offers no sound: switch it on in its settings")
        self._container = opened.container  # the streams live as long as it does
        self._decoders: dict[int, Any] = {opened.video.index: _decoder(opened.video)}
        self._tracks = {opened.video.index: _Track(float(opened.video.time_base) * 1e6)}
        self._video_index = opened.video.index
        if audio is not None and audio.time_base is not None:
            self._decoders[audio.index] = _decoder(audio)
            self._tracks[audio.index] = _Track(float(audio.time_base) * 1e6)
        self._resampler = AudioResampler("flt", "mono")
        self._rate = audio.codec_context.sample_rate if audio is not None else 0
        self._clock = MediaClock(CAMERA)
        self._arrivals = PictureArrivals(self._clock)
        self.forget()

    def forget(self) -> None:
        """What was collected so far has another time line than what comes."""
        self._arrivals.packets_dropped()
        self._times: list[float] = []
        self._light: list[Floats] = []
        self._motion: list[Floats] = []
        self._blocks: list[tuple[float, Floats]] = []
        self._last: Any = None
        self._awaits_keyframe = True

    @property
    def seconds(self) -> float:
        return (self._times[-1] - self._times[0]) / 1e6 if self._times else 0.0

    def take(self, packet: Any, arrival_us: int) -> None:
        track = self._tracks.get(packet.stream_index)
        if track is None or packet.pts is None:
            return
        self._place(track, packet, arrival_us)
        if not all(each.timeline.reported for each in self._tracks.values() if each.came):
            return
        if packet.stream_index == self._video_index:
            if self._awaits_keyframe and not packet.is_keyframe:
                return
            self._awaits_keyframe = False
        for frame in _decoded(self._decoders[packet.stream_index], packet):
            if frame.pts is None:
                continue
            if isinstance(frame, VideoFrame):
                self._see(frame, frame.pts * track.tick_us)
            else:
                self._hear(frame, frame.pts * track.tick_us)

    def _place(self, track: _Track, packet: Any, arrival_us: int) -> None:
        """As the recorder's session does; but what lies before a step is forgotten, not bridged."""
        track.came = True
        if not track.timeline.reported and packet.has_sidedata("prft"):
            track.timeline.report_seen()
        stamp = packet.pts if packet.dts is None else packet.dts
        if track.timeline.step_us(stamp * track.tick_us, arrival_us):
            self.forget()
        if packet.stream_index == self._video_index:
            self._arrivals.observe(packet.pts * track.tick_us, arrival_us)

    def _see(self, frame: VideoFrame, media_us: float) -> None:
        luma = _luma(frame)
        last = self._last
        change = np.zeros_like(luma) if last is None or last.shape != luma.shape else np.abs(luma - last)
        self._last = luma
        self._times.append(media_us)
        self._light.append(_cells(luma))
        self._motion.append(_cells(change))

    def _hear(self, frame: AudioFrame, media_us: float) -> None:
        for mono in self._resampler.resample(frame):
            self._blocks.append((media_us, mono.to_ndarray().reshape(-1).astype(np.float32)))

    def observed(self, heard: tuple[int, Sequence[tuple[float, Floats]]] | None) -> Observed:
        """`heard`: of a microphone. Raises CannotTellError."""
        if not self._times:
            if any(track.came and not track.timeline.reported for track in self._tracks.values()):
                raise CannotTellError(
                    "no_reports",
                    "the camera sends no sender reports, so its picture and sound have another offset "
                    "each time it is opened: update its firmware, or use a microphone",
                )
            raise CannotTellError("no_picture", "no picture came from the camera")
        host_us = self._clock.host_us
        times_us = np.array([float(host_us(each)) for each in self._times])
        rate, blocks = heard or (self._rate, [(float(host_us(at)), block) for at, block in self._blocks])
        pictures = Pictures(times_us, np.array(self._light), np.array(self._motion))
        return Observed(pictures, split_where_torn(blocks, rate))


def _decoder(stream: Any) -> Any:
    context = stream.codec_context
    context.thread_count = 1
    return context


def _decoded(decoder: Any, packet: Any) -> list[Any]:
    try:
        return list(decoder.decode(packet))
    except av.FFmpegError:
        return []  # a damaged picture; the next keyframe mends it


def _luma(frame: VideoFrame) -> Any:
    """Brightness as 16-bit integers, of at most 720 rows."""
    plane = frame.planes[0]
    step = -(-frame.height // _MOST_ROWS)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height : step, : frame.width : step].astype(np.int16)


def _cells(plane: Any) -> Floats:
    """Means over the cells of the grid; what is left over at the right and at the bottom is not seen."""
    high, wide = plane.shape[0] // _ROWS, plane.shape[1] // _COLUMNS
    whole = plane[: high * _ROWS, : wide * _COLUMNS].reshape(_ROWS, high, _COLUMNS, wide)
    means: Floats = whole.mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    return means
