"""Room agents without cameras: real spools, chains and shippers, and a network that can be cut.

What each was told is kept by the network between: an answer counts as a promise only if it had crossed
before the cut, and none crosses after it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.spools import Filler
from recorder.chain import Entry
from recorder.keyfile import AgentKey
from recorder.rooms import RoomConfiguration
from recorder.shipper import Shipper, judge
from recorder.spool import Spool
from recorder.uplink import Answer, Uplink, UplinkError

_SPOOL_BYTES = 10 * 10**9


class Wire:
    """Between the agents and their server; off until `connect`.

    `sent`: SHA-256 of each segment's file, by segment id, of all that were ever begun to be sent;
    `acknowledged`: those of them that an agent was told are accepted.
    """

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}
        self.acknowledged: dict[str, str] = {}
        self.other_outcomes: list[str] = []
        self._lock = threading.Lock()
        self._on = threading.Event()
        self._life = 0

    def connect(self) -> None:
        self._on.set()

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """No answer crosses from its beginning on: what happens inside happens after the last one."""
        with self._lock:
            self._on.clear()
            self._life += 1
            yield

    def send(self, segment_id: str, file: Path, put: Callable[[], Answer]) -> Answer:
        """Waits for the connection. Raises UplinkError when it was cut before the answer came."""
        self._on.wait()
        with self._lock:
            life = self._life
            self.sent[segment_id] = hashlib.sha256(file.read_bytes()).hexdigest()
        answer = put()
        with self._lock:
            if life != self._life:
                raise UplinkError("the power is gone")
            verdict = judge(answer)
            if verdict == "accepted":
                self.acknowledged[segment_id] = self.sent[segment_id]
            else:
                self.other_outcomes.append(str(verdict))
        return answer


class _WiredUplink(Uplink):
    def __init__(self, server_url: str, token: str, wire: Wire) -> None:
        super().__init__(server_url, token)
        self._wire = wire

    def put_file(self, path: str, headers: dict[str, str], file: Path | None) -> Answer:
        assert file is not None, "these agents have no gaps"

        def put() -> Answer:
            return super(_WiredUplink, self).put_file(path, headers, file)

        return self._wire.send(path.rpartition("/")[2], file, put)


class Client:
    """One room's host. `media`: what its segments hold, in turn, each of `segment_us`.

    `wire` None: an agent's own connection.
    """

    def __init__(
        self,
        spool: Path,
        key: AgentKey,
        wire: Wire | None,
        media: Sequence[bytes],
        *,
        first_us: int,
        segment_us: int,
    ) -> None:
        self._spool = Spool(spool, key, limit_bytes=_SPOOL_BYTES)
        chain = self._spool.chain("main")
        self._fillers = [Filler(chain, each, 1) for each in media]
        self._next_us, self._segment_us, self.made = first_us, segment_us, 0
        configuration = RoomConfiguration.model_validate_json(key.configuration.configuration)
        self.shipper = Shipper(
            self._spool,
            _WiredUplink(key.server_url, key.token, wire) if wire else Uplink(key.server_url, key.token),
            key.room,
            configuration=lambda: configuration,
            held=lambda: (),
        )

    @property
    def waiting(self) -> int:
        """Segments in the spool."""
        return len(self._spool.entries())

    def entries(self) -> list[Entry]:
        """What is in the spool, the oldest first."""
        return self._spool.entries()

    def fill(self, count: int) -> None:
        """Record until `count` segments wait."""
        while self.waiting < count:
            end_us = self._next_us + self._segment_us
            self._fillers[self.made % len(self._fillers)].add(self._next_us, end_us)
            self._next_us, self.made = end_us, self.made + 1

    def stop(self) -> None:
        """Returns when the shipper has ended. The wire must be connected, or a send would wait for ever."""
        self.shipper.stop()
        self.shipper.join()
