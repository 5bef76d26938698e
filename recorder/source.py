"""The recorder of one source: when to connect, what each event means, what is declared missing.

A thread that sleeps until the camera's thread has read a burst of packets, or the microphone has brought
sound that nothing else will fetch. It may wait for the disk; those threads never wait for it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recorder.capture.camera import Address, Burst, CameraLink, Event, Inbox, Lost, Opened, Overloaded
from recorder.capture.health import HealthMonitor
from recorder.capture.microphone_events import MicrophoneEvent, MicrophoneLost, SoundBlock
from recorder.capture.sound import ENCODED_RATE, Pcm
from recorder.errors import ProtokolError
from recorder.health_rules import RecordingState
from recorder.host_boots import BootEvent
from recorder.host_clock import monotonic_us
from recorder.host_watch import MAX_UNCERTAINTY_US, HostWatch
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.ledger import SETTLED_AFTER_US, Ledger
from recorder.logging import get_logger
from recorder.manifest import GapCause, SyncStatement, Track
from recorder.partfile import DiskError
from recorder.recording import Recording, RecordingTerms
from recorder.recovery import Recovered, recover
from recorder.room_sound import CAMERA_SOUND, RoomSound, SoundQueue
from recorder.rooms import RoomConfiguration
from recorder.run import MediaError
from recorder.session import Session
from recorder.skews import LEARNT_AFTER_US, Skews
from recorder.sound_levels import SoundLevels
from recorder.source_status import SourceStatus, StatusKeeper
from recorder.spool import Spool
from recorder.window import SourceWindow

_LOOK_AROUND_US = 1_000_000
_STALLED_US = US_PER_SECOND
# The first packet after opening may wait for the camera's next keyframe.
_FIRST_PACKET_US = 3 * US_PER_SECOND
_DISK_RETRY_US = 5 * US_PER_SECOND
# Sound comes within a second; a microphone's loss is noticed and made good within two.
_SOUND_MISSING_US = 4 * US_PER_SECOND
_UNUSABLE_PAUSE_S = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_THE_DISK = (GapCause.SPOOL_FULL, GapCause.DISK_ERROR)
# Causes that take the picture alone where a microphone hears the room.
_OF_THE_PICTURE = (GapCause.CAMERA_UNREACHABLE, GapCause.CAMERA_STALLED, GapCause.OPENING, GapCause.UNKNOWN)


@dataclass(frozen=True, slots=True)
class SourceHardware:
    """What a source records. `address` is None in a room without a camera, `microphone` (its name) in one
    without a microphone; at least one is there.
    """

    source: str
    address: Address | None
    microphone: str | None = None

    @property
    def tracks(self) -> tuple[Track, ...]:
        return tuple(Track) if self.address else (Track.AUDIO,)


class SharedMicrophone(Protocol):
    """It is open while any source wants it."""

    def wants(self, source: str, *, wanted: bool) -> None: ...


class SourceRecorder(threading.Thread):
    """Records one source until `stop`, then commits what is open and is done."""

    def __init__(
        self,
        hardware: SourceHardware,
        *,
        microphone: SharedMicrophone | None = None,
        spool: Spool,
        configuration: Callable[[], RoomConfiguration],
        host: HostWatch,
        segment_us: int,
        boot_id: str,
        skews: Skews,
        restarted: bool = False,
        boots: Sequence[BootEvent] = (),
        superseded_us: Callable[[], int] | None = None,
        health: HealthMonitor | None = None,
    ) -> None:
        """Recovers what a crash left. `restarted`: in the place of a recorder that was stopped.

        `boots` and `superseded_us` are as the ledger wants them. Raises ConfigurationError, DiskError.
        """
        super().__init__(name=f"recorder-{hardware.source}", daemon=True)
        self.source = hardware.source
        self.beat_us = monotonic_us()
        self.hardware = hardware
        self._microphone = microphone
        self._looked_us = 0
        self._spool = spool
        self._configuration = configuration
        self._host = host
        self._skews = skews
        self._health = health
        self._log = get_logger(source=self.source)
        chain = spool.chain(self.source)
        started_us = now_us()
        recovered = recover(chain, started_us)
        self._report_recovery(recovered, chain.damaged)
        self._ledger = Ledger(
            spool, chain, configuration, started_us, hardware.tracks, superseded_us=superseded_us
        )
        self._ledger.begin(recovered, boot_id, started_us, restarted=restarted, boots=boots)
        self._lead = hardware.tracks[0]
        self._inbox = Inbox()
        self._link = CameraLink(hardware.address, self._inbox, self.source) if hardware.address else None
        self._window = SourceWindow()
        self._session: Session | None = None
        self._sound: RoomSound | None = None
        self._heard = SoundQueue()
        self._levels = SoundLevels(ENCODED_RATE)
        self._recording = self._new_recording(segment_us)
        self._fault: tuple[GapCause, str] | None = None
        self._disk_retry_us = 0
        self._flushed_minute = 0
        self._version = configuration().version
        self._stopping = threading.Event()
        self._stop_cause = GapCause.MAINTENANCE
        self._status = StatusKeeper(started_us)

    def _new_recording(self, segment_us: int) -> Recording:
        terms = RecordingTerms(
            configuration_version=lambda: self._version,
            av_offset_us=lambda: self._configuration().room.av_offset_ms * 1000,
            segment_us=segment_us,
            window=lambda: self._window.recordable,
            clock_trust=self._trust,
            wall_offset_us=self._host.wall_offset_us,
            may_record=lambda: self._forbidden(now_us()),
        )
        alone = self.hardware.microphone is not None
        return Recording(self._ledger, terms, self.source, alone=alone)

    @property
    def status(self) -> SourceStatus:
        return self._status.latest

    def hear(self, event: MicrophoneEvent) -> None:
        """From the microphone's thread; never waits."""
        self._heard.put(event)
        if self._session is None:
            self._inbox.wake()

    def stop(self, cause: GapCause = GapCause.MAINTENANCE) -> None:
        """`cause` accounts for what is missing from then on."""
        self._stop_cause = cause
        self._stopping.set()
        self._inbox.wake()

    @property
    def is_idle(self) -> bool:
        """Neither records nor wants its camera."""
        return not self._window.is_wanted and self._session is None

    def run(self) -> None:
        if self._link:
            self._link.start()
        while not self._stopping.is_set():
            self.beat_us = monotonic_us()
            if self.beat_us - self._looked_us > _LOOK_AROUND_US:
                self._look_around(now_us())
            self._take_one(_LOOK_AROUND_US / US_PER_SECOND)
            self._listen()
            self._guarded(self._recording.flush)
        self._shut_down()

    def _look_around(self, at_us: int) -> None:
        self._looked_us = self.beat_us
        self._keep_window(at_us)
        self._supervise(at_us)
        if not self._host.trust.estimated:
            self._ledger.clock_went_back(at_us)
        minute = (at_us - SETTLED_AFTER_US) // US_PER_MINUTE
        # What waits in the inbox is not missing.
        if minute != self._flushed_minute and self._inbox.is_empty:
            self._flushed_minute = minute
            self._guarded(lambda: self._flush(at_us - SETTLED_AFTER_US))
        self._tell_status(at_us)

    def _take_one(self, timeout_s: float) -> bool:
        """Works on the next thing in the inbox; False when nothing came in time."""
        item = self._inbox.take(timeout_s)
        if item is None:
            return False
        if isinstance(item, tuple):
            self._guarded(lambda: self._handle(*item))
        else:
            self._guarded(lambda: self._record(item))
        return True

    def _record(self, burst: Burst) -> None:
        if self._session:
            take = self._session.take
            for packet, arrival_us in burst:
                take(packet, arrival_us)

    def _listen(self) -> None:
        """To what the microphone has brought since."""
        while (event := self._heard.take()) is not None:
            self._guarded(lambda event=event: self._hear(event))  # type: ignore[misc]
        if self._sound:
            sound = self._sound
            self._guarded(lambda: sound.look(monotonic_us()))

    def _hear(self, event: MicrophoneEvent) -> None:
        if self._sound is None:
            return
        if isinstance(event, SoundBlock):
            self._sound.block(event)
        elif isinstance(event, MicrophoneLost):
            self._sound.microphone_lost()
            covered_us = self._ledger.covered_until[Track.AUDIO]
            self._ledger.note(covered_us, GapCause.MICROPHONE_LOST, event.detail, [Track.AUDIO])

    def _guarded(self, step: Callable[[], object]) -> None:
        """A failure of disk or media ends the run, never the recorder."""
        try:
            step()
        except ProtokolError as error:
            self._failed(error)

    # --- windows

    def _keep_window(self, at_us: int) -> None:
        configuration = self._configuration()
        self._guarded(lambda: self._ledger.learn(at_us))
        window = self._window
        was_open = window.is_wanted
        window.update(configuration, at_us, self._host.trust.uncertainty_us)
        if window.is_wanted and not was_open:
            self._open_window(at_us)
        elif was_open and not window.is_wanted:
            self._close_window()
            if self._health:
                self._health.forget(self.source)
            self._ledger.note(window.last_end_us, GapCause.CLOCK_UNKNOWN, "margin of the clock's uncertainty")
            self._guarded(lambda: self._flush(at_us))
        if window.recordable:
            for run in self._recording.runs:
                run.narrow(window.recordable, configuration.version)
        if configuration.version != self._version:
            self._recording.roll()
            offset_us = configuration.room.av_offset_ms * 1000
            if self._sound:
                self._sound.offset_us = offset_us
            if self._session:
                self._session.offset_us = offset_us
            # A crash would forget the configuration before.
            self._guarded(lambda: self._flush(at_us - SETTLED_AFTER_US))
        self._version = configuration.version

    def _open_window(self, at_us: int) -> None:
        for since_us, cause in self._window.reasons_at_opening(at_us):
            self._ledger.note(since_us, cause)
        name = self.hardware.microphone
        self._sound = RoomSound(
            name,
            self._take_sound,
            opened_us=monotonic_us(),
            offset_us=self._configuration().room.av_offset_ms * 1000,
            skew=self._skews.of(f"microphone {name}"),
        )
        if self._microphone:
            self._microphone.wants(self.source, wanted=True)
        if self._link:
            self._link.want(wanted=True)

    def _close_window(self) -> None:
        if self._microphone:
            self._microphone.wants(self.source, wanted=False)
        if self._link:
            self._link.want(wanted=False)
        self._listen()
        sound, self._sound = self._sound, None
        if sound:
            self._guarded(sound.finish)
            if sound.has_learnt:
                name = f"microphone {self.hardware.microphone}"
                self._skews.learn(name, sound.clock.skew, monotonic_us())
        self._end_session()
        self._guarded(self._recording.end)

    def _take_sound(self, samples: Pcm, ticks: int, microphone: str) -> None:
        self._status.hear(samples)
        if self._health and self._recording.run:
            for levels in self._levels.feed(samples):
                self._health.offer_sound(self.source, levels)
        self._recording.sound(samples, ticks, microphone)

    # --- events

    def _handle(self, item: Event, at_us: int) -> None:
        if isinstance(item, Opened):
            try:
                self._begin_session(item, at_us)
            finally:
                item.taken.set()
        elif isinstance(item, Overloaded):
            if self._session:
                self._session.packets_dropped()
            self._interrupt(GapCause.OVERLOAD, "the room host did not keep up")
        elif isinstance(item, Lost):
            self._end_session()
            if self._window.is_wanted:
                self._missing(item.cause, item.detail)

    def _begin_session(self, opened: Opened, at_us: int) -> None:
        self._end_session()
        if self._sound is None:
            return
        try:
            self._session = Session(
                opened,
                at_us,
                self._recording,
                self._sound,
                self.source,
                has_microphone=self.hardware.microphone is not None,
                skew=self._skews.of(f"camera {self.hardware.address}"),
                offset_us=self._configuration().room.av_offset_ms * 1000,
                health=self._health,
            )
        except MediaError as error:
            self._log.error("camera unusable", reason=str(error))
            self._missing(GapCause.UNKNOWN, str(error))
            if self._link:
                self._link.reopen(pause_s=_UNUSABLE_PAUSE_S)
            return
        self._recording.sync = self._sync
        self._status.restart_rate()
        self._missing(GapCause.OPENING, "")

    def _sync(self) -> SyncStatement | None:
        session = self._session
        if session is None or self._sound is None:
            return None
        return self._sound.sync(session.clock, reported=session.reported)

    def _trust(self) -> tuple[int, bool]:
        trust = self._host.trust
        return trust.uncertainty_us, trust.estimated

    def _forbidden(self, at_us: int) -> GapCause | None:
        if self._host.trust.uncertainty_us > MAX_UNCERTAINTY_US:
            return GapCause.CLOCK_UNKNOWN
        if at_us < self._disk_retry_us:
            return GapCause.DISK_ERROR
        if not self._spool.accepts_footage():
            return GapCause.SPOOL_FULL
        return None

    # --- supervision

    def _supervise(self, at_us: int) -> None:
        session, recording = self._session, self._recording
        if session and self._is_lost(session):
            return
        run = recording.run
        if run and self._host.stepped_since(run.wall_offset_us):
            self._interrupt(GapCause.CLOCK_STEP, "the host's clock was set")
        elif run and self._host.slewed_since(run.wall_offset_us):
            recording.roll()
        if run and not run.has_picture and self._sound and not self._sound.is_heard:
            self._guarded(recording.end)
            if self.hardware.address is None:
                self._missing(GapCause.MICROPHONE_LOST, "no sound comes")
        forbidden = self._forbidden(at_us)
        if forbidden and recording.run:
            recording.roll()
        if forbidden and not recording.run and self._window.is_wanted:
            self._missing(forbidden, "")
        elif not recording.run and self._fault and self._fault[0] in _OF_THE_DISK:
            self._missing(GapCause.OPENING, "")

    def _is_lost(self, session: Session) -> bool:
        """Whether the camera's connection had to be given up."""
        silent_us = monotonic_us() - session.last_video_us
        stalled = silent_us > (_STALLED_US if session.pictures else _FIRST_PACKET_US)
        # What waits in the inbox is not missing: this thread was late, not the camera.
        if stalled and self._inbox.is_empty:
            self._give_up(GapCause.CAMERA_STALLED, "no picture for a second")
            return True
        if session.sound_waits(monotonic_us()):
            self._give_up(GapCause.OPENING, "the camera's sound lost its clock")
            return True
        return False

    def _give_up(self, cause: GapCause, detail: str) -> None:
        self._guarded(self._end_session)
        self._missing(cause, detail)
        if self._link:
            self._link.reopen()

    def _interrupt(self, cause: GapCause, detail: str) -> None:
        """The run ends here; another begins at the next keyframe of the same connection."""
        if self._recording.runs:
            self._fault = None
        if self._recording.runs or self._session:
            self._guarded(self._recording.end)
            self._missing(cause, detail)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if monotonic_us() - session.opened_us > LEARNT_AFTER_US:
            self._skews.learn(f"camera {self.hardware.address}", session.clock.skew, monotonic_us())
        if self._recording.has_picture:
            # Footage has come since: what is missing next is missing from its end on.
            self._fault = None
        try:
            if self._sound:
                self._sound.camera_closed()
            self._recording.picture_ended()
        except ProtokolError as error:
            self._failed(error)

    def _missing(self, cause: GapCause, detail: str) -> None:
        """From the end of what is recorded on, footage is missing for this cause."""
        if self._fault != (cause, detail):
            covered_us = self._ledger.covered_until[self._lead]
            fresh = self._fault is None
            alone = self.hardware.microphone is not None and cause in _OF_THE_PICTURE
            tracks = [self._lead] if alone else None
            self._ledger.note(covered_us if fresh else now_us(), cause, detail, tracks)
            self._fault = (cause, detail)

    def _failed(self, error: ProtokolError) -> None:
        lost_us = self._recording.fail(error)
        if self._fault is None or self._fault[1] != str(error):
            self._log.error("run lost", reason=str(error))
        cause = GapCause.UNKNOWN
        if isinstance(error, DiskError):
            cause = GapCause.SPOOL_FULL if error.errno in _FULL else GapCause.DISK_ERROR
            self._ledger.disk_failed(error)
            if cause is GapCause.DISK_ERROR:
                self._disk_retry_us = now_us() + _DISK_RETRY_US
        for track, covered_us in self._ledger.covered_until.items():
            since_us = covered_us if lost_us is None else max(lost_us, covered_us)
            self._ledger.note(since_us, cause, str(error), [track])
        self._fault = (cause, str(error))

    def _flush(self, until_us: int) -> None:
        video_us = audio_us = until_us
        for run in self._recording.runs:
            since_us = run.uncommitted_since_us
            if run.has_picture and since_us is not None:
                video_us = min(video_us, since_us)
            sound_us = run.sound_since_us
            audio_us = audio_us if sound_us is None else min(audio_us, sound_us)
        self._ledger.flush({Track.VIDEO: video_us, Track.AUDIO: audio_us})

    def _tell_status(self, at_us: int) -> None:
        recording, session = self._recording, self._session
        records = recording.has_picture or (recording.run is not None and self.hardware.address is None)
        if records:
            self._fault = None
            self._tell_health()
        state = "recording" if records else "fault" if self._window.contains(at_us) else "closed"
        self._status.update(
            at_us,
            state,
            self._fault if state == "fault" else None,
            pictures=session.pictures if session else None,
            last_picture_us=session.last_video_us if session else None,
            microphone=self._sound.using if self._sound and self._recording.microphone != "none" else None,
            sync=self._sync(),
            clock_error_ms=self.hardware.address.clock_error_ms if self.hardware.address else None,
        )

    def _tell_health(self) -> None:
        if self._health is None or self._sound is None:
            return
        run = self._recording.run
        sounded_us = max(self._recording.last_sound_us, run.first_host_us if run else 0)
        missing = monotonic_us() - sounded_us > _SOUND_MISSING_US
        replaced = self.hardware.microphone is not None and self._sound.using == CAMERA_SOUND
        self._health.offer_recording(self.source, RecordingState(missing, replaced))

    def _shut_down(self) -> None:
        if self._link:
            self._link.stop()
        while self._take_one(0):
            pass
        self._close_window()
        self._missing(self._stop_cause, "")
        self._guarded(lambda: self._ledger.stop(now_us()))
        self._log.info("source stopped")

    def _report_recovery(self, recovered: Recovered, damaged: list[str]) -> None:
        if recovered.crashed_us is not None:
            self._log.warning("recovered after a crash", segments=len(recovered.parts))
        for name in damaged:
            self._log.error("entry is damaged on disk and cannot be shipped", name=name)
