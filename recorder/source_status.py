"""How a source is, for the heartbeat and the board."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recorder.capture.sound import Pcm
from recorder.host_clock import monotonic_us
from recorder.in_use import InUse
from recorder.instants import US_PER_SECOND
from recorder.manifest import GapCause, SyncStatement

_RATE_OVER_US = 5 * US_PER_SECOND
_SILENCE_DBFS = -120.0


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """`state`: recording, closed or fault; `cause` of a fault. `microphone`: whose sound is recorded,
    `camera` or a name; None for none. `sync`: how far sound is from picture.
    `clock_error_ms`: the camera's clock minus the host's, where it can be asked. `in_use`: the room is heard
    to be in use.
    """

    state: str = "closed"
    cause: str | None = None
    detail: str = ""
    since_us: int = 0
    last_packet_us: int | None = None
    fps: float = 0.0
    audio_peak_dbfs: float | None = None
    microphone: str | None = None
    sync: SyncStatement | None = None
    clock_error_ms: float | None = None
    in_use: bool = False


class StatusKeeper:
    """`latest` may be read by any thread, the rest belongs to the recorder's."""

    def __init__(self, since_us: int) -> None:
        self.latest = SourceStatus(since_us=since_us)
        self._rate_from = (monotonic_us(), 0)
        self._peak: float | None = None
        self._in_use = InUse()

    def hear(self, samples: Pcm) -> None:
        loudest = float(max(samples.max(), -samples.min())) if len(samples) else 0.0
        self._peak = max(self._peak or 0.0, loudest)

    def restart_rate(self) -> None:
        """A new connection counts its pictures from 0."""
        self._rate_from = (monotonic_us(), 0)

    def update(
        self,
        at_us: int,
        state: str,
        fault: tuple[GapCause, str] | None,
        *,
        pictures: int | None,
        last_picture_us: int | None,
        microphone: str | None,
        sync: SyncStatement | None,
        clock_error_ms: float | None,
    ) -> None:
        """`pictures` of the connection and the arrival (monotonic) of the last one; None without one."""
        old, now_us = self.latest, monotonic_us()
        cause, detail = (fault[0].value, fault[1]) if fault else (None, "")
        fps, peak, last_us = old.fps, old.audio_peak_dbfs, old.last_packet_us
        if pictures is None:
            fps = 0.0
        elif last_picture_us is not None and pictures:
            last_us = at_us - (now_us - last_picture_us)
        began_us, counted = self._rate_from
        if now_us - began_us >= _RATE_OVER_US:
            fps = ((pictures or 0) - counted) * US_PER_SECOND / (now_us - began_us)
            self._rate_from = (now_us, pictures or 0)
            peak, self._peak = _dbfs(self._peak), None
            self._in_use.hear(peak, at_us)
        since_us = old.since_us if (old.state, old.cause) == (state, cause) else at_us
        self.latest = SourceStatus(
            state=state,
            cause=cause,
            detail=detail,
            since_us=since_us,
            last_packet_us=last_us,
            fps=round(max(fps, 0.0), 1),
            audio_peak_dbfs=peak,
            microphone=microphone,
            sync=sync,
            clock_error_ms=clock_error_ms,
            in_use=self._in_use.is_in_use(at_us),
        )


def _dbfs(peak: float | None) -> float | None:
    """Decibels of full scale; None where nothing was heard."""
    if peak is None:
        return None
    return round(20 * math.log10(peak), 1) if peak > 1e-6 else _SILENCE_DBFS
