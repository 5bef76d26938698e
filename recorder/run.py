"""One run: an uninterrupted capture on one time line, dealt out to segment files.

Media time counts from an origin one second before the run's first sample, so that neither frames
that are decoded before they are shown nor the encoder's run-in are negative. All segments of a run
share it.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import av

from recorder.capture.muxer import VIDEO_TIMESCALE, Muxer, Template, video_template
from recorder.capture.sound import ENCODED_RATE, SoundEncoder, encoded_template
from recorder.coverage import SOUND_JOINT_US
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.ledger import Finished, Ledger, new_id
from recorder.manifest import MAX_SEGMENT_US, ClockStatement, Track
from recorder.media_clock import MediaClock
from recorder.partfile import DiskError, PartFile, SegmentHead
from recorder.segmenter import Action, Segmenter

_ORIGIN_S = 1
_VIDEO_TICK_US = US_PER_SECOND / VIDEO_TIMESCALE


class MediaError(ProtokolError):
    """A packet that cannot be written; the run ends, the next keyframe begins another."""


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What a run takes from its surroundings, fixed for its life."""

    configuration_version: int
    av_offset_us: int
    window: Interval
    segment_us: int
    clock: Callable[[], ClockStatement]


class RunClock:
    """Media microseconds to UTC: the clock's line, and one look at the wall for all of a run."""

    def __init__(self, clock: MediaClock, wall_offset_us: int) -> None:
        self.wall_offset_us = wall_offset_us
        # What the clock's media time is ahead of this run's, once a newer run has moved on.
        self.shift_us = 0.0
        self._clock = clock

    def utc_us(self, media_us: float) -> int:
        return self._clock.host_us(media_us + self.shift_us) + self.wall_offset_us


@dataclass(frozen=True, slots=True)
class SoundSource:
    """The camera's sound track. `copied`: AAC that is kept as it comes."""

    stream: Any
    timescale: int
    copied: bool


@dataclass(slots=True)
class _Segment:
    part: PartFile
    muxer: Muxer
    start_us: int
    end_us: int = 0
    sound: list[list[int]] = field(default_factory=list)  # [start_us, end_us] of each unbroken piece
    last_video_ticks: int = -1
    last_audio_ticks: int = -1


class Run:
    """Takes packets with presentation ticks on the source's continuous time line.

    Methods raise DiskError or MediaError; call `give_up` then.
    """

    def __init__(
        self,
        terms: RunTerms,
        ledger: Ledger,
        clock: RunClock,
        codec: str,
        keyframe: bytes,
        first_ticks: int,
        sound: SoundSource | None,
    ) -> None:
        """`first_ticks` is the presentation time of `keyframe`."""
        self.id = new_id()
        self.start_media_us = first_ticks * _VIDEO_TICK_US
        self._terms = terms
        self._ledger = ledger
        self._clock = clock
        self._origin = first_ticks - _ORIGIN_S * VIDEO_TIMESCALE
        self._sound = sound
        self._encoder: SoundEncoder | None = None
        self._video_template = video_template(codec, keyframe)
        self._audio_template: Template | None = None
        if sound and sound.copied:
            self._audio_rate = sound.timescale
            self._audio_template = Template(sound.stream.container, sound.stream, sound.timescale)
        elif sound:
            self._audio_rate = ENCODED_RATE
            self._encoder = SoundEncoder(sound.stream)
            self._audio_template = encoded_template()
        if sound:
            self._audio_origin = self._origin * self._audio_rate // VIDEO_TIMESCALE
        self._segmenter = Segmenter(terms.window, has_sound=sound is not None, segment_us=terms.segment_us)
        self._current: _Segment | None = None
        self._previous: _Segment | None = None
        self._picture_end_us = 0
        # UTC minus media time at the last picture; in the moment until the next one it does not move.
        self._utc_offset_us = clock.utc_us(self.start_media_us) - self.start_media_us

    @property
    def window(self) -> Interval:
        return self._segmenter.window

    @window.setter
    def window(self, window: Interval) -> None:
        self._segmenter.window = window

    @property
    def uncommitted_since_us(self) -> int | None:
        """Start of the oldest segment that is still open."""
        segment = self._previous or self._current
        return segment.start_us if segment else None

    @property
    def sound_since_us(self) -> int | None:
        """Start of the oldest sound in a segment that is still open."""
        for segment in (self._previous, self._current):
            if segment and segment.sound:
                return segment.sound[0][0]
        return None

    def take_peak_dbfs(self) -> float | None:
        return self._encoder.take_peak_dbfs() if self._encoder else None

    def video(self, packet: Any, pts: int, dts: int, duration: float, *, keyframe: bool) -> None:
        """Ticks of VIDEO_TIMESCALE, `duration` expected until the next one."""
        media_us = pts * _VIDEO_TICK_US
        utc_us = self._clock.utc_us(media_us)
        self._utc_offset_us = utc_us - media_us
        action = self._segmenter.video(utc_us, media_us, keyframe=keyframe)
        if action != Action.KEEP:
            self._prepare(action, utc_us)
            if not action & Action.KEEP:
                return
        segment = self._current
        if segment is None:
            raise MediaError("a packet without a segment")
        if segment.last_video_ticks < 0 and not keyframe:
            raise MediaError("a segment must begin with a keyframe")
        if segment.last_video_ticks < 0:
            segment.last_video_ticks = dts - self._origin - 1
        elif pts * _VIDEO_TICK_US < self.start_media_us:
            return  # shown before the run's first keyframe: it refers to what was not recorded
        dts = max(dts - self._origin, segment.last_video_ticks + 1)
        segment.last_video_ticks = dts
        packet.dts = dts
        packet.pts = max(pts - self._origin, dts)
        end_us = utc_us + round(duration * _VIDEO_TICK_US)
        self._picture_end_us = max(self._picture_end_us, end_us) if not keyframe else end_us
        try:
            segment.muxer.mux_video(packet)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"a picture cannot be written: {error}") from error

    def audio(self, packet: Any, pts: int, duration: float) -> None:
        """Ticks of the sound source's timescale."""
        sound = self._sound
        if sound is None:
            return
        tick_us = US_PER_SECOND / sound.timescale
        media_us = pts * tick_us
        if self._encoder is None:
            packet.pts = packet.dts = pts - self._audio_origin
            self._deal_audio(packet, media_us, duration * tick_us)
            return
        utc_us = media_us + self._utc_offset_us
        window = self._segmenter.window
        inside = window.start_us <= utc_us and utc_us + duration * tick_us <= window.end_us
        if inside and media_us >= self.start_media_us:
            ticks = pts * ENCODED_RATE // sound.timescale - self._audio_origin
            self._deal_encoded(self._encoder.encode(packet, ticks))

    def end_picture(self, end_us: int | None = None) -> None:
        """No more pictures come. `end_us`: where what follows begins, if that abuts.

        Sound that belongs still does; `finish` ends that too.
        """
        if self._current:
            self._close_current(self._picture_end_us if end_us is None else end_us)

    def finish(self) -> None:
        """Every segment is committed."""
        if self._encoder:
            encoder, self._encoder = self._encoder, None
            self._deal_encoded(encoder.finish())
        self.end_picture()
        self._finish_previous()

    def give_up(self, error: ProtokolError) -> int | None:
        """After a failure: commits what is whole on disk, unless the disk failed.

        Returns from when on nothing is on disk (UTC), None when nothing was open. Never raises.
        """
        self._encoder = None
        lost_since: int | None = None
        for segment in (self._previous, self._current):
            if segment is None:
                continue
            salvaged_us = self._salvage(segment, error)
            if salvaged_us is None and lost_since is None:
                lost_since = segment.start_us
            elif salvaged_us is not None and lost_since is None and segment is self._current:
                lost_since = salvaged_us
        self._current = self._previous = None
        return lost_since

    def _salvage(self, segment: _Segment, error: ProtokolError) -> int | None:
        with contextlib.suppress(ProtokolError, av.FFmpegError, OSError):
            segment.muxer.close()
        lead = segment.muxer.content[Track.VIDEO]
        disk_is_bad = isinstance(error, DiskError) and error.errno != errno.ENOSPC
        if disk_is_bad or lead is None or not lead.samples:
            segment.part.abandon()
            return None
        length_us = (lead.end_ticks - lead.start_ticks) * US_PER_SECOND // VIDEO_TIMESCALE
        segment.end_us = segment.end_us or segment.start_us + length_us
        try:
            self._commit(segment)
        except DiskError:
            segment.part.abandon()
            return None
        return segment.end_us

    def _prepare(self, action: int, utc_us: int) -> None:
        if action & (Action.CLOSE | Action.OPEN) and self._current:
            end_us = utc_us if action & Action.OPEN else min(self._picture_end_us, self.window.end_us)
            self._close_current(end_us)
        if action & Action.OPEN:
            self._current = self._begin_segment(utc_us)
        if action & Action.FINISH:
            self._finish_previous()

    def _begin_segment(self, start_us: int) -> _Segment:
        head = SegmentHead(
            segment_id=new_id(),
            run=self.id,
            start_us=start_us,
            configuration_version=self._terms.configuration_version,
            clock=self._terms.clock(),
            av_offset_us=self._terms.av_offset_us,
            microphone="camera" if self._sound else "none",
            agent_version=self._ledger.version,
        )
        part = self._ledger.open_part(head)
        try:
            muxer = Muxer(part, self._video_template, self._audio_template)
        except (av.FFmpegError, ValueError) as error:
            part.abandon()
            raise MediaError(f"a segment cannot be begun: {error}") from error
        except ProtokolError:
            part.abandon()
            raise
        return _Segment(part, muxer, start_us)

    def _close_current(self, end_us: int) -> None:
        self._finish_previous()
        segment, self._current = self._current, None
        if segment:
            segment.end_us = min(max(end_us, segment.start_us + 1), segment.start_us + MAX_SEGMENT_US)
            self._previous = segment

    def _finish_previous(self) -> None:
        segment = self._previous
        if segment is None:
            return
        try:
            segment.muxer.close()
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"a segment cannot be ended: {error}") from error
        self._commit(segment)
        self._previous = None

    def _commit(self, segment: _Segment) -> None:
        bounds = Interval(segment.start_us, segment.end_us)
        pieces = [Interval(start_us, end_us) for start_us, end_us in segment.sound]
        sound = [piece for each in pieces if (piece := each.intersection(bounds))]
        self._ledger.commit(Finished(segment.part, segment.muxer.content, segment.end_us, sound))

    def _deal_encoded(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            media_us = (packet.pts + self._audio_origin) * US_PER_SECOND / ENCODED_RATE
            self._deal_audio(packet, media_us, packet.duration * US_PER_SECOND / ENCODED_RATE)

    def _deal_audio(self, packet: Any, media_us: float, duration_us: float) -> None:
        utc_us = round(media_us + self._utc_offset_us)
        action = self._segmenter.audio(utc_us, media_us, duration_us)
        if action & Action.FINISH:
            self._finish_previous()
        segment = self._previous if action & Action.KEEP_PREVIOUS else self._current
        if not action & (Action.KEEP | Action.KEEP_PREVIOUS) or segment is None:
            return
        ticks = max(packet.dts, segment.last_audio_ticks + 1)
        segment.last_audio_ticks = packet.pts = packet.dts = ticks
        _note_sound(segment.sound, utc_us, utc_us + round(duration_us))
        try:
            segment.muxer.mux_audio(packet)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"sound cannot be written: {error}") from error


def _note_sound(pieces: list[list[int]], start_us: int, end_us: int) -> None:
    """Adds a packet; what a joint cannot hear is one piece."""
    if pieces and start_us - pieces[-1][1] < SOUND_JOINT_US:
        pieces[-1][1] = max(pieces[-1][1], end_us)
    else:
        pieces.append([start_us, end_us])
