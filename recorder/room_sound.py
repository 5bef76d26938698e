"""Which sound a source records: the room's microphone, or the camera's own while there is none.

Both are put on the host's line (48 kHz ticks of CLOCK_MONOTONIC) by a resampler of their own. While the
microphone is in use the camera's packets wait for a few seconds, so that a microphone which falls silent
is followed by the camera from the very sample on, although its loss is noticed later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recorder.capture.microphone_events import MicrophoneEvent, SoundBlock
from recorder.capture.sound import ENCODED_RATE, MonoDecoder, Pcm
from recorder.instants import US_PER_SECOND
from recorder.logging import get_logger
from recorder.manifest import SyncStatement
from recorder.media_clock import MICROPHONE, MediaClock
from recorder.skews import LEARNT_AFTER_US

if TYPE_CHECKING:
    from recorder.capture.resampler import LineResampler

CAMERA_SOUND = "camera"
# Blocks come in batches, ten times a second; this much later the microphone is not late but gone.
LOST_AFTER_US = 700_000
# So long a microphone that has just been opened is listened to before it is believed: what queued
# meanwhile is late, and only a few unhurried blocks tell its clock.
_SETTLE_US = 1_000_000
# The camera's sound that waits: longer than it takes to notice a loss.
_BACKLOG_US = 3_000_000

# A camera puts its own tracks together by its reports, to a few milliseconds; before the first one their
# relation is a guess that was seen to be wrong by half a second.
_REPORTED_US = 5_000
_UNREPORTED_US = 500_000
# More than this missing between two blocks is a hole in the recording, not silence.
_HOLE_US = 60_000
# A camera's own sound may count by a clock that is as odd as its picture's (see media_clock.CAMERA), and its
# times move with every report.
_CAMERA_PPM = 20_000.0
_CAMERA_STEP_US = 40_000
# Blocks that wait for a recorder which is busy with the disk: six seconds of 20 ms each, as the camera's;
# 0.6 MB (1920 bytes of sound in a block, and what Python adds).
_QUEUED_BLOCKS = 6_000 // 20

# (samples, 48 kHz ticks of CLOCK_MONOTONIC of the first one, name of the microphone)
Emit = Callable[[Pcm, int, str], None]


def _microphone_line(skew: float) -> LineResampler:
    from recorder.capture.resampler import LineResampler  # noqa: PLC0415 where sound is copied it is not needed

    return LineResampler(ENCODED_RATE, skew=skew)


def _camera_line(rate: int) -> LineResampler:
    from recorder.capture.resampler import LineResampler  # noqa: PLC0415 as above

    return LineResampler(rate, max_ppm=_CAMERA_PPM, step_us=_CAMERA_STEP_US)


class SoundQueue:
    """From the microphone's thread to a recorder, without waiting. The oldest are dropped when nobody comes
    for them; what counts of samples and openings then tells how many.
    """

    def __init__(self) -> None:
        self._events: deque[MicrophoneEvent] = deque(maxlen=_QUEUED_BLOCKS)

    def put(self, event: MicrophoneEvent) -> None:
        self._events.append(event)

    def take(self) -> MicrophoneEvent | None:
        try:
            return self._events.popleft()
        except IndexError:
            return None


class RoomSound:
    """`emit` gets sound in the order of time, without overlaps. One thread."""

    def __init__(
        self, microphone: str | None, emit: Emit, *, opened_us: int, offset_us: int = 0, skew: float = 0.0
    ) -> None:
        """`microphone`: its name as manifests bear it; None where the room has none. `opened_us`: now
        (monotonic). `offset_us` is what was calibrated for the room: added to the times of the sound it was
        calibrated with, the microphone's or else the camera's. `skew`: what is known of the microphone's
        clock.
        """
        self.offset_us = offset_us
        self._microphone = microphone
        self._emit = emit
        self._log = get_logger()
        self._until_ticks = 0  # sound up to here was emitted
        self._using = microphone or CAMERA_SOUND
        self.clock = MediaClock(MICROPHONE, skew=skew)
        self._mic_line: LineResampler | None = None
        self._session = -1
        self._heard_us = 0
        self._put_until_us = 0.0  # where the sound that was put on the line ends
        # Blocks that are not believed yet: the microphone was just opened, or its clock is in doubt.
        self._settling: deque[SoundBlock] | None = deque()
        self._settle_us = _SETTLE_US
        self._last_block_us = opened_us + _SETTLE_US
        self._decoder: MonoDecoder | None = None
        self._camera_line: LineResampler | None = None
        self._backlog: deque[tuple[Any, int]] = deque()

    @property
    def using(self) -> str:
        """The name of what is recorded now."""
        return self._using

    @property
    def is_heard(self) -> bool:
        """Whether there is sound, or may soon be."""
        return self._using != CAMERA_SOUND or self._decoder is not None

    @property
    def has_learnt(self) -> bool:
        """Whether the microphone's clock was watched for long enough to be remembered."""
        return self._heard_us > LEARNT_AFTER_US

    def sync(self, camera: MediaClock, *, reported: bool) -> SyncStatement:
        """How far this sound is from the picture of that clock, as far as clocks can tell. `reported`: the
        camera has told its own clock.
        """
        if self._using == CAMERA_SOUND:
            return SyncStatement(offset_us=0, uncertainty_us=_REPORTED_US if reported else _UNREPORTED_US)
        offset_us = self.clock.ahead_us - camera.ahead_us
        uncertainty_us = (self.clock.uncertainty_us or 0) + (camera.uncertainty_us or 0)
        return SyncStatement(offset_us=offset_us, uncertainty_us=uncertainty_us)

    # --- the microphone

    def block(self, block: SoundBlock) -> None:
        if block.session != self._session:
            self._session = block.session
            self.clock.restart()
            self._settling, self._settle_us = deque(), _SETTLE_US
            self._heard_us = 0
        count = len(block.samples) // 2
        if block.overflow:
            # How much is lost is not known: only arrivals tell.
            self.clock.restart()
        self.clock.observe(block.end_count * US_PER_SECOND / ENCODED_RATE, block.arrival_us)
        self._heard_us += count * US_PER_SECOND // ENCODED_RATE
        self._last_block_us = max(self._last_block_us, block.arrival_us)
        waiting = self._settling
        if waiting is None and not self.clock.in_doubt:
            self._hear(block)
            return
        if waiting is None:
            waiting = self._settling = deque()
            self._settle_us = 0
        waiting.append(block)
        if block.arrival_us - waiting[0].arrival_us >= self._settle_us and not self.clock.in_doubt:
            self._settling = None
            for each in waiting:
                self._hear(each)

    def microphone_lost(self) -> None:
        """At once: nobody waits for blocks that cannot come."""
        self._hear_unsettled()
        if self._using != CAMERA_SOUND:
            self._turn_to_camera()
        self._settling = deque()
        self._session = -1

    def look(self, now_us: int) -> None:
        """Call it a few times a second: a microphone that says nothing any more is noticed here."""
        if self._using != CAMERA_SOUND and now_us - self._last_block_us > LOST_AFTER_US:
            self._turn_to_camera()

    def _hear(self, block: SoundBlock) -> None:
        if self._microphone is None:
            return
        count = len(block.samples) // 2
        if self._using == CAMERA_SOUND:
            self._log.info("microphone is back", microphone=self._microphone)
            self._flush(self._camera_line)
            self._camera_line = None
            self._using = self._microphone
        if self._mic_line is None:
            self._mic_line = _microphone_line(self.clock.skew)
        start_us = self.clock.host_us((block.end_count - count) * US_PER_SECOND / ENCODED_RATE)
        samples = np.frombuffer(block.samples, np.int16).astype(np.float32) / np.float32(32768)
        duration_us = count * US_PER_SECOND / ENCODED_RATE
        self._put(self._mic_line, samples, start_us + self.offset_us, duration_us)

    def _hear_unsettled(self) -> None:
        """Nobody will know better where these blocks belong: by the clock as it is, unless the camera has
        heard the same.
        """
        heard = self._decoder is not None and (self._using == CAMERA_SOUND or bool(self._backlog))
        if self._settling is not None and not heard:
            waiting, self._settling = self._settling, deque()
            for each in waiting:
                self._hear(each)

    # --- the camera

    def camera_opened(self, decoder: MonoDecoder | None) -> None:
        """A connection begins; None: it offers no sound."""
        self.camera_closed()
        self._decoder = decoder

    def camera_closed(self) -> None:
        if self._using == CAMERA_SOUND:
            self._flush(self._camera_line)
        self._decoder = self._camera_line = None
        self._backlog.clear()

    def camera(self, packet: Any, host_us: int) -> None:
        """`host_us`: when its first sample was taken (monotonic)."""
        if self._decoder is None:
            return
        if self._using == CAMERA_SOUND:
            self._decode(packet, host_us)
            return
        self._backlog.append((packet, host_us))
        while host_us - self._backlog[0][1] > _BACKLOG_US:
            self._backlog.popleft()

    def _turn_to_camera(self) -> None:
        self._log.warning("microphone lost", microphone=self._microphone, camera=self._decoder is not None)
        self._hear_unsettled()
        self._flush(self._mic_line)
        self._mic_line = None
        self._using = CAMERA_SOUND
        waiting, self._backlog = self._backlog, deque()
        for packet, host_us in waiting:
            self._decode(packet, host_us)

    def _decode(self, packet: Any, host_us: int) -> None:
        if self._decoder is None:
            return
        samples = self._decoder.decode(packet)
        if self._camera_line is None:
            rate = self._decoder.rate
            self._camera_line = _camera_line(rate)
        offset_us = 0 if self._microphone else self.offset_us
        duration_us = len(samples) * US_PER_SECOND / self._decoder.rate
        self._put(self._camera_line, samples, host_us + offset_us, duration_us)

    # --- both

    def finish(self) -> None:
        """What the microphone's clock or the resamplers still hold is emitted."""
        self._backlog.clear()
        self._hear_unsettled()
        self._flush(self._camera_line if self._using == CAMERA_SOUND else self._mic_line)
        self._camera_line = self._mic_line = None

    def _put(self, line: LineResampler, samples: Pcm, host_us: float, duration_us: float) -> None:
        if not len(samples):
            return
        if host_us - self._put_until_us > _HOLE_US:
            self._flush(line)
        self._put_until_us = host_us + duration_us
        for piece in line.feed(samples, host_us):
            self._give(piece.samples, piece.ticks)

    def _flush(self, line: LineResampler | None) -> None:
        if line is not None:
            for piece in line.flush():
                self._give(piece.samples, piece.ticks)

    def _give(self, samples: Pcm, ticks: int) -> None:
        behind = self._until_ticks - ticks
        if behind > 0:
            samples, ticks = samples[behind:], ticks + behind
        if len(samples):
            self._until_ticks = ticks + len(samples)
            self._emit(samples, ticks, self._using)
