"""What a source records, and the microphone that it shares with the other sources of its room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from recorder.capture.camera import Address
from recorder.manifest import Track


@dataclass(frozen=True, slots=True)
class SourceHardware:
    """What a source records. `address` is None in a room without a camera, `microphone` (its name) in one
    without a microphone; at least one is there.
    """

    source: str
    address: Address | None
    microphone: str | None = None

    @property
    def tracks(self) -> tuple[Track, ...]:
        return tuple(Track) if self.address else (Track.AUDIO,)


class SharedMicrophone(Protocol):
    """It is open while any source wants it."""

    def wants(self, source: str, *, wanted: bool) -> None: ...
