"""What a source tells of itself: its status to the heartbeat, and to the room's health what it records."""

from __future__ import annotations

from recorder.capture.health import HealthMonitor
from recorder.capture.sound import ENCODED_RATE, Pcm
from recorder.health_rules import RecordingState
from recorder.host_clock import monotonic_us
from recorder.instants import US_PER_SECOND
from recorder.manifest import GapCause, SyncStatement
from recorder.recording import Recording
from recorder.room_sound import CAMERA_SOUND, RoomSound
from recorder.session import Session
from recorder.sound_levels import SoundLevels
from recorder.source_hardware import SourceHardware
from recorder.source_status import SourceStatus, StatusKeeper

# Sound comes within a second; a microphone's loss is noticed and made good within two.
_SOUND_MISSING_US = 4 * US_PER_SECOND


class SourceReport:
    """`status` may be read by any thread, the rest belongs to the recorder's."""

    def __init__(self, hardware: SourceHardware, health: HealthMonitor | None, since_us: int) -> None:
        self._hardware = hardware
        self._health = health
        self._levels = SoundLevels(ENCODED_RATE)
        self._keeper = StatusKeeper(since_us)

    @property
    def status(self) -> SourceStatus:
        return self._keeper.latest

    def connected(self) -> None:
        """A connection begins, which counts its pictures from 0."""
        self._keeper.restart_rate()

    def hear(self, samples: Pcm, *, recorded: bool) -> None:
        """Health is told only of what is recorded."""
        self._keeper.hear(samples)
        if self._health and recorded:
            for levels in self._levels.feed(samples):
                self._health.offer_sound(self._hardware.source, levels)

    def tell(
        self,
        at_us: int,
        state: str,
        fault: tuple[GapCause, str] | None,
        *,
        recording: Recording,
        session: Session | None,
        sound: RoomSound | None,
        sync: SyncStatement | None,
    ) -> None:
        """`state` and `fault` as SourceStatus has them; `session` and `sound` where there are any now."""
        address = self._hardware.address
        if state == "recording" and self._health and sound:
            self._tell_health(self._health, recording, sound)
        self._keeper.update(
            at_us,
            state,
            fault if state == "fault" else None,
            pictures=session.pictures if session else None,
            last_picture_us=session.last_video_us if session else None,
            microphone=sound.using if sound and recording.microphone != "none" else None,
            sync=sync,
            clock_error_ms=address.clock_error_ms if address else None,
        )

    def _tell_health(self, health: HealthMonitor, recording: Recording, sound: RoomSound) -> None:
        run = recording.run
        sounded_us = max(recording.last_sound_us, run.first_host_us if run else 0)
        missing = monotonic_us() - sounded_us > _SOUND_MISSING_US
        replaced = self._hardware.microphone is not None and sound.using == CAMERA_SOUND
        health.offer_recording(self._hardware.source, RecordingState(missing, replaced))
