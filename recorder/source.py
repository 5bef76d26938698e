"""The recorder of one source: when to connect, what each event means, what is declared missing.

A thread that sleeps until the camera's thread has read a burst of packets, or the microphone has brought
sound that nothing else will fetch. It may wait for the disk; those threads never wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from recorder.capture.camera import Burst, CameraLink, Event, Inbox, Lost, Opened, Overloaded
from recorder.capture.health import HealthMonitor
from recorder.capture.microphone_events import MicrophoneEvent
from recorder.capture.sound import Pcm
from recorder.errors import ProtokolError
from recorder.faults import Faults
from recorder.guard import Guard
from recorder.host_boots import BootEvent
from recorder.host_clock import monotonic_us
from recorder.host_watch import HostWatch
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.ledger import SETTLED_AFTER_US, Ledger
from recorder.logging import get_logger
from recorder.manifest import GapCause, SyncStatement
from recorder.open_segment import MediaError
from recorder.recording import Recording, RecordingTerms
from recorder.recovery import Recovered, recover
from recorder.rooms import RoomConfiguration
from recorder.session import Session
from recorder.skews import LEARNT_AFTER_US, Skews
from recorder.source_hardware import SharedMicrophone, SourceHardware
from recorder.source_report import SourceReport
from recorder.source_sound import SourceSound
from recorder.source_status import SourceStatus
from recorder.spool import Spool
from recorder.window import SourceWindow

_LOOK_AROUND_US = 1_000_000
_UNUSABLE_PAUSE_S = 30.0


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
        self._faults = Faults(hardware, self._ledger, host, spool)
        self._guard = Guard(self._failed, self._log)
        self._inbox = Inbox()
        self._link = CameraLink(hardware.address, self._inbox, self.source) if hardware.address else None
        self._window = SourceWindow()
        self._session: Session | None = None
        self._recording = self._new_recording(segment_us)
        self._sound = SourceSound(
            hardware, microphone, skews, self._take_sound, self._recording.sound_lost, self._guard
        )
        self._flushed_minute = 0
        self._version = configuration().version
        self._stopping = threading.Event()
        self._stop_cause = GapCause.MAINTENANCE
        self._report = SourceReport(hardware, health, started_us)

    def _new_recording(self, segment_us: int) -> Recording:
        terms = RecordingTerms(
            configuration_version=lambda: self._version,
            av_offset_us=lambda: self._offset_us,
            segment_us=segment_us,
            window=lambda: self._window.recordable,
            clock_trust=self._trust,
            wall_offset_us=self._host.wall_offset_us,
            may_record=lambda: self._faults.forbids(now_us()),
        )
        hardware = self.hardware
        alone = hardware.microphone is not None
        return Recording(
            self._ledger, terms, self.source, alone=alone, has_camera=hardware.address is not None
        )

    @property
    def _offset_us(self) -> int:
        return self._configuration().room.av_offset_ms * 1000

    @property
    def status(self) -> SourceStatus:
        return self._report.status

    def hear(self, event: MicrophoneEvent) -> None:
        """From the microphone's thread; never waits."""
        self._sound.put(event)
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
            self._sound.listen()
            self._guard(self._recording.flush)
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
            self._guard(lambda: self._flush(at_us - SETTLED_AFTER_US))
        self._tell_status(at_us)

    def _take_one(self, timeout_s: float) -> bool:
        """Works on the next thing in the inbox; False when nothing came in time."""
        item = self._inbox.take(timeout_s)
        if item is None:
            return False
        if isinstance(item, tuple):
            event, at_us = item
            handled = self._guard(lambda: self._handle(event, at_us))
            if not handled and isinstance(event, Opened) and self._session is None and self._link:
                # Nobody would take what this connection sends.
                self._link.reopen(pause_s=_UNUSABLE_PAUSE_S)
        elif self._session:
            self._record(self._session, item)
        return True

    def _record(self, session: Session, burst: Burst) -> None:
        """A packet that fails takes nothing of the burst with it."""
        packets = iter(burst)
        while not self._guard(lambda: _feed(session, packets)):
            pass

    # --- windows

    def _keep_window(self, at_us: int) -> None:
        configuration = self._configuration()
        self._guard(lambda: self._ledger.learn(at_us))
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
            self._guard(lambda: self._flush(at_us))
        if window.recordable:
            for run in self._recording.runs:
                run.narrow(window.recordable, configuration.version)
        if configuration.version != self._version:
            self._recording.roll()
            self._sound.set_offset(self._offset_us)
            if self._session:
                self._session.offset_us = self._offset_us
            # A crash would forget the configuration before.
            self._guard(lambda: self._flush(at_us - SETTLED_AFTER_US))
        self._version = configuration.version

    def _open_window(self, at_us: int) -> None:
        for since_us, cause in self._window.reasons_at_opening(at_us):
            self._ledger.note(since_us, cause)
        if self.hardware.microphone:
            self._recording.sound_opens(monotonic_us())
        self._sound.open(self._offset_us)
        if self._link:
            self._link.want(wanted=True)

    def _close_window(self) -> None:
        if self._link:
            self._link.want(wanted=False)
        self._sound.close()
        if self._recording.has_picture:
            self._faults.footage_came()
        # Before the session, so that the last sound stays with the last picture.
        self._guard(self._recording.end)
        self._end_session()

    def _take_sound(self, samples: Pcm, ticks: int, microphone: str) -> None:
        self._report.hear(samples, recorded=self._recording.run is not None)
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
                self._faults.missing(item.cause, item.detail)

    def _begin_session(self, opened: Opened, at_us: int) -> None:
        self._end_session()
        room_sound = self._sound.room
        if room_sound is None:
            return
        try:
            self._session = Session(
                opened,
                at_us,
                self._recording,
                room_sound,
                self.source,
                has_microphone=self.hardware.microphone is not None,
                skew=self._skews.of(f"camera {self.hardware.address}"),
                offset_us=self._offset_us,
                health=self._health,
            )
        except MediaError as error:
            self._log.error("camera unusable", reason=str(error))
            self._faults.missing(GapCause.UNKNOWN, str(error))
            if self._link:
                self._link.reopen(pause_s=_UNUSABLE_PAUSE_S)
            return
        self._recording.sync = self._sync
        self._report.connected()
        self._faults.missing(GapCause.OPENING)

    def _sync(self) -> SyncStatement | None:
        session, room_sound = self._session, self._sound.room
        if session is None or room_sound is None:
            return None
        return room_sound.sync(session.clock, reported=session.reported)

    def _trust(self) -> tuple[int, bool]:
        trust = self._host.trust
        return trust.uncertainty_us, trust.estimated

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
        room_sound = self._sound.room
        if room_sound:
            recording.look(monotonic_us())
        if run and not run.has_picture and room_sound and not room_sound.is_heard:
            self._guard(recording.end)
            if self.hardware.address is None:
                self._faults.missing(GapCause.MICROPHONE_LOST, "no sound comes")
        forbidden = self._faults.forbids(at_us)
        if forbidden and recording.run:
            recording.roll()
        if forbidden and not recording.run and self._window.is_wanted:
            self._faults.missing(forbidden)
        elif not recording.run and self._faults.is_of_the_disk:
            self._faults.missing(GapCause.OPENING)

    def _is_lost(self, session: Session) -> bool:
        """Whether the camera's connection had to be given up."""
        # What waits in the inbox is not missing: this thread was late, not the camera.
        if session.picture_waits(monotonic_us()) and self._inbox.is_empty:
            self._give_up(GapCause.CAMERA_STALLED, "no picture for a second")
            return True
        if session.sound_waits(monotonic_us()):
            self._give_up(GapCause.OPENING, "the camera's sound lost its clock")
            return True
        return False

    def _give_up(self, cause: GapCause, detail: str) -> None:
        self._guard(self._end_session)
        self._faults.missing(cause, detail)
        if self._link:
            self._link.reopen()

    def _interrupt(self, cause: GapCause, detail: str) -> None:
        """The run ends here; another begins at the next keyframe of the same connection."""
        if self._recording.runs:
            self._faults.footage_came()
        if self._recording.runs or self._session:
            self._guard(self._recording.interrupt)
            self._faults.missing(cause, detail)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if monotonic_us() - session.opened_us > LEARNT_AFTER_US:
            self._skews.learn(f"camera {self.hardware.address}", session.clock.skew, monotonic_us())
        if self._recording.has_picture:
            self._faults.footage_came()
        try:
            if self._sound.room:
                self._sound.room.camera_closed()
            self._recording.picture_ended()
        except ProtokolError as error:
            self._failed(error)

    def _failed(self, error: ProtokolError) -> None:
        lost_us = self._recording.fail(error)
        if self._faults.failed(error, lost_us):
            self._log.error("run lost", reason=str(error))

    def _flush(self, until_us: int) -> None:
        self._ledger.flush(self._recording.committed_until(until_us))

    def _tell_status(self, at_us: int) -> None:
        recording = self._recording
        records = recording.has_picture or (recording.run is not None and self.hardware.address is None)
        if records:
            self._faults.footage_came()
        self._report.tell(
            at_us,
            "recording" if records else "fault" if self._window.contains(at_us) else "closed",
            self._faults.present,
            recording=recording,
            session=self._session,
            sound=self._sound.room,
            sync=self._sync(),
        )

    def _shut_down(self) -> None:
        if self._link:
            self._link.stop()
        while self._take_one(0):
            pass
        self._close_window()
        self._faults.missing(self._stop_cause)
        self._guard(lambda: self._ledger.stop(now_us()))
        self._log.info("source stopped")

    def _report_recovery(self, recovered: Recovered, damaged: list[str]) -> None:
        if recovered.crashed_us is not None:
            self._log.warning("recovered after a crash", segments=len(recovered.parts))
        for name in damaged:
            self._log.error("entry is damaged on disk and cannot be shipped", name=name)


def _feed(session: Session, packets: Iterator[tuple[Any, int]]) -> None:
    take = session.take
    for packet, arrival_us in packets:
        take(packet, arrival_us)
