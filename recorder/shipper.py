"""Takes what is finished from the spool to the archive and forgets it only after a terminal answer.
Everything else is tried again, for ever.

What has just been recorded goes first, so that a room is up to date as soon as its server is back;
between, what has waited longer goes out, the oldest first. Each of the two is in the chain's order; in
the archive the chain has an open link until they meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from recorder.chain import Entry, read_manifest
from recorder.durable import remove_file
from recorder.host_clock import monotonic_us
from recorder.instants import US_PER_MINUTE, local_date, now_us
from recorder.intervals import Interval
from recorder.logging import get_logger
from recorder.manifest import MAX_SEGMENT_US, ManifestError, SegmentManifest, SignedManifest
from recorder.partfile import digest_of
from recorder.rooms import RoomConfiguration
from recorder.spool import Spool
from recorder.uplink import Answer, Uplink, UplinkError
from recorder.working_hours import due_us

TERMINAL_OUTCOMES = frozenset({"accepted", "quarantined", "expired"})
_BACKOFF_S = (0.5, 30.0)
# A key that the server refuses will not become right by asking often.
_REFUSED_PAUSE_S = 60.0
_EXPIRY_EVERY_S = 60.0
# The server may ask for patience, not for silence.
_MAX_PAUSE_S = 300.0
# What ended this short a time ago is live: the longest segment and another minute to ship it.
_LIVE_US = MAX_SEGMENT_US + US_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Retry:
    """Not terminal. `after_s` replaces the growing pause; `damaged`: tell the server so."""

    reason: str
    after_s: float | None = None
    damaged: bool | None = None


def judge(answer: Answer) -> str | Retry:
    """The terminal outcome that an answer bears, or why it must be tried again. Pure."""
    outcome = answer.document.get("outcome")
    if answer.status in (200, 201) and outcome in TERMINAL_OUTCOMES:
        return str(outcome)
    if answer.status in (401, 403):
        reason = f"the server refuses this agent's token ({answer.problem}); enroll the room again"
        return Retry(reason, after_s=_REFUSED_PAUSE_S)
    if answer.status == 422 and str(answer.document.get("type", "")).endswith("digest_mismatch"):
        return Retry("the bytes did not arrive as they were signed", damaged=True)
    after_s = answer.retry_after_s if answer.status in (429, 503) else None
    return Retry(answer.problem, after_s=after_s and min(after_s, _MAX_PAUSE_S))


def is_due(footage: Interval, held: Iterable[Interval], configuration: RoomConfiguration, at_us: int) -> bool:
    """Whether retention destroys it on the room host: past its midnight, and nobody holds it. Pure."""
    zone = configuration.timezone
    if at_us < due_us(local_date(footage.start_us, zone), configuration.retention_months, zone):
        return False
    return not any(interval.overlaps(footage) for interval in held)


class Shipper(threading.Thread):
    """One for a room; a chain that waits does not stop the others. Live footage of any source waits for
    one upload of what is older at most.
    """

    def __init__(
        self,
        spool: Spool,
        uplink: Uplink,
        room: str,
        *,
        configuration: Callable[[], RoomConfiguration],
        held: Callable[[], Iterable[Interval]],
    ) -> None:
        super().__init__(name="shipper", daemon=True)
        self.beat_us = monotonic_us()
        self._spool = spool
        self._uplink = uplink
        self._room = room
        self._configuration = configuration
        self._held = held
        self._log = get_logger()
        self._stopping = threading.Event()
        self._pause_s: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._damaged: set[Entry] = set()
        self._expired_at = 0.0
        self._turn = 0

    def stop(self) -> None:
        """What is under way is finished; the rest stays in the spool."""
        self._stopping.set()
        self._spool.arrived.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.beat_us = monotonic_us()
            self._spool.arrived.clear()
            self._expire()
            if not self._ship_round():
                self._spool.arrived.wait(self._idle_s())
        self._uplink.close()

    def drain(self, deadline_s: float) -> None:
        """Called after `stop` and `join`: ships what the stop itself has made, while there is time."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until and self._ship_round():
            pass
        self._uplink.close()

    def _ship_round(self) -> bool:
        """A live entry of each chain that need not wait, or else an older one of a single chain, in turn;
        whether anything was shipped.
        """
        shipped, live_since_us = False, now_us() - _LIVE_US
        ready = [
            each for each in self._spool.sources() if self._not_before.get(each, 0.0) <= time.monotonic()
        ]
        for source in ready:
            entry = self._spool.oldest_live(source, live_since_us)
            shipped |= entry is not None and self._ship(source, entry)
        while ready and not shipped:
            source = ready.pop(self._turn % len(ready))
            self._turn += 1
            entry = self._spool.oldest(source)
            shipped = entry is not None and self._ship(source, entry)
        return shipped

    def _idle_s(self) -> float:
        waits = [self._not_before.get(source, 0.0) - time.monotonic() for source in self._spool.sources()]
        return max(0.05, min([*waits, 5.0]))

    def _ship(self, source: str, entry: Entry) -> bool:
        try:
            signed = read_manifest(entry.path, entry.manifest_at)
        except ManifestError as error:
            self._log.error("entry cannot be shipped, set aside", source=source, reason=str(error))
            self._spool.set_aside(entry)
            return True
        try:
            verdict = judge(self._send(entry, signed))
            if isinstance(verdict, Retry):
                self._put_off(source, entry, signed, verdict)
                return False
            self._spool.remove(entry)
        except UplinkError as error:
            self._wait(source, Retry(str(error)))
            return False
        except OSError as error:
            self._wait(source, Retry(f"{entry.path.name}: {error.strerror}"))
            return False
        self._damaged.discard(entry)
        self._pause_s.pop(source, None)
        if self._told.pop(source, None):
            self._log.info("shipping again", source=source)
        log = self._log.info if verdict == "accepted" else self._log.warning
        log("shipped", source=source, sequence=entry.sequence, outcome=verdict, bytes=entry.size)
        return True

    def _send(self, entry: Entry, signed: SignedManifest) -> Answer:
        headers = {"Protokol-Manifest": signed.header}
        if entry in self._damaged:
            headers["Protokol-Damaged"] = "true"
        path = f"/ingest/v1/rooms/{self._room}/segments/{signed.manifest.segment_id}"
        return self._uplink.put_file(path, headers, entry.path if entry.is_segment else None)

    def _put_off(self, source: str, entry: Entry, signed: SignedManifest, retry: Retry) -> None:
        manifest = signed.manifest
        if retry.damaged and isinstance(manifest, SegmentManifest):
            digest = digest_of(entry.path, manifest.media_bytes).hexdigest()
            if digest != manifest.media_sha256:
                self._log.error("a segment is damaged on this host's disk", sequence=entry.sequence)
                self._damaged.add(entry)
        self._wait(source, retry)

    def _wait(self, source: str, retry: Retry) -> None:
        pause_s = min(max(self._pause_s.get(source, 0.0) * 2, _BACKOFF_S[0]), _BACKOFF_S[1])
        self._pause_s[source] = pause_s
        self._not_before[source] = time.monotonic() + (retry.after_s or pause_s)
        if self._told.get(source) != retry.reason:
            self._told[source] = retry.reason
            self._log.warning("shipping waits", source=source, reason=retry.reason)

    def _expire(self) -> None:
        """What is past its midnight is destroyed here too, even when the server is away."""
        if time.monotonic() - self._expired_at < _EXPIRY_EVERY_S:
            return
        self._expired_at = time.monotonic()
        configuration, held, at_us = self._configuration(), list(self._held()), now_us()
        try:
            for entry in self._spool.entries():
                footage = Interval(entry.start_us, entry.end_us)
                # A gap record holds no footage.
                if entry.is_segment and is_due(footage, held, configuration, at_us):
                    self._spool.remove(entry)
                    self._log.warning("due: destroyed unshipped", name=str(entry.path.name))
            for path, written_us in self._spool.damaged():
                footage = Interval(written_us - MAX_SEGMENT_US, written_us)
                if is_due(footage, held, configuration, at_us):
                    remove_file(path)
                    self._log.warning("due: destroyed damaged", name=path.name)
        except OSError as error:
            self._log.error("cannot destroy what is due", reason=error.strerror)
