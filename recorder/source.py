"""The recorder of one source: when to connect, what each event means, what is declared missing.

A thread that sleeps until the camera's thread has read a burst of packets. It may wait for the disk;
the camera's thread never waits for it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass

from recorder.capture.camera import Burst, CameraAddress, CameraLink, Event, Inbox, Lost, Opened, Overloaded
from recorder.capture.health import HealthMonitor
from recorder.errors import ProtokolError
from recorder.host_clock import monotonic_us
from recorder.host_watch import MAX_UNCERTAINTY_US, HostWatch
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.ledger import SETTLED_AFTER_US, Ledger
from recorder.logging import get_logger
from recorder.manifest import GapCause, Track
from recorder.partfile import DiskError
from recorder.recovery import Recovered, recover
from recorder.rooms import RoomConfiguration
from recorder.run import MediaError
from recorder.session import Session, SessionTerms
from recorder.spool import Spool
from recorder.window import SourceWindow

_LOOK_AROUND_US = 1_000_000
_STALLED_US = US_PER_SECOND
# The first packet after opening may wait for the camera's next keyframe.
_FIRST_PACKET_US = 3 * US_PER_SECOND
_DISK_RETRY_US = 5 * US_PER_SECOND
_UNUSABLE_PAUSE_S = 30.0
_RATE_OVER_US = 5 * US_PER_SECOND
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """For the heartbeat. `state`: recording, closed or fault; `cause` of a fault."""

    state: str = "closed"
    cause: str | None = None
    detail: str = ""
    since_us: int = 0
    last_packet_us: int | None = None
    fps: float = 0.0
    audio_peak_dbfs: float | None = None


class SourceRecorder(threading.Thread):
    """Records one camera until `stop`, then commits what is open and is done."""

    def __init__(
        self,
        source: str,
        address: CameraAddress,
        *,
        spool: Spool,
        configuration: Callable[[], RoomConfiguration],
        host: HostWatch,
        segment_us: int,
        boot_id: str,
        restarted: bool = False,
        health: HealthMonitor | None = None,
    ) -> None:
        """Recovers what a crash left. `restarted`: in the place of a recorder that was stopped.

        Raises ConfigurationError, DiskError.
        """
        super().__init__(name=f"recorder-{source}", daemon=True)
        self.source = source
        self.status = SourceStatus(since_us=now_us())
        self.beat_us = monotonic_us()
        self._looked_us = 0
        self._spool = spool
        self._configuration = configuration
        self._host = host
        self._segment_us = segment_us
        self._health = health
        self._log = get_logger(source=source)
        chain = spool.chain(source)
        started_us = now_us()
        recovered = recover(chain, started_us)
        self._report_recovery(recovered, chain.damaged)
        self._ledger = Ledger(spool, chain, configuration, started_us)
        self._ledger.begin(recovered, boot_id, started_us, restarted=restarted)
        self._inbox = Inbox()
        self._link = CameraLink(address, self._inbox, source)
        self._window = SourceWindow()
        self._session: Session | None = None
        self._fault: tuple[GapCause, str] | None = None
        self._disk_retry_us = 0
        self._flushed_minute = 0
        self._version = configuration().version
        self._stopping = threading.Event()
        self._stop_cause = GapCause.MAINTENANCE
        self._rate_from = (monotonic_us(), 0)

    def stop(self, cause: GapCause = GapCause.MAINTENANCE) -> None:
        """`cause` accounts for what is missing from then on."""
        self._stop_cause = cause
        self._stopping.set()
        self._inbox.wake()

    def run(self) -> None:
        self._link.start()
        while not self._stopping.is_set():
            self.beat_us = monotonic_us()
            if self.beat_us - self._looked_us > _LOOK_AROUND_US:
                self._look_around(now_us())
            self._take_one(_LOOK_AROUND_US / US_PER_SECOND)
        self._shut_down()

    def _look_around(self, at_us: int) -> None:
        self._looked_us = self.beat_us
        self._keep_window(at_us)
        self._supervise(at_us)
        minute = (at_us - SETTLED_AFTER_US) // US_PER_MINUTE
        if minute != self._flushed_minute:
            self._flushed_minute = minute
            self._guarded(lambda: self._flush(at_us - SETTLED_AFTER_US))
        self.status = self._status(at_us)

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

    def _guarded(self, step: Callable[[], object]) -> None:
        """A failure of disk or media ends the run, never the recorder."""
        try:
            step()
        except ProtokolError as error:
            self._failed(error)

    # --- windows

    def _keep_window(self, at_us: int) -> None:
        configuration = self._configuration()
        window = self._window
        was_open = window.is_wanted
        window.update(configuration, at_us, self._host.trust.uncertainty_us)
        if window.is_wanted and not was_open:
            for since_us, cause in window.reasons_at_opening(at_us):
                self._ledger.note(since_us, cause)
            self._link.want(wanted=True)
        elif was_open and not window.is_wanted:
            self._link.want(wanted=False)
            self._end_session()
            if self._health:
                self._health.forget(self.source)
            self._ledger.note(window.last_end_us, GapCause.CLOCK_UNKNOWN, "margin of the clock's uncertainty")
        session = self._session
        if session and window.recordable:
            for run in session.runs:
                run.window = window.recordable
        if session and configuration.version != self._version:
            session.end_run_at_keyframe()
        self._version = configuration.version

    # --- events

    def _handle(self, item: Event, at_us: int) -> None:
        if isinstance(item, Opened):
            self._begin_session(item, at_us)
        elif isinstance(item, Overloaded):
            self._interrupt(GapCause.OVERLOAD, "the room host did not keep up")
        elif isinstance(item, Lost):
            self._end_session()
            if self._window.is_wanted:
                self._missing(item.cause, item.detail)

    def _begin_session(self, opened: Opened, at_us: int) -> None:
        self._end_session()
        room = self._configuration().room
        terms = SessionTerms(
            configuration_version=lambda: self._configuration().version,
            av_offset_us=room.av_offset_ms * 1000,
            segment_us=self._segment_us,
            window=lambda: self._window.recordable,
            trust=self._trust,
            wall_offset_us=self._host.wall_offset_us,
            may_record=lambda: self._forbidden(now_us()),
            health=self._health,
        )
        try:
            self._session = Session(opened, at_us, self._ledger, terms, self.source)
        except MediaError as error:
            self._log.error("camera unusable", reason=str(error))
            self._missing(GapCause.UNKNOWN, str(error))
            self._link.reopen(pause_s=_UNUSABLE_PAUSE_S)
            return
        self._rate_from = (monotonic_us(), 0)
        self._missing(GapCause.OPENING, "")

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
        session = self._session
        if session is None:
            return
        silent_us = monotonic_us() - session.last_video_us
        stalled = silent_us > (_STALLED_US if session.pictures else _FIRST_PACKET_US)
        # What waits in the inbox is not missing: this thread was late, not the camera.
        if stalled and self._inbox.is_empty:
            self._guarded(self._end_session)
            self._missing(GapCause.CAMERA_STALLED, "no picture for a second")
            self._link.reopen()
            return
        if session.sound_waits(monotonic_us()):
            self._guarded(self._end_session)
            self._missing(GapCause.OPENING, "the camera's sound lost its clock")
            self._link.reopen()
            return
        offset_us = session.wall_offset_us
        if offset_us is not None and self._host.stepped_since(offset_us):
            self._interrupt(GapCause.CLOCK_STEP, "the host's clock was set")
        forbidden = self._forbidden(at_us)
        if forbidden and session.run:
            session.end_run_at_keyframe()
        if forbidden and not session.run:
            self._missing(forbidden, "")
        elif not session.run and self._fault and self._fault[0] in (GapCause.SPOOL_FULL, GapCause.DISK_ERROR):
            self._missing(GapCause.OPENING, "")

    def _interrupt(self, cause: GapCause, detail: str) -> None:
        """The run ends here; another begins at the next keyframe of the same connection."""
        if self._session:
            self._forget_old_fault(self._session)
            self._guarded(self._session.end)
            self._missing(cause, detail)

    def _forget_old_fault(self, session: Session) -> None:
        """Footage has come since: what is missing next is missing from its end on."""
        if session.runs:
            self._fault = None

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session:
            self._forget_old_fault(session)
            try:
                session.end()
            except ProtokolError as error:
                self._session = session
                self._failed(error)
                self._session = None

    def _missing(self, cause: GapCause, detail: str) -> None:
        """From the end of what is recorded on, footage is missing for this cause."""
        if self._fault != (cause, detail):
            covered_us = self._ledger.covered_until[Track.VIDEO]
            fresh = self._fault is None
            self._ledger.note(covered_us if fresh else now_us(), cause, detail)
            self._fault = (cause, detail)

    def _failed(self, error: ProtokolError) -> None:
        lost_us = self._session.fail(error) if self._session else None
        if self._fault is None or self._fault[1] != str(error):
            self._log.error("run lost", reason=str(error))
        cause = GapCause.UNKNOWN
        if isinstance(error, DiskError):
            cause = GapCause.SPOOL_FULL if error.errno in _FULL else GapCause.DISK_ERROR
            self._ledger.disk_failed(error)
            if cause is GapCause.DISK_ERROR:
                self._disk_retry_us = now_us() + _DISK_RETRY_US
        covered_us = self._ledger.covered_until[Track.VIDEO]
        self._ledger.note(covered_us if lost_us is None else max(lost_us, covered_us), cause, str(error))
        self._fault = (cause, str(error))

    def _flush(self, until_us: int) -> None:
        runs = self._session.runs if self._session else []
        video_us = audio_us = until_us
        for run in runs:
            since_us = run.uncommitted_since_us
            video_us = video_us if since_us is None else min(video_us, since_us)
            sound_us = run.sound_since_us
            audio_us = audio_us if sound_us is None else min(audio_us, sound_us)
        self._ledger.flush({Track.VIDEO: video_us, Track.AUDIO: audio_us})

    def _status(self, at_us: int) -> SourceStatus:
        session, old = self._session, self.status
        run = session.run if session else None
        if run:
            self._fault = None
        state = "recording" if run else "fault" if self._window.contains(at_us) else "closed"
        cause, detail = (
            (self._fault[0].value, self._fault[1]) if self._fault and state == "fault" else (None, "")
        )
        fps, peak, last_us = old.fps, old.audio_peak_dbfs, old.last_packet_us
        if session is None:
            fps, peak = 0.0, None
        else:
            elapsed_us = monotonic_us() - session.last_video_us
            last_us = at_us - elapsed_us if session.pictures else last_us
            began_us, pictures = self._rate_from
            if monotonic_us() - began_us >= _RATE_OVER_US:
                fps = (session.pictures - pictures) * US_PER_SECOND / (monotonic_us() - began_us)
                self._rate_from = (monotonic_us(), session.pictures)
                peak = run.take_peak_dbfs() if run else None
        since_us = old.since_us if (old.state, old.cause) == (state, cause) else at_us
        return SourceStatus(state, cause, detail, since_us, last_us, round(fps, 1), peak)

    def _shut_down(self) -> None:
        self._link.stop()
        while self._take_one(0):
            pass
        self._end_session()
        self._missing(self._stop_cause, "")
        self._guarded(lambda: self._ledger.stop(now_us()))
        self._log.info("source stopped")

    def _report_recovery(self, recovered: Recovered, damaged: list[str]) -> None:
        if recovered.crashed_us is not None:
            self._log.warning("recovered after a crash", segments=len(recovered.parts))
        for name in damaged:
            self._log.error("entry is damaged on disk and cannot be shipped", name=name)
