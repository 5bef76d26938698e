"""The room's one microphone and the sources that share it: it is open while any of them wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from recorder.capture.microphone import MicrophoneLink
from recorder.capture.microphone_events import MicrophoneEvent
from recorder.rooms import Microphone


class RoomMicrophone:
    """Thread-safe. Its thread runs from the beginning on, and opens nothing until it is wanted."""

    def __init__(self, configured: Microphone, *, environment: Mapping[str, str] | None = None) -> None:
        self.configured = configured
        self.link = MicrophoneLink(configured, environment=environment)
        self._lock = threading.Lock()
        self._wanting: set[str] = set()
        self.link.start()

    def add(self, hear: Callable[[MicrophoneEvent], None]) -> None:
        self.link.subscribe(hear)

    def remove(self, source: str, hear: Callable[[MicrophoneEvent], None]) -> None:
        self.link.unsubscribe(hear)
        self.wants(source, wanted=False)

    def wants(self, source: str, *, wanted: bool) -> None:
        with self._lock:
            if wanted:
                self._wanting.add(source)
            else:
                self._wanting.discard(source)
            self.link.want(wanted=bool(self._wanting))

    def stop(self) -> None:
        """The child process is gone when this returns, or will be within a moment."""
        self.link.stop()
        self.link.join(_STOP_S)


_STOP_S = 1.0
