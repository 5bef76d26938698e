"""What keeps a source from recording, and from when on the ledger has that as the cause."""

from __future__ import annotations

import errno

from recorder.errors import ProtokolError
from recorder.host_watch import MAX_UNCERTAINTY_US, HostWatch
from recorder.instants import US_PER_SECOND, now_us
from recorder.ledger import Ledger
from recorder.manifest import GapCause
from recorder.partfile import DiskError
from recorder.source_hardware import SourceHardware
from recorder.spool import Spool

_DISK_RETRY_US = 5 * US_PER_SECOND
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_THE_DISK = (GapCause.SPOOL_FULL, GapCause.DISK_ERROR)
# Causes that take the picture alone where a microphone hears the room.
_OF_THE_PICTURE = (GapCause.CAMERA_UNREACHABLE, GapCause.CAMERA_STALLED, GapCause.OPENING, GapCause.UNKNOWN)


class Faults:
    """`present`: why footage is missing now, as (cause, detail); None since some has come."""

    def __init__(self, hardware: SourceHardware, ledger: Ledger, host: HostWatch, spool: Spool) -> None:
        self.present: tuple[GapCause, str] | None = None
        self._lead = hardware.tracks[0]
        self._has_microphone = hardware.microphone is not None
        self._ledger = ledger
        self._host = host
        self._spool = spool
        self._disk_retry_us = 0

    @property
    def is_of_the_disk(self) -> bool:
        return self.present is not None and self.present[0] in _OF_THE_DISK

    def forbids(self, at_us: int) -> GapCause | None:
        """Why no run may begin at this instant (UTC)."""
        if self._host.trust.uncertainty_us > MAX_UNCERTAINTY_US:
            return GapCause.CLOCK_UNKNOWN
        if at_us < self._disk_retry_us:
            return GapCause.DISK_ERROR
        if not self._spool.accepts_footage():
            return GapCause.SPOOL_FULL
        return None

    def footage_came(self) -> None:
        """What is missing next is missing from its end on."""
        self.present = None

    def missing(self, cause: GapCause, detail: str = "") -> None:
        """From the end of what is recorded on, footage is missing for this cause."""
        if self.present != (cause, detail):
            covered_us = self._ledger.covered_until[self._lead]
            fresh = self.present is None
            alone = self._has_microphone and cause in _OF_THE_PICTURE
            tracks = [self._lead] if alone else None
            self._ledger.note(covered_us if fresh else now_us(), cause, detail, tracks)
            self.present = (cause, detail)

    def failed(self, error: ProtokolError, lost_us: int | None) -> bool:
        """A run was given up; what was open in it is lost from `lost_us` on (UTC). Whether that is news."""
        news = self.present is None or self.present[1] != str(error)
        cause = GapCause.UNKNOWN
        if isinstance(error, DiskError):
            cause = GapCause.SPOOL_FULL if error.errno in _FULL else GapCause.DISK_ERROR
            self._ledger.disk_failed(error)
            if cause is GapCause.DISK_ERROR:
                self._disk_retry_us = now_us() + _DISK_RETRY_US
        for track, covered_us in self._ledger.covered_until.items():
            since_us = covered_us if lost_us is None else max(lost_us, covered_us)
            self._ledger.note(since_us, cause, str(error), [track])
        self.present = (cause, str(error))
        return news
