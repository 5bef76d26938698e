"""One connection of a camera: its packets get their time, and runs begin and end.

Arrivals give the clock, sender reports align the tracks, steps are bridged until the next keyframe,
where a new run begins on the new time line. Nothing is lost on the way from run to run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recorder.capture.camera import Opened
from recorder.capture.health import HealthMonitor
from recorder.capture.health_process import SoundCoding
from recorder.capture.muxer import VIDEO_TIMESCALE
from recorder.capture.parameters import parameter_sets
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.ledger import Ledger
from recorder.logging import get_logger
from recorder.manifest import ClockStatement, GapCause, Track
from recorder.media_clock import CAMERA, MediaClock
from recorder.run import MediaError, Run, RunClock, RunTerms, SoundSource
from recorder.segmenter import SOUND_GRACE_US
from recorder.timeline import TrackTimeline

# While a camera is being opened its packets queue; after this the arrivals are real, so the least
# late of them is known.
_HOLD_US = 300_000
# Cameras report every five seconds or so.
_REPORT_WITHIN_US = 15_000_000
# Sound goes to the room's health in batches: each costs two processes a wake-up.
_HEARD_US = 2 * US_PER_SECOND
_VIDEO_TICK_US = US_PER_SECOND / VIDEO_TIMESCALE
_DEFAULT_FRAME_TICKS = 3600


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What a session asks its surroundings at each new run.

    `may_record` says why not, or None. `trust` is the host clock's (uncertainty_us, estimated).
    """

    configuration_version: Callable[[], int]
    av_offset_us: int
    segment_us: int
    window: Callable[[], Interval | None]
    trust: Callable[[], tuple[int, bool]]
    wall_offset_us: Callable[[], int]
    may_record: Callable[[], GapCause | None]
    health: HealthMonitor | None = None


@dataclass(slots=True)
class _Track:
    """`shift` is added to the packets' ticks so that the time line goes on over steps."""

    index: int
    tick_us: float
    timeline: TrackTimeline
    shift: int = 0
    packets: int = 0
    last_dts: int | None = None
    last_packet_us: int = 0


class Session:
    """Feed it the connection's packets in order. Raises DiskError and MediaError; `fail` then."""

    def __init__(
        self, opened: Opened, opened_us: int, ledger: Ledger, terms: SessionTerms, source: str
    ) -> None:
        """Raises MediaError for a camera that offers no picture, or one that cannot be kept."""
        if opened.video is None:
            raise MediaError("the camera offers no picture")
        if opened.video.codec_context.name not in ("h264", "hevc"):
            name = opened.video.codec_context.name
            raise MediaError(f"the camera sends {name} video; set it to H.264 or H.265")
        if opened.video.time_base is None or opened.video.time_base.denominator != VIDEO_TIMESCALE:
            raise MediaError(f"the camera counts pictures by {opened.video.time_base}, not by 1/90000 s")
        self.opened_us = opened_us
        self._codec = opened.video.codec_context.name
        self._extradata = bytes(opened.video.codec_context.extradata or b"")
        self._ledger = ledger
        self._terms = terms
        self._source = source
        self._log = get_logger(source=source)
        self._video = _Track(opened.video.index, _VIDEO_TICK_US, TrackTimeline())
        self._audio: _Track | None = None
        self._sound: SoundSource | None = None
        if opened.audio is not None and opened.audio.time_base is not None:
            timescale = opened.audio.time_base.denominator
            context = opened.audio.codec_context
            copied = context.name == "aac" and bool(context.extradata)
            self._sound = SoundSource(opened.audio, timescale, copied)
            self._audio = _Track(opened.audio.index, US_PER_SECOND / timescale, TrackTimeline())
            extradata = bytes(context.extradata or b"")
            self._coding = SoundCoding(context.name, context.sample_rate, context.layout.name, extradata)
        self._heard: list[bytes] = []
        self._heard_from_us = 0
        self._clock = MediaClock(CAMERA)
        self._clock_jumps = 0
        self._held: list[tuple[Any, int]] | None = []
        self._observing = False
        self._sound_waits_since_us = 0
        self._sets = b""
        self._roll = False
        self._run: Run | None = None
        # A run whose picture has ended and whose sound may still be on its way, and its sound's shift.
        self._closing: Run | None = None
        self._closing_shift = 0
        self._closing_until_us = 0.0
        self._run_clock: RunClock | None = None

    @property
    def run(self) -> Run | None:
        return self._run

    @property
    def runs(self) -> list[Run]:
        return [run for run in (self._closing, self._run) if run]

    @property
    def last_video_us(self) -> int:
        """Arrival of the last picture (monotonic), or of the connection."""
        return self._video.last_packet_us or self.opened_us

    @property
    def pictures(self) -> int:
        return self._video.packets

    def sound_waits(self, now_us: int) -> bool:
        """Whether sound has come for so long on a clock that stood still that only reopening helps."""
        since_us = self._sound_waits_since_us
        return bool(since_us) and now_us - since_us > _REPORT_WITHIN_US

    def take(self, packet: Any, arrival_us: int) -> None:
        held = self._held
        if held is None:
            self._process(packet, arrival_us)
            return
        held.append((packet, arrival_us))
        if arrival_us - held[0][1] < _HOLD_US:
            return
        self._held = None
        for each, at_us in held:
            if each.stream_index == self._video.index and each.pts is not None:
                self._clock.observe(each.pts * _VIDEO_TICK_US, at_us)
        for each, at_us in held:
            self._process(each, at_us)
        self._observing = True

    def end_run_at_keyframe(self) -> None:
        """The present run ends where the next keyframe begins, and another begins if it may."""
        self._roll = True

    def end(self) -> None:
        """Everything recorded is committed; a run may begin at the next keyframe, if packets come."""
        closing, self._closing = self._closing, None
        if closing:
            closing.finish()
        run, self._run = self._run, None
        if run:
            run.finish()

    def fail(self, error: ProtokolError) -> int | None:
        """After an error: saves what can be saved; from when on (UTC) something open was lost."""
        lost = [run.give_up(error) for run in self.runs]
        self._run = self._closing = None
        return min((each for each in lost if each is not None), default=None)

    def _process(self, packet: Any, arrival_us: int) -> None:
        index = packet.stream_index
        if index == self._video.index:
            self._process_video(packet, arrival_us)
        elif self._audio is not None and index == self._audio.index:
            self._process_audio(self._audio, packet, arrival_us)

    def _process_video(self, packet: Any, arrival_us: int) -> None:
        track = self._video
        dts = self._place(track, packet, arrival_us)
        pts = packet.pts
        pts = dts if pts is None else pts + track.shift
        media_us = pts * _VIDEO_TICK_US
        if self._observing:
            self._clock.observe(media_us, arrival_us)
        keyframe = packet.is_keyframe
        if keyframe:
            pts, dts = self._at_keyframe(packet, pts, dts)
        run = self._run
        if run is not None:
            if keyframe:
                self._show(packet, arrival_us)
            cadence = track.timeline.cadence_us
            duration = cadence / _VIDEO_TICK_US if cadence else _DEFAULT_FRAME_TICKS
            run.video(packet, pts, dts, duration, keyframe=keyframe)
        if self._closing and media_us > self._closing_until_us:
            self._finish_closing()

    def _show(self, packet: Any, arrival_us: int) -> None:
        """What is recorded is shown to the room's health, now and then; what is not recorded is not."""
        health = self._terms.health
        if health is None or not health.wants_keyframe(self._source, arrival_us):
            return
        in_band = parameter_sets(self._codec, packet)
        picture = bytes(packet) if in_band else self._extradata + bytes(packet)
        health.offer_keyframe(self._source, self._codec, picture)
        reported = packet.get_sidedata("prft") if packet.has_sidedata("prft") else None
        if reported is not None:
            camera_us = int.from_bytes(bytes(reported)[:8], sys.byteorder, signed=True)
            wall_us = arrival_us + self._terms.wall_offset_us()
            health.offer_camera_clock(self._source, camera_us - wall_us)

    def _let_hear(self, health: HealthMonitor, packet: Any, arrival_us: int) -> None:
        self._heard.append(bytes(packet))
        if arrival_us - self._heard_from_us >= _HEARD_US:
            health.offer_coded_sound(self._source, self._coding, self._heard)
            self._heard, self._heard_from_us = [], arrival_us

    def _process_audio(self, track: _Track, packet: Any, arrival_us: int) -> None:
        pts = self._place(track, packet, arrival_us)
        if track.timeline.stood_still:
            self._sound_waits_since_us = self._sound_waits_since_us or arrival_us
            return
        if self._run is not None and self._terms.health is not None:
            self._let_hear(self._terms.health, packet, arrival_us)
        duration = packet.duration or (track.timeline.cadence_us or 0) / track.tick_us
        run, closing = self._run, self._closing
        if closing:
            if run is None or pts * track.tick_us < run.start_media_us:
                closing.audio(packet, pts - track.shift + self._closing_shift, duration)
                return
            self._finish_closing()
        if run:
            run.audio(packet, pts, duration)

    def _place(self, track: _Track, packet: Any, arrival_us: int) -> int:
        """The packet's decoding time on the continuous time line, in its track's ticks."""
        track.packets += 1
        track.last_packet_us = arrival_us
        timeline = track.timeline
        if not timeline.reported and packet.has_sidedata("prft"):
            timeline.report_seen()
        dts = packet.dts
        if dts is None:
            dts = packet.pts
        if dts is None:
            dts = 0 if track.last_dts is None else track.last_dts + 1
        track.last_dts = dts
        step_us = timeline.step_us(dts * track.tick_us, arrival_us)
        if step_us > 0 and timeline.stood_still:
            # The report has put the track right: this is no step but the end of one.
            timeline.stood_still = False
            self._sound_waits_since_us = 0
        elif step_us:
            track.shift -= round(step_us / track.tick_us)
            self._roll = True
            self._log.info("time line stepped", ms=round(step_us / 1000, 1), video=track is self._video)
        return int(dts) + track.shift

    def _at_keyframe(self, packet: Any, pts: int, dts: int) -> tuple[int, int]:
        """Begins a run where one is due; pts and dts on the time line that is in force afterwards."""
        sets = parameter_sets(self._codec, packet) or self._sets
        changed = self._run is not None and sets != self._sets
        self._sets = sets
        jumped = self._clock.jumps != self._clock_jumps
        if self._run is not None and not (self._roll or changed or jumped):
            return pts, dts
        shift = self._video.shift
        if shift:
            self._clock.shift_media(-shift * _VIDEO_TICK_US)
            if self._run_clock:
                self._run_clock.shift_us -= shift * _VIDEO_TICK_US
        sound_shift = self._audio.shift if self._audio else 0
        self._video.shift = 0
        if self._audio:
            self._audio.shift = 0
        self._roll = False
        self._clock_jumps = self._clock.jumps
        self._begin_run(packet, pts - shift, sound_shift)
        return pts - shift, dts - shift

    def _begin_run(self, packet: Any, pts: int, sound_shift: int) -> None:
        """Instead of the present one, if any. Without permission none begins."""
        terms = self._terms
        wall_offset_us = terms.wall_offset_us()
        media_us = pts * _VIDEO_TICK_US
        start_us = self._clock.host_us(media_us) + wall_offset_us
        old, self._run = self._run, None
        if old:
            self._finish_closing()
            old.end_picture(start_us)
            self._closing, self._closing_shift = old, sound_shift
            self._closing_until_us = media_us + SOUND_GRACE_US
        window = terms.window()
        if window is None or not window.contains(start_us):
            return
        forbidden = terms.may_record()
        if forbidden:
            self._ledger.note(start_us, forbidden)
            return
        in_band = parameter_sets(self._codec, packet)
        keyframe = bytes(packet) if in_band else self._extradata + bytes(packet)
        run_terms = RunTerms(
            configuration_version=terms.configuration_version(),
            av_offset_us=terms.av_offset_us,
            window=window,
            segment_us=terms.segment_us,
            clock=self._clock_statement,
        )
        self._run_clock = RunClock(self._clock, wall_offset_us)
        self._run = Run(run_terms, self._ledger, self._run_clock, self._codec, keyframe, pts, self._sound)
        # Inside a run only sound can be missing.
        self._ledger.note(start_us, GapCause.MICROPHONE_LOST, self._why_silent(), [Track.AUDIO])
        self._log = self._log.bind(run=self._run.id)
        self._log.info("run begins", codec=self._codec, version=run_terms.configuration_version)

    @property
    def wall_offset_us(self) -> int | None:
        """UTC minus monotonic time, as the present run has it."""
        return self._run_clock.wall_offset_us if self._run and self._run_clock else None

    def _finish_closing(self) -> None:
        closing, self._closing = self._closing, None
        if closing:
            closing.finish()

    def _why_silent(self) -> str:
        return "" if self._sound else "the camera offers no sound"

    def _clock_statement(self) -> ClockStatement:
        uncertainty_us, estimated = self._terms.trust()
        tracks = [track for track in (self._video, self._audio) if track]
        reported = all(track.timeline.reported for track in tracks)
        return ClockStatement(
            source="sender_report" if reported else "arrival",
            uncertainty_us=uncertainty_us,
            estimated=estimated or not reported,
        )
