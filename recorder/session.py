"""One connection of a camera: each packet gets its host time and goes to the recording.

Arrivals give the clock, sender reports align the tracks, steps are bridged until the next keyframe,
where a new run begins on the new time line. Nothing is lost on the way from run to run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from recorder.alignment import Alignment
from recorder.capture.camera import Opened
from recorder.capture.decoding import codec_name, why_no_sound
from recorder.capture.health import HealthMonitor
from recorder.capture.health_process import SoundCoding
from recorder.capture.muxer import VIDEO_TIMESCALE, sound_template
from recorder.capture.parameters import parameter_sets
from recorder.capture.reordering import Reordering
from recorder.capture.sound import MonoDecoder
from recorder.instants import US_PER_SECOND
from recorder.logging import get_logger
from recorder.media_clock import CAMERA, MediaClock, PictureArrivals
from recorder.open_segment import MediaError
from recorder.recording import Recording
from recorder.room_sound import RoomSound
from recorder.run import CopiedSound, Picture
from recorder.timeline import TrackTimeline

# While a camera is being opened its packets queue; after this the arrivals are real, so the least
# late of them is known.
_HOLD_US = 300_000
# The second picture tells when the first one arrived; before, there is no clock. Who waits for longer is
# given up by the recorder.
_CLOCK_PICTURES = 2
_HOLD_AT_MOST_US = 5 * US_PER_SECOND
_STALLED_US = US_PER_SECOND
# The first packet after opening may wait for the camera's next keyframe.
_FIRST_PACKET_US = 3 * US_PER_SECOND
# Sound comes at once after it was taken, or is late; else its track's clock has nothing to do with the
# picture's, and its times are nobody's.
_SOUND_AHEAD_US = 2 * US_PER_SECOND
# Cameras report every five seconds or so.
_REPORT_WITHIN_US = 15_000_000
# Sound goes to the room's health in batches: each costs two processes a wake-up.
_HEARD_US = 4 * US_PER_SECOND
_VIDEO_TICK_US = US_PER_SECOND / VIDEO_TIMESCALE
_DEFAULT_FRAME_US = 40_000.0
# About once a second: crystals part slowly.
_LOOK_AT_REPORT_PACKETS = 25
_START_CODE = b"\0\0\1"


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
    """Feed it the connection's packets in order. Raises DiskError and MediaError from the recording."""

    def __init__(
        self,
        opened: Opened,
        opened_us: int,
        recording: Recording,
        sound: RoomSound,
        source: str,
        *,
        has_microphone: bool,
        skew: float = 0.0,
        offset_us: int = 0,
        health: HealthMonitor | None = None,
    ) -> None:
        """`offset_us` is added to the times of sound that is copied. Raises MediaError for a camera that
        offers no picture, or one that cannot be kept.
        """
        if opened.video is None:
            raise MediaError("the camera offers no picture")
        if codec_name(opened.video) not in ("h264", "hevc"):
            raise MediaError(f"the camera sends {codec_name(opened.video)} video; set it to H.264 or H.265")
        if opened.video.time_base is None or opened.video.time_base.denominator != VIDEO_TIMESCALE:
            raise MediaError(f"the camera counts pictures by {opened.video.time_base}, not by 1/90000 s")
        self.opened_us = opened_us
        self._codec = opened.video.codec_context.name
        self._extradata = bytes(opened.video.codec_context.extradata or b"")
        self._recording = recording
        self._sound = sound
        self._source = source
        self._health = health
        self._log = get_logger(source=source)
        self._order = Reordering()
        self._video = _Track(opened.video.index, _VIDEO_TICK_US, TrackTimeline())
        self._audio: _Track | None = None
        self._alignment = Alignment()
        self.clock = MediaClock(CAMERA, skew=skew)
        self._arrivals = PictureArrivals(self.clock)
        self._coding: SoundCoding | None = None
        self._heard: list[bytes] = []
        self._heard_from_us = 0
        self._clock_jumps = 0
        self._held: list[tuple[Any, int]] | None = []
        self._observing = False
        self._sound_waits_since_us = 0
        # What the camera said of itself holds until a keyframe says more.
        self._sets = parameter_sets(self._codec, self._extradata + _START_CODE)
        self._roll = False
        # After a jump of the clock: added to its answers until a keyframe begins a run on the new line.
        self._bridge_us = 0
        self._last_host_us: tuple[float, int] | None = None  # of the last picture: media, host
        self.offset_us = offset_us
        recording.copied = None
        recording.reported = lambda: self.reported
        recording.why_silent = why_no_sound(opened.audio)
        if opened.audio is not None and recording.why_silent:
            self._log.error("the camera's sound is not recorded", reason=recording.why_silent)
        sound.camera_opened(self._open_sound(opened, has_microphone=has_microphone))
        recording.microphone = sound.using if has_microphone or self._audio else "none"

    def _open_sound(self, opened: Opened, *, has_microphone: bool) -> MonoDecoder | None:
        """The decoder of sound that is not copied."""
        audio = opened.audio
        if audio is None or audio.time_base is None or why_no_sound(audio):
            return None
        self._audio = _Track(audio.index, US_PER_SECOND / audio.time_base.denominator, TrackTimeline())
        context = audio.codec_context
        # A room with a microphone may turn from one to the other at any time, so all is encoded alike.
        if context.name == "aac" and context.extradata and not has_microphone:
            self._recording.copied = CopiedSound(
                sound_template(opened.container, audio, audio.time_base.denominator)
            )
            extradata = bytes(context.extradata)
            self._coding = SoundCoding(context.name, context.sample_rate, context.layout.name, extradata)
            return None
        return MonoDecoder(audio)

    @property
    def last_video_us(self) -> int:
        """Arrival of the last picture (monotonic), or of the connection."""
        return self._video.last_packet_us or self.opened_us

    @property
    def pictures(self) -> int:
        return self._video.packets

    def picture_waits(self, now_us: int) -> bool:
        """Whether the camera has sent none for so long that it is taken for gone."""
        return now_us - self.last_video_us > (_STALLED_US if self.pictures else _FIRST_PACKET_US)

    def sound_waits(self, now_us: int) -> bool:
        """Whether sound has come for so long on a clock that stood still that only reopening helps."""
        since_us = self._sound_waits_since_us
        return bool(since_us) and now_us - since_us > _REPORT_WITHIN_US

    def packets_dropped(self) -> None:
        """Between the packets taken so far and the next."""
        self._arrivals.packets_dropped()

    def take(self, packet: Any, arrival_us: int) -> None:
        held = self._held
        if held is None:
            index = packet.stream_index
            if index == self._video.index:
                self._process_video(self._video, packet, arrival_us)
            elif self._audio is not None and index == self._audio.index:
                self._process_audio(self._audio, packet, arrival_us)
            return
        held.append((packet, arrival_us))
        if arrival_us - held[0][1] < _HOLD_US:
            return
        pictures = [each for each, _ in held if each.stream_index == self._video.index]
        if len(pictures) < _CLOCK_PICTURES and arrival_us - held[0][1] < _HOLD_AT_MOST_US:
            return
        self._held = None
        first_pts = self._order.learn([(each.pts, each.dts) for each in pictures])
        if pictures and pictures[0].pts is None:
            pictures[0].pts = first_pts
        for each, at_us in held:
            if each.stream_index == self._video.index and each.pts is not None:
                self._arrivals.observe(each.pts * _VIDEO_TICK_US, at_us)
        for each, at_us in held:
            self.take(each, at_us)
        self._observing = True

    # What follows runs for each packet, some 40 times a second and source, and is a third of the agent's CPU:
    # what is usual comes first and calls as little as it can.

    def _process_video(self, track: _Track, packet: Any, arrival_us: int) -> None:
        order, clock = self._order, self.clock
        pts = self._place_picture(track, packet, arrival_us)
        dts = order.decoded(pts) if order.reorders else pts
        media_us = pts * _VIDEO_TICK_US
        if self._observing:
            self._arrivals.observe(media_us, arrival_us)
        keyframe = packet.is_keyframe
        if clock.jumps != self._clock_jumps:
            self._clock_jumps = clock.jumps
            self._roll = True
            if self._last_host_us is not None:
                last_us, last_host_us = self._last_host_us
                self._bridge_us = last_host_us + round(media_us - last_us) - clock.host_us(media_us)
        if keyframe:
            pts, dts = self._at_keyframe(packet, pts, dts)
            media_us = pts * _VIDEO_TICK_US
        host_us = clock.host_us(media_us) + self._bridge_us
        self._last_host_us = media_us, host_us
        duration_us = track.timeline.cadence_us or _DEFAULT_FRAME_US
        if order.depth:
            duration_us = (order.frame_ticks or 0) * _VIDEO_TICK_US or _DEFAULT_FRAME_US
        if keyframe and self._recording.has_picture:
            self._show(packet, arrival_us)
        self._recording.video(packet, host_us, pts - dts, duration_us, keyframe=keyframe)

    def _show(self, packet: Any, arrival_us: int) -> None:
        """What is recorded is shown to the room's health, now and then; what is not recorded is not."""
        health = self._health
        if health is None or not health.wants_keyframe(self._source, arrival_us):
            return
        in_band = parameter_sets(self._codec, packet)
        picture = bytes(packet) if in_band else self._extradata + bytes(packet)
        health.offer_keyframe(self._source, self._codec, picture)
        reported = packet.get_sidedata("prft") if packet.has_sidedata("prft") else None
        if reported is not None:
            camera_us = int.from_bytes(bytes(reported)[:8], sys.byteorder, signed=True)
            run = self._recording.run
            if run:
                health.offer_camera_clock(self._source, camera_us - arrival_us - run.wall_offset_us)

    def _let_hear(self, health: HealthMonitor, coding: SoundCoding, packet: Any, arrival_us: int) -> None:
        self._heard.append(bytes(packet))
        if arrival_us - self._heard_from_us >= _HEARD_US:
            health.offer_coded_sound(self._source, coding, self._heard)
            self._heard, self._heard_from_us = [], arrival_us

    def _process_audio(self, track: _Track, packet: Any, arrival_us: int) -> None:
        pts = self._place(track, packet, arrival_us)
        if track.timeline.stood_still:
            self._sound_waits_since_us = self._sound_waits_since_us or arrival_us
            return
        if not self.clock.started:
            return
        host_us = self.clock.host_us(pts * track.tick_us + self._alignment.sound_us) + self._bridge_us
        if host_us > arrival_us + _SOUND_AHEAD_US:
            return
        if self._recording.copied is None:
            self._sound.camera(packet, host_us)
            return
        if self._health is not None and self._coding is not None and self._recording.run:
            self._let_hear(self._health, self._coding, packet, arrival_us)
        duration_us = packet.duration * track.tick_us if packet.duration else track.timeline.cadence_us or 0.0
        self._recording.copy(packet, host_us + self.offset_us, duration_us)

    def _place(self, track: _Track, packet: Any, arrival_us: int) -> int:
        """The packet's decoding time on the continuous time line, in its track's ticks."""
        self._see(track, packet, arrival_us)
        dts = packet.dts
        if dts is None:
            dts = packet.pts
        if dts is None:
            dts = 0 if track.last_dts is None else track.last_dts + 1
        return self._follow(track, dts, arrival_us)

    def _place_picture(self, track: _Track, packet: Any, arrival_us: int) -> int:
        """As `_place`, the time of showing."""
        self._see(track, packet, arrival_us)
        order, dts = self._order, packet.dts
        pts: int | None = packet.pts
        if pts is None:
            pts = 0 if track.last_dts is None else track.last_dts + 1
        if dts is not None and dts != pts:
            order.reorders = True
        if order.leads(pts):
            tolerance_us = order.tolerance * track.tick_us if order.depth else 0.0
            return self._follow(track, pts, arrival_us, tolerance_us)
        return pts + track.shift

    def _see(self, track: _Track, packet: Any, arrival_us: int) -> None:
        track.packets += 1
        track.last_packet_us = arrival_us
        if not track.timeline.reported:
            if packet.has_sidedata("prft"):
                track.timeline.report_seen()
        elif track.packets % _LOOK_AT_REPORT_PACKETS == 0:
            self._look_at_report(track, packet)

    def _follow(self, track: _Track, dts: int, arrival_us: int, tolerance_us: float = 0.0) -> int:
        """The time line goes on over a step of the camera's."""
        timeline = track.timeline
        track.last_dts = dts
        step_us = timeline.step_us(dts * track.tick_us, arrival_us, tolerance_us)
        if not step_us:
            return dts + track.shift
        if step_us > 0 and timeline.stood_still:
            # The report has put the track right: this is no step but the end of one.
            timeline.stood_still = False
            self._sound_waits_since_us = 0
        else:
            track.shift -= round(step_us / track.tick_us)
            self._roll = True
            self._alignment.restart()
            self._log.info("time line stepped", ms=round(step_us / 1000, 1), video=track is self._video)
        return dts + track.shift

    def _at_keyframe(self, packet: Any, pts: int, dts: int) -> tuple[int, int]:
        """Begins a run where one is due; pts and dts on the time line that is in force afterwards."""
        sets = parameter_sets(self._codec, packet)
        changed = bool(self._sets) and (sets or self._sets) != self._sets
        self._sets = sets or self._sets
        changed = changed or self._roll
        if not changed and self._recording.has_picture and not self._recording.is_rolling:
            return pts, dts
        shift = self._video.shift
        if shift:
            self.clock.shift_media(-shift * _VIDEO_TICK_US)
        self._video.shift = 0
        self._order.move(-shift)
        if self._audio:
            self._audio.shift = 0
        self._roll = False
        self._bridge_us = 0
        pts, dts = pts - shift, dts - shift

        def picture() -> Picture:
            return Picture(self._codec, bytes(packet) if sets else self._extradata + bytes(packet))

        self._recording.keyframe(picture, self.clock.host_us(pts * _VIDEO_TICK_US), changed=changed)
        return pts, dts

    def _look_at_report(self, track: _Track, packet: Any) -> None:
        """The camera's own clock by its latest report (AVProducerReferenceTime: µs since 1970)."""
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        reported_us = int.from_bytes(bytes(packet.get_sidedata("prft"))[:8], sys.byteorder, signed=True)
        if track is self._video:
            self._alignment.picture(packet.pts * track.tick_us, reported_us)
        else:
            self._alignment.sound(packet.pts * track.tick_us, reported_us)

    @property
    def reported(self) -> bool:
        """Whether the camera has told its own clock for each of its tracks."""
        return all(track.timeline.reported for track in (self._video, self._audio) if track)
