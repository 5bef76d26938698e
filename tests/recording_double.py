"""A source without a camera: the recorder's own segmenter, ledger, chain and spool, fed with footage
that is nothing but boxes, with a disk that fails and a host that dies on command.

What a run does with packets is done here in a few lines; everything that is kept is the agent's own.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recorder.chain import Chain, Link, read_manifest
from recorder.fragments import FileContent
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.keyfile import AgentKey
from recorder.ledger import Finished, Ledger, new_id
from recorder.manifest import ClockStatement, GapCause, GapManifest, SegmentManifest, SignedManifest, Track
from recorder.partfile import DiskError, PartFile, SegmentHead
from recorder.recovery import recover
from recorder.rooms import RoomConfiguration
from recorder.segmenter import Action, Segmenter
from recorder.spool import Spool
from tests.agent_media import fragmented_mp4

_VIDEO, _AUDIO = 1, 2
_TICKS = {_VIDEO: 90_000, _AUDIO: 48_000}


class CrashError(BaseException):
    """The host died here."""


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


@functools.cache
def _init_section() -> bytes:
    whole = fragmented_mp4()
    return whole[: whole.index(b"moof") - 4]


def fragment(track: int, start_us: int, duration_us: int) -> bytes:
    """One sample of a track, on a time line that begins one second before zero."""
    rate = _TICKS[track]
    start, end = ((us + US_PER_SECOND) * rate // US_PER_SECOND for us in (start_us, start_us + duration_us))
    traf = _box(
        b"traf",
        _box(b"tfhd", struct.pack(">II", 0x020000, track)),
        _box(b"tfdt", struct.pack(">IQ", 0x01000000, start)),
        _box(b"trun", struct.pack(">III", 0x000100, 1, end - start)),
    )
    return _box(b"moof", traf) + _box(b"mdat", b"\0" * 8)


class FaultyChain(Chain):
    """`faults` are met in their order, each at the step it names."""

    faults: list[str]

    def _meets(self, *names: str) -> str:
        faults: list[str] = getattr(self, "faults", [])
        return faults.pop(0) if faults and faults[0] in names else ""

    def commit_segment(
        self, part: PartFile, state_of: Callable[[Link], SegmentManifest], covered: Mapping[Track, int]
    ) -> SignedManifest:
        if self._meets("seal fails"):
            raise DiskError("make a segment durable", OSError(errno.EIO, "faulty"))
        if self._meets("crash before seal"):
            raise CrashError("before seal")
        return super().commit_segment(part, state_of, covered)

    def adopt_sealed(self, *arguments: Any) -> None:
        if self._meets("crash after seal"):
            raise CrashError
        super().adopt_sealed(*arguments)

    def commit_gap(
        self, state_of: Callable[[Link], GapManifest], covered: Mapping[Track, int]
    ) -> SignedManifest:
        if self._meets("gap fails"):
            raise DiskError("write a gap record", OSError(errno.EIO, "faulty"))
        return super().commit_gap(state_of, covered)

    def save(self) -> None:
        if self._meets("save fails"):
            raise DiskError("write chain.json", OSError(errno.EIO, "faulty"))
        if self._meets("crash before save"):
            raise CrashError
        super().save()


class FaultySpool(Spool):
    def _open(self, source: str, enrolment: str) -> Chain:
        return FaultyChain(
            self.root / source / enrolment,
            room=self._key.room,
            source=source,
            enrolment=enrolment,
            key=self._key.signing_key(),
            published=self._publish,
        )


class _Segment:
    def __init__(self, part: PartFile, start_us: int) -> None:
        self.part, self.start_us, self.end_us = part, start_us, 0
        self.sound: list[list[int]] = []


class Recording:
    """One source, from start to the next crash or stop; `now_us` is moved by what happens."""

    def __init__(self, root: Path, key: AgentKey, configuration: RoomConfiguration, now_us: int) -> None:
        self.root, self.key, self.configuration, self.now_us = root, key, configuration, now_us
        self.boots, self.superseded_us, self.heard_us = 1, now_us, now_us
        self.published = [(now_us, configuration)]
        self.start()

    # --- life

    def start(self, *, rebooted: bool = False) -> None:
        self.boots += rebooted
        spool = FaultySpool(self.root, self.key, limit_bytes=10**9)
        chain = spool.chain("main")
        assert isinstance(chain, FaultyChain)
        self.spool, self.chain = spool, chain
        chain.faults = []
        self._current: _Segment | None = None
        self._previous: _Segment | None = None
        recovered = recover(chain, self.now_us)
        self.ledger = Ledger(
            spool,
            chain,
            lambda: self.configuration,
            self.now_us,
            superseded_us=lambda: self.superseded_us,
        )
        self.ledger.begin(recovered, f"boot-{self.boots}", self.now_us, restarted=False)

    def stop(self) -> None:
        self._guarded(self._end)
        self._guarded(lambda: self.ledger.stop(self.now_us))

    def crash(self, *, torn: bool = False) -> None:
        """What is open stays on disk as it is, or without its last fragment; the clock of the files is
        the script's.
        """
        for segment in (self._current, self._previous):
            if segment and segment.part.path.exists():
                if torn:
                    os.truncate(segment.part.path, segment.part.media_bytes - 1)
                os.utime(segment.part.path, ns=(self.now_us * 1000, self.now_us * 1000))
                segment.part._close()
        self._current = self._previous = None

    # --- what happens

    def record(self, window: Interval, seconds: int, sound: tuple[int, int], cut_us: int) -> None:
        """A run of one packet a second from now on; it has sound in that part of its seconds."""
        segmenter = Segmenter(window, has_sound=True, segment_us=cut_us)
        run = new_id()
        began_us = self.now_us
        self.ledger.note(began_us, GapCause.MICROPHONE_LOST, "", [Track.AUDIO])
        for second in range(seconds):
            utc_us = began_us + second * US_PER_SECOND
            self.now_us = utc_us + US_PER_SECOND
            self._carry_out(segmenter.video(utc_us, utc_us, keyframe=True), run, utc_us, _VIDEO, window)
            late_us = utc_us - US_PER_SECOND
            if sound[0] < second <= sound[1]:
                action = segmenter.audio(late_us, late_us, US_PER_SECOND)
                self._carry_out(action, run, late_us, _AUDIO, window)
        self._end(window)

    def miss(self, cause: GapCause, seconds: int) -> None:
        covered_us = self.ledger.covered_until[Track.VIDEO]
        self.ledger.note(covered_us, cause)
        self.now_us += seconds * US_PER_SECOND

    def flush(self) -> None:
        self._guarded(lambda: self.ledger.flush(dict.fromkeys(Track, self.now_us)))

    def failing(self, step: Callable[[], None]) -> None:
        """As the recorder does: an error gives up what is open, whole, and is noted as the cause."""
        self._guarded(step)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except DiskError as error:
            self._give_up(error)

    def _give_up(self, error: DiskError) -> None:
        lost = [segment for segment in (self._previous, self._current) if segment]
        self._previous = self._current = None
        for segment in lost:
            segment.part.abandon()
        covered_us = self.ledger.covered_until[Track.VIDEO]
        lost_us = min((segment.start_us for segment in lost), default=covered_us)
        self.ledger.note(max(lost_us, covered_us), GapCause.DISK_ERROR, str(error))

    def _carry_out(self, action: int, run: str, utc_us: int, track: int, window: Interval) -> None:
        if action & (Action.CLOSE | Action.OPEN) and self._current:
            self._close(utc_us if action & Action.OPEN else min(utc_us, window.end_us))
        if action & Action.OPEN:
            head = SegmentHead(
                segment_id=new_id(),
                run=run,
                start_us=utc_us,
                configuration_version=self.configuration.version,
                clock=ClockStatement(source="arrival", uncertainty_us=0, estimated=False),
                av_offset_us=0,
                microphone="camera",
                agent_version=self.ledger.version,
            )
            part = self.ledger.open_part(head)
            part.append(_init_section())
            self._current = _Segment(part, utc_us)
        if action & Action.FINISH:
            self._finish_previous()
        segment = self._previous if action & Action.KEEP_PREVIOUS else self._current
        if action & (Action.KEEP | Action.KEEP_PREVIOUS) and segment:
            segment.part.append(fragment(track, utc_us - segment.start_us, US_PER_SECOND))
            end_us = utc_us + US_PER_SECOND
            if track == _VIDEO:
                segment.end_us = end_us
            elif segment.sound and segment.sound[-1][1] == utc_us:
                segment.sound[-1][1] = end_us
            else:
                segment.sound.append([utc_us, end_us])

    def _close(self, end_us: int) -> None:
        self._finish_previous()
        segment, self._current = self._current, None
        if segment:
            segment.end_us = end_us
            self._previous = segment

    def _finish_previous(self) -> None:
        segment = self._previous
        if segment is None:
            return
        content = FileContent()
        content.feed(segment.part.path.read_bytes())
        bounds = Interval(segment.start_us, segment.end_us)
        sound = [p for s, e in segment.sound if (p := Interval(s, e).intersection(bounds))]
        self.ledger.commit(Finished(segment.part, content, segment.end_us, segment.end_us, sound))
        self._previous = None

    def _end(self, window: Interval | None = None) -> None:
        if self._current:
            end_us = self._current.end_us
            self._close(min(end_us, window.end_us) if window else end_us)
        self._finish_previous()

    # --- what came of it

    def manifests(self) -> list[SignedManifest]:
        return [read_manifest(entry.path) for entry in self.spool.entries()]
