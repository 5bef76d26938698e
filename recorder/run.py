"""One run: an uninterrupted capture on one time line, dealt out to segment files.

The line is the host's: a sample's media time is when it was taken by CLOCK_MONOTONIC, counted from an
origin one second before the run's first sample, so that neither frames that are decoded before they are
shown nor the encoder's run-in are negative. All segments of a run share it.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av

from recorder.capture.muxer import Template, video_template
from recorder.capture.sound import AAC_FRAME_SAMPLES, ENCODED_RATE, Pcm, SoundEncoder, encoded_template
from recorder.coverage import SOUND_JOINT_US
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.ledger import Ledger, new_id
from recorder.manifest import ClockStatement, MicrophoneSwitch, SyncStatement
from recorder.open_segment import MediaError, OpenSegment
from recorder.partfile import DiskError, SegmentHead
from recorder.segmenter import Action, Segmenter, SoundSegmenter

_ORIGIN_US = US_PER_SECOND
_US_PER_SAMPLE = US_PER_SECOND / ENCODED_RATE
_FRAME_US = AAC_FRAME_SAMPLES * _US_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What a run takes from its surroundings, fixed for its life. `wall_offset_us` is UTC minus
    CLOCK_MONOTONIC: one look at the wall for all of a run. `clock` and `sync` are asked at each segment.
    """

    configuration_version: int
    av_offset_us: int
    window: Interval
    segment_us: int
    wall_offset_us: int
    clock: Callable[[], ClockStatement]
    sync: Callable[[], SyncStatement | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """`keyframe` is the run's first one, with its parameter sets in band."""

    codec: str
    keyframe: bytes


@dataclass(frozen=True, slots=True)
class CopiedSound:
    """The camera's AAC, kept as it comes."""

    template: Template


class Run:
    """Takes packets and sound with their host times (CLOCK_MONOTONIC µs).

    Methods raise DiskError or MediaError; call `give_up` then.
    """

    def __init__(
        self,
        terms: RunTerms,
        ledger: Ledger,
        first_host_us: int,
        *,
        picture: Picture | None,
        copied: CopiedSound | None,
        microphone: str,
    ) -> None:
        """`first_host_us`: of the keyframe, or of the first sound where there is no picture. `microphone`:
        what the sound begins with, `none` for no sound at all. It is encoded from what `sound()` gets,
        unless it is `copied`.
        """
        has_sound = microphone != "none"
        self.id = new_id()
        self.first_host_us = first_host_us
        self.has_picture = picture is not None
        self.microphone = microphone
        self._terms = terms
        self._ledger = ledger
        self._offset_us = terms.wall_offset_us
        self._origin_us = first_host_us - _ORIGIN_US
        self._encoder: SoundEncoder | None = None
        self._video_template = video_template(picture.codec, picture.keyframe) if picture else None
        self._audio_template: Template | None = None
        self._audio_rate = ENCODED_RATE
        if copied:
            self._audio_rate = copied.template.timescale
            self._audio_template = copied.template
        elif has_sound:
            self._encoder = SoundEncoder()
            self._audio_template = encoded_template()
        self._origin_ticks = self._origin_us * ENCODED_RATE // US_PER_SECOND
        self._segmenter: Segmenter | SoundSegmenter
        if picture:
            self._segmenter = Segmenter(terms.window, has_sound=has_sound, segment_us=terms.segment_us)
        else:
            self._segmenter = SoundSegmenter(terms.window, segment_us=terms.segment_us)
        self._current: OpenSegment | None = None
        self._previous: OpenSegment | None = None
        self._picture_end_us = 0
        # Where the last of its footage on disk ends (UTC).
        self.end_us = 0
        # Where what follows begins (CLOCK_MONOTONIC and UTC).
        self._next_host_us = math.inf
        self._next_us: int | None = None

    @property
    def window(self) -> Interval:
        return self._segmenter.window

    def narrow(self, recordable: Interval, configuration_version: int) -> None:
        """The window as it is now. Another version than the run's can only take from it: by its own the
        archive judges the run's segments, and what that one adds begins with the next run.
        """
        window: Interval | None = recordable
        if configuration_version != self._terms.configuration_version:
            window = self.window.intersection(recordable)
        if window is not None:
            self._segmenter.window = window

    @property
    def wall_offset_us(self) -> int:
        return self._offset_us

    @property
    def picture_end_host_us(self) -> int:
        """Where its picture ends (CLOCK_MONOTONIC), as far as it has come."""
        return self._picture_end_us - self._offset_us

    @property
    def uncommitted_since_us(self) -> int | None:
        """Start of the oldest segment that is still open (UTC)."""
        segment = self._previous or self._current
        return segment.start_us if segment else None

    @property
    def sound_since_us(self) -> int | None:
        """Start of the oldest sound in a segment that is still open (UTC)."""
        for segment in (self._previous, self._current):
            if segment and segment.sound_since_us is not None:
                return segment.sound_since_us
        return None

    def video(
        self, packet: Any, host_us: int, lead_ticks: int, duration_us: float, *, keyframe: bool
    ) -> None:
        """`lead_ticks` of VIDEO_TIMESCALE: so much it is decoded before it is shown. `duration_us` is
        expected until the next one.
        """
        if host_us < self.first_host_us:
            return  # shown before the run's first keyframe: it refers to what was not recorded
        utc_us = host_us + self._offset_us
        segmenter = self._segmenter
        if not isinstance(segmenter, Segmenter):
            raise MediaError("a picture for a run of sound alone")
        action = segmenter.video(utc_us, host_us, keyframe=keyframe)
        if action != Action.KEEP:
            self._prepare(action, utc_us)
            if not action & Action.KEEP:
                return
        segment = self._current
        if segment is None:
            raise MediaError("a packet without a segment")
        end_us = utc_us + round(duration_us)
        self._picture_end_us = max(self._picture_end_us, end_us) if not keyframe else end_us
        segment.add_video(packet, (host_us - self._origin_us) * 9 // 100, lead_ticks, keyframe=keyframe)

    def copied(self, packet: Any, host_us: int, duration_us: float) -> None:
        """A packet of the sound that is copied."""
        packet.pts = packet.dts = round((host_us - self._origin_us) * self._audio_rate / US_PER_SECOND)
        self._deal_audio(packet, host_us, duration_us, duration_us)

    def flush(self) -> None:
        """Nothing more comes for the moment: what is in memory goes to the disk."""
        try:
            for segment in (self._previous, self._current):
                if segment:
                    segment.muxer.flush()
        except ValueError as error:
            raise MediaError(f"a fragment cannot be written: {error}") from error

    def sound(self, samples: Pcm, ticks: int, microphone: str) -> None:
        """Sound to be encoded, `ticks` (of ENCODED_RATE) on CLOCK_MONOTONIC. What lies outside the window or
        before the run does not even reach the encoder.
        """
        encoder = self._encoder
        if encoder is None:
            return
        window = self.window
        first_us = max(window.start_us - self._offset_us, self.first_host_us)
        low = max(0, -(-first_us * ENCODED_RATE // US_PER_SECOND) - ticks)
        high = (window.end_us - self._offset_us) * ENCODED_RATE // US_PER_SECOND - ticks
        if low >= min(high, len(samples)):
            return
        if microphone != self.microphone:
            self._switch(microphone, round((ticks + low) * _US_PER_SAMPLE) + self._offset_us)
        self._encode(encoder.feed(samples[low:high], ticks + low - self._origin_ticks))

    def fill_up(self, samples: Pcm, ticks: int) -> bool:
        """Sound that follows the run completes its last packet, where silence would. Whether it does."""
        needed = self._encoder.open_samples if self._encoder else 0
        if needed:
            self.sound(samples[:needed], ticks, self.microphone)
        return len(samples) >= needed

    def give_way(self, end_us: int, host_us: int) -> None:
        """No more pictures come: what follows begins at `end_us` (UTC by its own clock), which is `host_us`.
        Sound from before may still come, until `finish`.
        """
        # Neither by the clock as this run took it nor by the wall's may two runs tell of one time.
        self._next_host_us, self._next_us = min(host_us, end_us - self._offset_us), end_us
        if self._current and isinstance(self._segmenter, Segmenter):
            self._segmenter.end(host_us)
            self._close_current(end_us, abuts=True)

    def finish(self) -> None:
        """Every segment is committed."""
        if self._encoder:
            encoder, self._encoder = self._encoder, None
            self._encode(encoder.finish())
        if self._current:
            self._close_current(self._end_before_next(self._end_of(self._current)))
        self._finish_previous()

    def _end_before_next(self, end_us: int) -> int:
        """Where the run ends, that what follows abuts if a joint could not be heard."""
        next_us = self._next_us
        if next_us is None or next_us - end_us >= SOUND_JOINT_US:
            return end_us
        return min(next_us, self.window.end_us)

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

    def _salvage(self, segment: OpenSegment, error: ProtokolError) -> int | None:
        something_is_whole = segment.cut_short()
        disk_is_bad = isinstance(error, DiskError) and error.errno != errno.ENOSPC
        if disk_is_bad or not something_is_whole:
            segment.part.abandon()
            return None
        try:
            self._commit(segment)
        except DiskError:
            segment.part.abandon()
            return None
        return segment.end_us

    def _end_of(self, segment: OpenSegment) -> int:
        """Where the segment ends if nothing follows it: with the last of its picture and its sound. What a
        joint cannot hear is no longer than the picture: both tracks end together then.
        """
        end_us = segment.sound_end_us
        if self.has_picture and end_us - self._picture_end_us < SOUND_JOINT_US:
            end_us = self._picture_end_us
        return min(end_us, self.window.end_us)

    def _prepare(self, action: int, utc_us: int) -> None:
        if action & (Action.CLOSE | Action.OPEN) and self._current:
            abuts = bool(action & Action.OPEN)
            if abuts and not self.has_picture:
                abuts = utc_us - self._current.sound_end_us < SOUND_JOINT_US
            self._close_current(utc_us if abuts else self._end_of(self._current), abuts=abuts)
        if action & Action.OPEN:
            self._current = self._begin_segment(self._start_of(utc_us))
        if action & Action.FINISH:
            self._finish_previous()

    def _start_of(self, utc_us: int) -> int:
        """Sound lies on samples, what it follows ends on a microsecond: the run begins there."""
        first_us = self.first_host_us + self._offset_us
        follows = not self.has_picture and 0 < utc_us - first_us <= _US_PER_SAMPLE + 1
        return first_us if follows else utc_us

    def _begin_segment(self, start_us: int) -> OpenSegment:
        head = SegmentHead(
            segment_id=new_id(),
            run=self.id,
            start_us=start_us,
            configuration_version=self._terms.configuration_version,
            clock=self._terms.clock(),
            av_offset_us=self._terms.av_offset_us,
            microphone=self.microphone,
            agent_version=self._ledger.version,
            sync=self._terms.sync() if self.has_picture and self._audio_template else None,
        )
        part = self._ledger.open_part(head)
        return OpenSegment.begin(part, self._video_template, self._audio_template, start_us)

    def _switch(self, microphone: str, at_us: int) -> None:
        self.microphone = microphone
        if self._current:
            self._current.part.note_switch(MicrophoneSwitch(at_us=at_us, microphone=microphone))

    def _close_current(self, end_us: int, *, abuts: bool = False) -> None:
        """`abuts`: what follows begins at `end_us`, so the last picture is shown until then."""
        self._finish_previous()
        segment, self._current = self._current, None
        if segment:
            segment.end(end_us, None if abuts else self._picture_end_us)
            self._previous = segment

    def _finish_previous(self) -> None:
        segment = self._previous
        if segment is None:
            return
        segment.close()
        self._commit(segment)
        self._previous = None

    def _commit(self, segment: OpenSegment) -> None:
        if self._current and self._current is not segment:
            # Sound that came before the keyframe that ends this segment lies here: it is not missing there.
            self._current.sound = segment.sound_beyond_end() + self._current.sound
        self._ledger.commit(segment.finished())
        self.end_us = segment.end_us

    def _encode(self, packets: Iterator[Any]) -> None:
        try:
            for packet in packets:
                host_us = (packet.pts + self._origin_ticks) * _US_PER_SAMPLE
                # The encoder's run-in lies before the run, where others may have recorded.
                if self.first_host_us <= host_us < self._next_host_us:
                    self._deal_audio(packet, host_us, _FRAME_US, packet.duration * _US_PER_SAMPLE)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"sound cannot be encoded: {error}") from error

    def _deal_audio(self, packet: Any, host_us: float, duration_us: float, sounding_us: float) -> None:
        """`sounding_us` of the packet's duration are sound and no filling."""
        utc_us = round(host_us + self._offset_us)
        action = self._segmenter.audio(utc_us, host_us, duration_us)
        if action & ~(Action.KEEP | Action.KEEP_PREVIOUS):
            self._prepare(action, utc_us)
        segment = self._previous if action & Action.KEEP_PREVIOUS else self._current
        if not action & (Action.KEEP | Action.KEEP_PREVIOUS) or segment is None:
            return
        segment.add_audio(packet, utc_us, utc_us + round(sounding_us))
