"""Every five seconds: how the room is, to the server; its configuration and holds, back."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recorder.capture.health import Picture
from recorder.configuration import ConfigurationStore
from recorder.errors import ConfigurationError
from recorder.host_clock import ClockTrust, monotonic_us
from recorder.instants import US_PER_SECOND, now_us
from recorder.ledger import agent_version
from recorder.logging import get_logger
from recorder.source_status import SourceStatus
from recorder.spool import Spool
from recorder.uplink import Uplink, UplinkError

HEARTBEAT_S = 5.0
# The server asks anew with each answer; one that is away is shown nothing.
PICTURES_US = 60 * US_PER_SECOND
# Nobody is shown a room clearly for longer, whatever the answer says.
MAX_CLEAR_S = 120


def report(
    statuses: Mapping[str, SourceStatus],
    spool: Spool,
    trust: ClockTrust,
    configuration_version: int,
    at_us: int,
    health: Mapping[str, Any],
) -> dict[str, Any]:
    """The heartbeat's document. The room is as its worst source is; `health` goes in as it is."""
    worst = min(
        statuses.values(),
        key=lambda status: ("fault", "recording", "closed").index(status.state),
        default=SourceStatus(),
    )
    return {
        "agent_version": agent_version(),
        "at_us": at_us,
        "state": worst.state,
        "since_us": worst.since_us,
        "cause": worst.cause,
        "detail": worst.detail,
        "sources": {
            name: {
                "state": status.state,
                "cause": status.cause,
                "since_us": status.since_us,
                "last_packet_us": status.last_packet_us,
                "fps": status.fps,
                "audio_peak_dbfs": status.audio_peak_dbfs,
                "microphone": status.microphone,
                "sync": status.sync.model_dump() if status.sync else None,
                "clock_error_ms": status.clock_error_ms,
                "in_use": status.in_use,
            }
            for name, status in statuses.items()
        },
        "spool": {"segments": spool.segments, "bytes": spool.bytes, "oldest_us": spool.oldest_us},
        "clock": {"uncertainty_us": trust.uncertainty_us, "estimated": trust.estimated},
        "configuration_version": configuration_version,
        "health": health,
    }


@dataclass(frozen=True, slots=True)
class Watch:
    """What of the room's pictures the server asks for in its answer: for how long from now on."""

    pictures_us: int = 0
    clear_us: int = 0


def watch_of(answer: Mapping[str, Any]) -> Watch:
    """Nothing, unless the answer says so in so many words: an older server would keep pictures as it keeps
    the rest of a heartbeat, in its database.
    """
    asked = answer.get("pictures")
    if not isinstance(asked, dict):
        return Watch()
    clear_s = asked.get("clear_s")
    if not isinstance(clear_s, int) or isinstance(clear_s, bool):
        return Watch(PICTURES_US)
    return Watch(PICTURES_US, min(max(clear_s, 0), MAX_CLEAR_S) * US_PER_SECOND)


def pictures_told(pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """The heartbeat's member `pictures`."""
    return {
        source: {"at_us": each.at_us, "blurred": _base64(each.blurred)}
        | ({"clear": _base64(each.clear)} if each.clear else {})
        for source, each in pictures.items()
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Heartbeat(threading.Thread):
    def __init__(
        self,
        uplink: Uplink,
        room: str,
        store: ConfigurationStore,
        document: Callable[[], dict[str, Any]],
        *,
        configuration_changed: Callable[[], None],
        watched: Callable[[Watch], None] = lambda _: None,
        every_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.beat_us = monotonic_us()
        self._uplink = uplink
        self._path = f"/ingest/v1/rooms/{room}/heartbeat"
        self._store = store
        self._document = document
        self._every_s = every_s
        self._configuration_changed = configuration_changed
        self._watched = watched
        self._stopping = threading.Event()
        self._told = ""
        self._log = get_logger()

    @property
    def error(self) -> str:
        """Why the last heartbeat was not answered, or nothing."""
        return self._told

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.beat_us = monotonic_us()
            self._tell(self._beat())
            self._stopping.wait(self._every_s)
        self._uplink.close()

    def _beat(self) -> str:
        """What is wrong, or nothing."""
        try:
            answer = self._uplink.post(self._path, self._document())
            if answer.status != 200:
                return f"the server refuses the heartbeat: {answer.problem}"
            self._watched(watch_of(answer.document))
            if self._store.accept(answer.document):
                self._log.info("configuration changed", version=self._store.current.version, at_us=now_us())
                self._configuration_changed()
        except (UplinkError, ConfigurationError) as error:
            return str(error)
        except OSError as error:
            return f"the configuration cannot be kept: {error.strerror}"
        return ""

    def _tell(self, wrong: str) -> None:
        if wrong == self._told:
            return
        self._told = wrong
        if wrong:
            self._log.warning("heartbeat fails", reason=wrong)
        else:
            self._log.info("heartbeat answered")
