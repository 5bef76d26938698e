"""What a source records now: its present run, the one that is just ending, and sound that still waits.

A run begins with a keyframe, or with sound alone where no picture comes: then the microphone goes on while
the camera is away. Sound is dealt to the run in whose time it was taken, whichever comes first: sound waits
until the picture has passed it, because the next keyframe may begin another run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recorder.capture.sound import ENCODED_RATE, Pcm
from recorder.errors import ProtokolError
from recorder.host_watch import STEP_US
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.ledger import Ledger
from recorder.logging import get_logger
from recorder.manifest import ClockStatement, GapCause, SyncStatement, Track
from recorder.run import CopiedSound, Picture, Run, RunTerms
from recorder.segmenter import SOUND_GRACE_US
from recorder.sound_opening import SoundOpening

# A picture arrives up to a second after the sound of its instant (bursts, one frame in the parser, a slow
# network). Sound waits so long at most for the picture that tells its run: the present one, one that a
# keyframe on its way begins, or else a run of its own.
_WAITS_US = 1_500_000
_FOR_EVER_US = 2**62
_NO_SOUND = "none"


@dataclass(frozen=True, slots=True)
class RecordingTerms:
    """What a recording asks its surroundings at each new run.

    `may_record` says why not, or None. `clock_trust` is the host clock's (uncertainty_us, estimated).
    """

    configuration_version: Callable[[], int]
    av_offset_us: Callable[[], int]
    segment_us: int
    window: Callable[[], Interval | None]
    clock_trust: Callable[[], tuple[int, bool]]
    wall_offset_us: Callable[[], int]
    may_record: Callable[[], GapCause | None]


class Recording:
    """Methods raise DiskError and MediaError; call `fail` then.

    `microphone` is the name of the sound that is encoded, `none` for none; `copied` the camera's, if that
    is copied instead. Both hold from the next run on.
    """

    def __init__(
        self, ledger: Ledger, terms: RecordingTerms, source: str, *, alone: bool, has_camera: bool = True
    ) -> None:
        """`alone`: sound is worth a run of its own. Without a camera it waits for no picture."""
        self.microphone = _NO_SOUND
        self.copied: CopiedSound | None = None
        self.why_silent = ""
        # How the camera's clock and tracks are known, and how far sound is from picture.
        self.reported: Callable[[], bool] = lambda: True
        self.sync: Callable[[], SyncStatement | None] = lambda: None
        self._ledger = ledger
        self._terms = terms
        self._alone = alone
        self._waits_us = _WAITS_US if has_camera else 0
        self._log = get_logger(source=source)
        self._opening = SoundOpening()
        # When the latest sound that a run got was taken (CLOCK_MONOTONIC).
        self.last_sound_us = 0
        self._roll = False
        self._run: Run | None = None
        # A run whose picture has ended and whose sound may still be on its way.
        self._closing: Run | None = None
        # Where the footage of the last run on disk ends (UTC), and how that run told UTC.
        self._ended_us = self._ended_offset_us = 0
        # The latest picture of the present run. Nothing before it can belong to a run that is still to begin.
        self._seen_us = 0
        # Sound to be encoded (samples, ticks, microphone) and to be copied (packet, host time, duration).
        self._waiting: deque[tuple[Pcm, int, str]] = deque()
        self._waiting_copies: deque[tuple[Any, int, float]] = deque()

    @property
    def run(self) -> Run | None:
        return self._run

    @property
    def runs(self) -> list[Run]:
        return [run for run in (self._closing, self._run) if run]

    @property
    def has_picture(self) -> bool:
        return self._run is not None and self._run.has_picture

    @property
    def is_rolling(self) -> bool:
        return self._roll

    def roll(self) -> None:
        """The present run ends where the next keyframe begins, and another begins if it may."""
        self._roll = True

    # --- pictures

    def keyframe(self, picture: Callable[[], Picture], host_us: int, *, changed: bool) -> None:
        """Before `video` of a keyframe: begins a run where one is due. `changed`: another stream follows."""
        if changed or self._roll or not self.has_picture:
            if self.has_picture or self._ended_us:
                # What was heard before belongs to the present run, or to one of its own where the camera was
                # away for less than sound waits.
                self._deal_until(host_us)
            self._roll = False
            self._begin(host_us, self._terms.wall_offset_us(), picture)
            self._seen_us = host_us

    def video(
        self, packet: Any, host_us: int, lead_ticks: int, duration_us: float, *, keyframe: bool
    ) -> None:
        run = self._run
        if run is not None and run.has_picture:
            run.video(packet, host_us, lead_ticks, duration_us, keyframe=keyframe)
            if host_us > self._seen_us:
                self._seen_us = host_us
                if self._waiting or self._waiting_copies:
                    self._deal_until(host_us)
        if self._closing and self._run and host_us > self._run.first_host_us + SOUND_GRACE_US:
            self._finish_closing()

    def picture_ended(self) -> None:
        """The camera is gone: its run is committed. Sound may go on in a run of its own."""
        if self.has_picture:
            if not self._alone:
                self._deal_until(_FOR_EVER_US)
            self.interrupt()
        self._waiting_copies.clear()

    # --- sound

    def sound_opens(self, now_us: int) -> None:
        """A window opens, and the microphone with it: what is missing until it is heard was not lost."""
        self._opening.begin(now_us)

    def sound_lost(self, detail: str) -> None:
        """The microphone is gone or cannot be opened. What passed before it was first heard is not lost."""
        since_us = self._ledger.covered_until[Track.AUDIO]
        if self._opening.is_awaited:
            self._opening.give_up()
        elif self._opening.heard_from_us:
            since_us = max(since_us, self._opening.heard_from_us + self._terms.wall_offset_us())
        self._ledger.note(since_us, GapCause.MICROPHONE_LOST, detail, [Track.AUDIO])

    def look(self, now_us: int) -> None:
        """Call it once a second: a microphone that never came is noticed here."""
        if self._opening.is_overdue(now_us):
            self.sound_lost("no sound came")

    def copy(self, packet: Any, host_us: int, duration_us: float) -> None:
        self._waiting_copies.append((packet, host_us, duration_us))
        self._deal_until(self._passed_us(host_us))

    def sound(self, samples: Pcm, ticks: int, microphone: str) -> None:
        """`ticks` of ENCODED_RATE on CLOCK_MONOTONIC; in the order of time."""
        self.microphone = microphone
        if self._opening.is_awaited:
            self._sound_came(ticks * US_PER_SECOND // ENCODED_RATE)
        self._waiting.append((samples, ticks, microphone))
        self._deal_until(self._passed_us((ticks + len(samples)) * US_PER_SECOND // ENCODED_RATE))

    def _sound_came(self, host_us: int) -> None:
        self._opening.heard(host_us)
        if self.runs:
            oldest = self.runs[0]
            self._note_silence(max(host_us, oldest.first_host_us), oldest.wall_offset_us)

    def _note_silence(self, host_us: int, wall_offset_us: int) -> None:
        """Inside a run only sound can be missing: why, from then on."""
        for since_us, cause in self._opening.causes(host_us):
            detail = self.why_silent if cause is GapCause.MICROPHONE_LOST else ""
            self._ledger.note(since_us + wall_offset_us, cause, detail, [Track.AUDIO])

    def _passed_us(self, heard_us: int) -> int:
        """Until when sound waits no more, now that it was heard until `heard_us`."""
        late_us = heard_us - self._waits_us
        return max(late_us, self._seen_us) if self.has_picture else late_us

    def _deal_until(self, host_us: int) -> None:
        """What waits and was taken before `host_us`, to the sample."""
        copies = self._waiting_copies
        while copies and copies[0][1] < host_us:
            self._deal_copy(*copies.popleft())
        until_ticks = host_us * ENCODED_RATE // US_PER_SECOND
        while self._waiting and self._waiting[0][1] < until_ticks:
            samples, ticks, microphone = self._waiting.popleft()
            ready = until_ticks - ticks
            if ready < len(samples):
                self._waiting.appendleft((samples[ready:], until_ticks, microphone))
                samples = samples[:ready]
            if self._alone and not self.has_picture and (self._run is None or self._roll):
                self._begin_alone(ticks, ticks + len(samples))
            self._deal(samples, ticks, microphone)

    def _deal_copy(self, packet: Any, host_us: int, duration_us: float) -> None:
        run, closing = self._run, self._closing
        self.last_sound_us = host_us
        if closing:
            if run is None or host_us < run.first_host_us:
                closing.copied(packet, host_us, duration_us)
                return
            self._finish_closing()
        if run:
            run.copied(packet, host_us, duration_us)

    def _deal(self, samples: Pcm, ticks: int, microphone: str) -> None:
        run, closing = self._run, self._closing
        if closing and run:
            border = run.first_host_us * ENCODED_RATE // US_PER_SECOND - ticks
            if border > 0:
                closing.sound(samples[:border], ticks, microphone)
                samples, ticks = samples[border:], ticks + border
            if not len(samples):
                return
            if closing.fill_up(samples, ticks):
                self._finish_closing()
        if run:
            run.sound(samples, ticks, microphone)
            self.last_sound_us = ticks * US_PER_SECOND // ENCODED_RATE

    def flush(self) -> None:
        """Nothing of what runs have got stays in memory, where a kill would lose it."""
        for run in self.runs:
            run.flush()

    def committed_until(self, limit_us: int) -> dict[Track, int]:
        """Until when (UTC) nothing of a track is in a segment that is still open, at the most `limit_us`."""
        video_us = audio_us = limit_us
        for run in self.runs:
            since_us = run.uncommitted_since_us
            if run.has_picture and since_us is not None:
                video_us = min(video_us, since_us)
            sound_us = run.sound_since_us
            audio_us = audio_us if sound_us is None else min(audio_us, sound_us)
        return {Track.VIDEO: video_us, Track.AUDIO: audio_us}

    # --- ends

    def interrupt(self) -> None:
        """The present run is committed, with its sound as far as its picture reaches; what was heard later
        still waits for what follows.
        """
        if self._run and self._run.has_picture:
            self._deal_until(self._run.picture_end_host_us)
        self._finish()

    def end(self) -> None:
        """Everything recorded is committed; a run may begin at the next keyframe, if packets come."""
        self._deal_until(_FOR_EVER_US)
        self._finish()

    def fail(self, error: ProtokolError) -> int | None:
        """After an error: saves what can be saved; from when on (UTC) something open was lost."""
        lost = [run.give_up(error) for run in self.runs]
        self._run = self._closing = None
        self._waiting.clear()
        self._waiting_copies.clear()
        return min((each for each in lost if each is not None), default=None)

    def _begin_alone(self, ticks: int, until_ticks: int) -> None:
        """With the first of this sound that may be recorded."""
        self._roll = False
        host_us, until_us = (-(-each * US_PER_SECOND // ENCODED_RATE) for each in (ticks, until_ticks))
        wall_offset_us = self._terms.wall_offset_us()
        window = self._terms.window()
        if window and host_us < window.start_us - wall_offset_us < until_us:
            host_us = window.start_us - wall_offset_us
        taken_us, offset_us = self._ended_us, self._ended_offset_us
        if self._run and self._run.uncommitted_since_us is not None:
            taken_us, offset_us = self._run.uncommitted_since_us + 1, self._run.wall_offset_us
        # A clock that is slewed back must not tell the same time twice; one that was set back does.
        if offset_us - wall_offset_us <= STEP_US:
            host_us = max(host_us, taken_us - wall_offset_us)
        self._begin(host_us, wall_offset_us, None)

    def _begin(self, host_us: int, wall_offset_us: int, picture: Callable[[], Picture] | None) -> None:
        """Instead of the present run, if any. Without permission none begins."""
        terms = self._terms
        start_us = host_us + wall_offset_us
        old, self._run = self._run, None
        if old:
            self._finish_closing()
            self._closing = old
            old.give_way(start_us, host_us)
        window = terms.window()
        if window is None or not window.contains(start_us):
            self._finish_closing()
            return
        forbidden = terms.may_record()
        if forbidden:
            self._finish_closing()
            self._ledger.note(start_us, forbidden)
            return
        run_terms = RunTerms(
            configuration_version=terms.configuration_version(),
            av_offset_us=terms.av_offset_us(),
            window=window,
            segment_us=terms.segment_us,
            wall_offset_us=wall_offset_us,
            clock=self._clock_statement,
            sync=self._sync_statement,
        )
        self._run = Run(
            run_terms,
            self._ledger,
            host_us,
            picture=picture() if picture else None,
            copied=self.copied if picture else None,
            microphone=self.microphone,
        )
        self._note_silence(host_us, wall_offset_us)
        facts = {"picture": picture is not None, "microphone": self.microphone}
        self._log.info("run begins", run=self._run.id, version=run_terms.configuration_version, **facts)

    def _finish(self) -> None:
        self._finish_closing()
        self._closing, self._run = self._run, None
        self._finish_closing()

    def _finish_closing(self) -> None:
        closing, self._closing = self._closing, None
        if closing is None:
            return
        closing.finish()
        if closing.end_us:
            self._ended_us, self._ended_offset_us = closing.end_us, closing.wall_offset_us

    def _sync_statement(self) -> SyncStatement | None:
        return self.sync()

    def _clock_statement(self) -> ClockStatement:
        uncertainty_us, estimated = self._terms.clock_trust()
        reported = self.reported()
        return ClockStatement(
            source="sender_report" if reported else "arrival",
            uncertainty_us=uncertainty_us,
            estimated=estimated or not reported,
        )
