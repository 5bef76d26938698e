"""The account of one source: every finished segment and every gap, in order, on its chain.

Whoever commits a segment commits the gaps before it first, so invariant 5 (every instant of every
window is covered) holds by construction. One thread per ledger.
"""

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import uuid6

from recorder.chain import Chain, Link
from recorder.coverage import SOUND_JOINT_US, Coverage, Gap
from recorder.fragments import FileContent
from recorder.host_boots import BootEvent, explain
from recorder.in_force import InForce
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_date, local_midnight_us
from recorder.intervals import Interval
from recorder.logging import get_logger
from recorder.manifest import GapCause, GapManifest, SegmentManifest, Track
from recorder.partfile import DiskError, PartFile, SegmentHead
from recorder.recovery import Recovered, RecoveredPart, segment_manifest
from recorder.rooms import RoomConfiguration
from recorder.spool import Spool

# A change of the calendar comes with the next heartbeat; later, the server could not be heard.
_HEARD_SOON_US = US_PER_MINUTE
_UNHEARD = "the agent had not heard of the new calendar"
# A picture's duration and the clock's slewing are less.
_AHEAD_US = US_PER_SECOND
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
    """A segment whose media is complete. It has a picture from its start to `picture_end_us`, or none at
    all; `sound` are the intervals in which it has sound. All UTC.
    """

    part: PartFile
    content: FileContent
    end_us: int
    picture_end_us: int | None
    sound: list[Interval]


def by_room_day(gap: Gap, zone: str) -> list[Gap]:
    """A gap over midnights, as one gap for each local date: a record belongs to one room-day."""
    parts = []
    start_us, end_us = gap.interval.start_us, gap.interval.end_us
    while start_us < end_us:
        following = local_date(start_us, zone) + timedelta(days=1)
        stop_us = min(end_us, local_midnight_us(following, zone))
        parts.append(replace(gap, interval=Interval(start_us, stop_us)))
        start_us = stop_us
    return parts


class Ledger:
    """Raises DiskError from what commits. What could not be written is kept and tried again."""

    def __init__(
        self,
        spool: Spool,
        chain: Chain,
        configuration: Callable[[], RoomConfiguration],
        now_us: int,
        tracks: Iterable[Track] = tuple(Track),
        *,
        superseded_us: Callable[[], int] | None = None,
    ) -> None:
        """`tracks` are what the source should have: sound alone where the room has no camera.

        `superseded_us`: the last instant at which the configuration before the present one was known
        to be in force; without it, the instant at which the present one is learnt.
        """
        self._spool = spool
        self._chain = chain
        self._configuration = configuration
        self._superseded_us = superseded_us
        self._in_force = InForce(configuration())
        self.version = agent_version()
        self._unwritten: list[Gap] = []
        self._unsealed: dict[Track, int] = {}
        self._log = get_logger(source=chain.source)
        known = chain.covered
        self._tracks = tuple(tracks)
        self._coverage = Coverage({track: known.get(track, now_us) for track in self._tracks})

    def begin(
        self,
        recovered: Recovered,
        boot_id: str,
        now_us: int,
        *,
        restarted: bool,
        boots: Sequence[BootEvent] = (),
    ) -> None:
        """Accounts for the time since the source was last recorded. Durable on return.

        `restarted`: by this very agent, because its configuration changed. `boots`: the host's records.
        """
        chain = self._chain
        if restarted:
            self._begin_at_change(now_us)
        self._begin_chain(boot_id)
        since_us = min(self._coverage.covered_until.values())
        if restarted:
            self._coverage.note(since_us, GapCause.RESTART)
        elif chain.stopped_us is not None:
            self._coverage.note(since_us, GapCause.MAINTENANCE, "the agent was stopped")
        else:
            since: dict[Track, int] = dict.fromkeys(self._tracks, since_us)
            if recovered.crashed_us is not None:
                covered = self._commit_recovered(recovered.parts)
                since = {track: max(recovered.crashed_us, at + 1) for track, at in covered.items()}
            same_boot = chain.last_boot_id in ("", boot_id)
            for track, track_us in since.items():
                for at_us, cause, detail in explain(track_us, now_us, boots, same_boot=same_boot):
                    self._coverage.note(at_us, cause, detail, [track])
        self._coverage.note(now_us, GapCause.OPENING)
        self._settle(dict.fromkeys(self._tracks, now_us))

    def _begin_at_change(self, now_us: int) -> None:
        """A source or a track that a change has brought in, or back, is accounted for from the change on."""
        since_us = now_us if self._superseded_us is None else min(self._superseded_us(), now_us)
        known = self._chain.covered
        self._coverage.go_back({track: since_us for track in self._tracks if track not in known})
        for track in self._tracks:
            self._coverage.cover(track, since_us)

    def _begin_chain(self, boot_id: str) -> None:
        try:
            self._chain.begin(boot_id, self._coverage.covered_until)
        except DiskError as error:
            if error.errno != errno.ENOSPC:
                raise
            # Else an agent on a full disk could never start, and never ship what fills it.
            self.disk_failed(error)
            self._chain.save()

    def _commit_recovered(self, parts: Iterable[RecoveredPart]) -> dict[Track, int]:
        """Until when each track is covered then."""
        self._coverage.note(min(self._coverage.covered_until.values()), GapCause.OPENING)
        for part in parts:
            # Inside a run only sound can be missing.
            self._coverage.note(part.part.head.start_us, GapCause.MICROPHONE_LOST, "", [Track.AUDIO])
            finished = Finished(part.part, part.content, part.end_us, part.picture_end_us, part.sound)
            self.commit(finished, recovered=True)
        covered = self._coverage.covered_until
        for track, until_us in covered.items():
            self._coverage.note(until_us, GapCause.LOST_IN_CRASH, tracks=[track])
        return covered

    def learn(self, now_us: int) -> None:
        """A new configuration is taken notice of. What it adds to windows that have passed since the
        server published it is declared: nobody here knew. Durable on return.
        """
        configuration = self._configuration()
        if configuration.version == self._in_force.newest.version:
            return
        superseded_us = now_us if self._superseded_us is None else min(self._superseded_us(), now_us)
        self._in_force.learn(configuration, superseded_us, now_us)
        late = now_us - superseded_us > _HEARD_SOON_US
        cause = GapCause.AGENT_DOWN if late else GapCause.OPENING
        missed: dict[Interval, list[Track]] = {}
        for track, until_us in self._coverage.covered_until.items():
            if superseded_us < until_us:
                for piece, version in self._in_force.windows(Interval(superseded_us, until_us)):
                    if version == configuration.version and piece.start_us < now_us:
                        missed.setdefault(piece, []).append(track)
        for piece, tracks in sorted(missed.items()):
            gap = Gap(piece, tuple(tracks), cause, _UNHEARD, configuration.version)
            self._unwritten += by_room_day(gap, configuration.timezone)
        self._settle({})

    def clock_went_back(self, now_us: int) -> None:
        """The host's clock can be trusted now and says that what was accounted for lies ahead: it was
        wrong before, and the time to come needs an account of its own.
        """
        if max(self._coverage.covered_until.values()) > now_us + _AHEAD_US:
            self._coverage.go_back(dict.fromkeys(self._tracks, now_us))
            self._coverage.note(now_us, GapCause.CLOCK_STEP, "the host's clock was ahead")

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
        before = self._coverage.covered_until
        if finished.picture_end_us is None:
            self._settle({Track.AUDIO: start_us})
        else:
            self._settle(dict.fromkeys(self._tracks, start_us))
            before = self._coverage.covered_until

        def state(link: Link) -> SegmentManifest:
            return segment_manifest(part, content, link, end_us, recovered=recovered)

        try:
            # Until the segment is sealed its end may still be lost: `covered` must not be past it.
            self._unsealed = before
            for piece in finished.sound:
                self._settle({Track.AUDIO: piece.start_us})
                self._coverage.cover(Track.AUDIO, piece.end_us)
            self._unsealed = {}
            if finished.picture_end_us is not None:
                self._coverage.cover(Track.VIDEO, finished.picture_end_us)
            if finished.sound and end_us - finished.sound[-1].end_us < SOUND_JOINT_US:
                self._coverage.cover(Track.AUDIO, end_us)
            self._retry_when_full(lambda: self._chain.commit_segment(part, state, self._durable_cover()))
        except DiskError:
            # What no disk has is missing. Holes in its sound that are told already will be told again.
            self._unsealed = {}
            self._coverage.go_back(before)
            raise

    def flush(self, until: Mapping[Track, int]) -> None:
        """What is missing up to `until`, per track, is declared now: the server should know."""
        self._settle({track: until[track] for track in self._tracks})

    def stop(self, now_us: int) -> None:
        """A clean stop. What is missing up to now is declared; what is missing later is maintenance."""
        self._settle(dict.fromkeys(self._tracks, now_us))
        self._retry_when_full(lambda: self._chain.mark_stopped(now_us, self._durable_cover()))

    def _settle(self, until: Mapping[Track, int]) -> None:
        covered = self._coverage.covered_until
        since = min((covered[track] for track in until), default=0)
        latest = max(until.values(), default=0)
        if latest > since:
            windows = self._in_force.windows(Interval(since, latest))
            zone = self._in_force.newest.timezone
            for gap in self._coverage.take_gaps(until, [window for window, _ in windows]):
                for window, version in windows:
                    if piece := gap.interval.intersection(window):
                        stamped = replace(gap, interval=piece, configuration_version=version)
                        self._unwritten += by_room_day(stamped, zone)
            self._in_force.forget_before(min(self._coverage.covered_until.values()))
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
                configuration_version=gap.configuration_version,
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
        for track, until_us in self._unsealed.items():
            until[track] = min(until[track], until_us)
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
