"""The configuration that the agent works from: the last good one that its server signed.

Kept durably, so that a room host that starts while the server is away works as it did before.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recorder.durable import replace_file
from recorder.errors import ConfigurationError
from recorder.instants import US_PER_MINUTE, now_us
from recorder.intervals import Interval
from recorder.keyfile import AgentKey, SignedConfiguration
from recorder.logging import get_logger
from recorder.rooms import RoomConfiguration


class HeartbeatAnswer(SignedConfiguration):
    """`held` are the intervals `[start_us, end_us)` that no retention may destroy."""

    held: list[tuple[int, int]] = Field(default_factory=list)
    server_us: int = 0


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    signed: SignedConfiguration
    held: list[tuple[int, int]] = Field(default_factory=list)


class ConfigurationStore:
    """Thread-safe. `current` never goes back to a smaller version."""

    def __init__(self, path: Path, key: AgentKey) -> None:
        """Raises ConfigurationError when neither the file nor the key holds a good configuration."""
        self._path = path
        self._room = key.room
        self._server_key: Ed25519PublicKey = key.server_key()
        self._lock = threading.Lock()
        self._kept = _Kept(signed=key.configuration)
        self._current = self._verified(key.configuration)
        self._log = get_logger()
        self._confirmed_us = now_us()
        self._superseded_us = self._confirmed_us
        self._touched_us = 0
        self._load()

    @property
    def current(self) -> RoomConfiguration:
        return self._current

    @property
    def superseded_us(self) -> int:
        """The last instant at which the server said that the configuration before the present one was in
        force, as far as is known; of one read from the disk, to the minute.
        """
        return self._superseded_us

    @property
    def held(self) -> list[Interval]:
        return [Interval(start, end) for start, end in self._kept.held if start < end]

    def accept(self, document: dict[str, Any]) -> bool:
        """A heartbeat's answer; whether the configuration is new. Durable before it is in force.

        Raises ConfigurationError for one that is not the server's, not this room's, or unreadable;
        OSError when the disk refuses. Nothing has changed then.
        """
        if self._is_known(document):
            self._confirm()
            return False
        try:
            answer = HeartbeatAnswer.model_validate(document)
        except ValidationError as error:
            raise ConfigurationError(f"the heartbeat's answer is unreadable: {_first(error)}") from error
        with self._lock:
            kept = _Kept(
                signed=SignedConfiguration(configuration=answer.configuration, signature=answer.signature),
                held=sorted(answer.held),
            )
            if kept == self._kept:
                return False
            configuration = self._verified(answer)
            if configuration.version < self._current.version:
                # An old answer must not undo a change, but its holds are what the server says now.
                configuration, kept.signed = self._current, self._kept.signed
            replace_file(self._path, kept.model_dump_json().encode())
            changed = configuration != self._current
            self._kept = kept
            if changed:
                self._superseded_us = self._confirmed_us
                self._current = configuration
            self._confirmed_us = self._touched_us = now_us()
            return changed

    def _confirm(self) -> None:
        """The file's time of change says until when it was known to be in force, to the minute."""
        self._confirmed_us = now_us()
        if not 0 <= self._confirmed_us - self._touched_us < US_PER_MINUTE:
            self._touched_us = self._confirmed_us
            # Not durable: an older time makes the agent account for more, never for less.
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _is_known(self, document: dict[str, Any]) -> bool:
        """Whether it says what the last one said, as nearly all do."""
        kept = self._kept
        same = document.get("configuration") == kept.signed.configuration
        same = same and document.get("signature") == kept.signed.signature
        return same and document.get("held") == [list(interval) for interval in kept.held]

    def _load(self) -> None:
        try:
            kept = _Kept.model_validate_json(self._path.read_bytes())
            written_us = self._path.stat().st_mtime_ns // 1000
            configuration = self._verified(kept.signed)
        except FileNotFoundError:
            return
        except (OSError, ValidationError, ConfigurationError) as error:
            # The key file's configuration is older but good.
            self._log.error("kept configuration is unusable", path=str(self._path), reason=str(error))
            return
        self._kept.held = kept.held
        if configuration.version >= self._current.version:
            self._kept, self._current = kept, configuration
            self._confirmed_us = self._superseded_us = min(written_us, self._confirmed_us)

    def _verified(self, signed: SignedConfiguration) -> RoomConfiguration:
        signed.verify(self._server_key)
        try:
            configuration = RoomConfiguration.model_validate_json(signed.configuration)
        except ValidationError as error:
            raise ConfigurationError(
                f"the server's configuration is not understood by this version: {_first(error)}"
            ) from error
        if configuration.room.id != self._room:
            raise ConfigurationError(
                f"the configuration is of room {configuration.room.id}, not {self._room}"
            )
        return configuration


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
