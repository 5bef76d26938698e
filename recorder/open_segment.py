"""A segment that is being written: its packets in order, where its sound lies, what a failure leaves."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Self

import av

from recorder.capture.muxer import Muxer, Template
from recorder.coverage import SOUND_JOINT_US
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.ledger import Finished
from recorder.manifest import MAX_SEGMENT_US, Track
from recorder.partfile import PartFile


class MediaError(ProtokolError):
    """A packet that cannot be written; the run ends, the next keyframe begins another."""


@dataclass(slots=True)
class OpenSegment:
    """Instants are UTC. Methods that write raise DiskError and MediaError."""

    part: PartFile
    muxer: Muxer
    has_picture: bool
    start_us: int
    end_us: int = 0  # 0 while its end is not known
    picture_end_us: int = 0
    sound: list[list[int]] = field(default_factory=list)  # [start_us, end_us] of each unbroken piece
    last_video_ticks: int = -1
    last_audio_ticks: int = -1

    @classmethod
    def begin(cls, part: PartFile, video: Template | None, audio: Template | None, start_us: int) -> Self:
        """Writes the head of the file; a part where that fails is abandoned."""
        try:
            muxer = Muxer(part, video, audio)
        except (av.FFmpegError, ValueError) as error:
            part.abandon()
            raise MediaError(f"a segment cannot be begun: {error}") from error
        except ProtokolError:
            part.abandon()
            raise
        return cls(part, muxer, video is not None, start_us)

    @property
    def sound_since_us(self) -> int | None:
        return self.sound[0][0] if self.sound else None

    @property
    def sound_end_us(self) -> int:
        return self.sound[-1][1] if self.sound else self.start_us

    def add_video(self, packet: Any, pts: int, lead_ticks: int, *, keyframe: bool) -> None:
        """At `pts`, decoded `lead_ticks` before it; both of VIDEO_TIMESCALE."""
        if self.last_video_ticks < 0 and not keyframe:
            raise MediaError("a segment must begin with a keyframe")
        dts = pts - lead_ticks
        if self.last_video_ticks < 0:
            self.last_video_ticks = dts - 1
        dts = max(dts, self.last_video_ticks + 1)
        self.last_video_ticks = dts
        packet.dts = dts
        packet.pts = max(pts, dts)
        try:
            self.muxer.mux_video(packet)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"a picture cannot be written: {error}") from error

    def add_audio(self, packet: Any, start_us: int, end_us: int) -> None:
        """At the packet's own ticks; its sound is `[start_us, end_us)`."""
        ticks = max(packet.dts, self.last_audio_ticks + 1)
        self.last_audio_ticks = packet.pts = packet.dts = ticks
        _note_sound(self.sound, start_us, end_us)
        try:
            self.muxer.mux_audio(packet)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"sound cannot be written: {error}") from error

    def end(self, end_us: int, picture_end_us: int | None) -> None:
        """Where it ends, and its last picture (None: with the segment); sound from before may still come."""
        self.end_us = min(max(end_us, self.start_us + 1), self.start_us + MAX_SEGMENT_US)
        shown_us = self.end_us if picture_end_us is None else min(picture_end_us, self.end_us)
        self.picture_end_us = max(shown_us, self.start_us + 1)

    def close(self) -> None:
        """All packets are in the part file."""
        try:
            self.muxer.close()
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"a segment cannot be ended: {error}") from error

    def cut_short(self) -> bool:
        """After a failure: it ends with what has been written, if not before. False if that is nothing."""
        with contextlib.suppress(ProtokolError, av.FFmpegError, OSError):
            self.muxer.close()
        lead = self.muxer.content[Track.VIDEO if self.has_picture else Track.AUDIO]
        if lead is None or not lead.samples:
            return False
        length_us = (lead.end_ticks - lead.start_ticks) * US_PER_SECOND // lead.timescale
        self.end_us = self.end_us or self.start_us + length_us
        return True

    def sound_beyond_end(self) -> list[list[int]]:
        """Pieces of its sound that lie after its end, counted from there."""
        return [[max(s, self.end_us), e] for s, e in self.sound if e > self.end_us]

    def finished(self) -> Finished:
        """What the ledger is told of it, once it is closed."""
        bounds = Interval(self.start_us, self.end_us)
        pieces = [Interval(start_us, end_us) for start_us, end_us in self.sound]
        sound = [piece for each in pieces if (piece := each.intersection(bounds))]
        picture_end_us = (self.picture_end_us or self.end_us) if self.has_picture else None
        return Finished(self.part, self.muxer.content, self.end_us, picture_end_us, sound)


def _note_sound(pieces: list[list[int]], start_us: int, end_us: int) -> None:
    """Adds a packet; what a joint cannot hear is one piece."""
    end_us = max(end_us, start_us + 1)  # a camera may say that its packet lasts no time
    if pieces and start_us - pieces[-1][1] < SOUND_JOINT_US:
        pieces[-1][1] = max(pieces[-1][1], end_us)
    else:
        pieces.append([start_us, end_us])
