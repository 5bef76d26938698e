"""The account of one source: every finished segment and every gap, in order, on its chain.

Whoever commits a segment commits the gaps before it first, so invariant 5 (every instant of every
window is covered) holds by construction. One thread per ledger.
"""

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import uuid6

from recorder.chain import Chain, Link
from recorder.coverage import SOUND_JOINT_US, Coverage, Gap
from recorder.fragments import FileContent
from recorder.instants import US_PER_SECOND, local_date, local_midnight_us
from recorder.intervals import Interval
from recorder.logging import get_logger
from recorder.manifest import GapCause, GapManifest, SegmentManifest, Track
from recorder.partfile import DiskError, PartFile, SegmentHead
from recorder.recovery import Recovered, segment_manifest
from recorder.rooms import RoomConfiguration
from recorder.spool import Spool
from recorder.working_hours import windows_between

# Footage of an instant may still be on its way this long after it; only then is it a gap.
SETTLED_AFTER_US = 5 * US_PER_SECOND


@functools.cache
def agent_version() -> str:
    try:
        return version("protokol")
    except PackageNotFoundError:
        return "unpacked"


def new_id() -> str:
    return str(uuid6.uuid7())


@dataclass(slots=True)
class Finished:
    """A segment whose media is complete. `sound` are the intervals in which it has sound (UTC)."""

    part: PartFile
    content: FileContent
    end_us: int
    sound: list[Interval]


def by_room_day(gap: Gap, zone: str) -> list[Gap]:
    """A gap over midnights, as one gap for each local date: a record belongs to one room-day."""
    parts = []
    start_us, end_us = gap.interval.start_us, gap.interval.end_us
    while start_us < end_us:
        following = local_date(start_us, zone) + timedelta(days=1)
        stop_us = min(end_us, local_midnight_us(following, zone))
        parts.append(Gap(Interval(start_us, stop_us), gap.tracks, gap.cause, gap.detail))
        start_us = stop_us
    return parts


class Ledger:
    """Raises DiskError from what commits. What could not be written is kept and tried again."""

    def __init__(
        self, spool: Spool, chain: Chain, configuration: Callable[[], RoomConfiguration], now_us: int
    ) -> None:
        self._spool = spool
        self._chain = chain
        self._configuration = configuration
        self.version = agent_version()
        self._unwritten: list[Gap] = []
        self._log = get_logger(source=chain.source)
        known = chain.covered
        self._coverage = Coverage({track: known.get(track, now_us) for track in Track})

    def begin(self, recovered: Recovered, boot_id: str, now_us: int, *, restarted: bool) -> None:
        """Accounts for the time since the source was last recorded. Durable on return.

        `restarted`: by this very agent, because its configuration changed.
        """
        chain = self._chain
        chain.begin(boot_id, self._coverage.covered_until)
        since_us = min(self._coverage.covered_until.values())
        down = GapCause.POWER_LOST if chain.last_boot_id not in ("", boot_id) else GapCause.AGENT_DOWN
        if restarted:
            self._coverage.note(since_us, GapCause.RESTART)
        elif chain.stopped_us is not None:
            self._coverage.note(since_us, GapCause.MAINTENANCE, "the agent was stopped")
        elif recovered.crashed_us is None:
            self._coverage.note(since_us, down)
        else:
            self._coverage.note(since_us, GapCause.OPENING)
            for part in recovered.parts:
                finished = Finished(part.part, part.content, part.end_us, part.sound)
                self.commit(finished, recovered=True)
            since_us = self._coverage.covered_until[Track.VIDEO]
            self._coverage.note(since_us, GapCause.LOST_IN_CRASH)
            self._coverage.note(max(recovered.crashed_us, since_us + 1), down)
        self._coverage.note(now_us, GapCause.OPENING)
        self._settle(dict.fromkeys(Track, now_us))

    @property
    def covered_until(self) -> dict[Track, int]:
        return self._coverage.covered_until

    def note(
        self, since_us: int, cause: GapCause, detail: str = "", tracks: Iterable[Track] | None = None
    ) -> None:
        self._coverage.note(since_us, cause, detail, tracks)

    def open_part(self, head: SegmentHead) -> PartFile:
        try:
            return PartFile.create(self._chain.directory, head)
        except DiskError as error:
            self.disk_failed(error)
            raise

    def commit(self, finished: Finished, *, recovered: bool = False) -> None:
        """The segment and every gap before it are durable on return and will be shipped."""
        part, content, end_us = finished.part, finished.content, finished.end_us
        start_us = part.head.start_us
        self._settle(dict.fromkeys(Track, start_us))
        before = self._coverage.covered_until
        self._coverage.cover(Track.VIDEO, end_us)
        for piece in finished.sound:
            self._settle({Track.AUDIO: piece.start_us})
            self._coverage.cover(Track.AUDIO, piece.end_us)
        if finished.sound and end_us - finished.sound[-1].end_us < SOUND_JOINT_US:
            self._coverage.cover(Track.AUDIO, end_us)

        def state(link: Link) -> SegmentManifest:
            return segment_manifest(part, content, link, end_us, recovered=recovered)

        try:
            self._retry_when_full(lambda: self._chain.commit_segment(part, state, self._durable_cover()))
        except DiskError:
            # What no disk has is missing.
            self._coverage.go_back(before)
            raise

    def flush(self, until: Mapping[Track, int]) -> None:
        """What is missing up to `until`, per track, is declared now: the server should know."""
        self._settle(until)

    def stop(self, now_us: int) -> None:
        """A clean stop. What is missing up to now is declared; what is missing later is maintenance."""
        self._settle(dict.fromkeys(Track, now_us))
        self._retry_when_full(lambda: self._chain.mark_stopped(now_us, self._durable_cover()))

    def _settle(self, until: Mapping[Track, int]) -> None:
        since = min(self._coverage.covered_until[track] for track in until)
        latest = max(until.values())
        if latest > since:
            windows = windows_between(self._configuration(), Interval(since, latest))
            for gap in self._coverage.take_gaps(until, windows):
                self._unwritten += by_room_day(gap, self._configuration().timezone)
        while self._unwritten:
            gap = self._unwritten[0]
            self._retry_when_full(lambda gap=gap: self._commit_gap(gap))  # type: ignore[misc]

    def _commit_gap(self, gap: Gap) -> None:
        def state(link: Link) -> GapManifest:
            return GapManifest(
                room=link.room,
                source=link.source,
                enrolment=link.enrolment,
                sequence=link.sequence,
                previous=link.previous,
                start_us=gap.interval.start_us,
                end_us=gap.interval.end_us,
                configuration_version=self._configuration().version,
                agent_version=self.version,
                segment_id=new_id(),
                tracks=[track.value for track in gap.tracks],
                cause=gap.cause.value,
                detail=gap.detail[:200],
            )

        remaining = self._unwritten[1:]
        self._chain.commit_gap(state, self._durable_cover(remaining))
        self._unwritten = remaining
        self._log.info("gap", cause=gap.cause.value, us=gap.interval.duration_us, detail=gap.detail)

    def _durable_cover(self, unwritten: list[Gap] | None = None) -> dict[Track, int]:
        """The cursors, held back to before the first gap that is not on disk."""
        until = self._coverage.covered_until
        for gap in self._unwritten if unwritten is None else unwritten:
            for track in gap.tracks:
                until[track] = min(until[track], gap.interval.start_us)
        return until

    def _retry_when_full(self, step: Callable[[], object]) -> None:
        """A full disk gives up its ballast, once; everything else is the caller's to know."""
        try:
            step()
        except DiskError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.disk_failed(error)
            step()
        if self._chain.unsaved:
            # The entry stands; only its publication waits, for this or for the next commit.
            self.disk_failed(self._chain.unsaved)
            with contextlib.suppress(DiskError):
                self._chain.save()

    def disk_failed(self, error: DiskError) -> None:
        if error.errno == errno.ENOSPC:
            self._spool.disk_is_full()
