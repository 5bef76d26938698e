"""A source's ear: what its room's microphone brings, while a recording window is open."""

from __future__ import annotations

from collections.abc import Callable

from recorder.capture.microphone_events import MicrophoneEvent, MicrophoneLost, SoundBlock
from recorder.guard import Guard
from recorder.host_clock import monotonic_us
from recorder.room_sound import Emit, RoomSound, SoundQueue
from recorder.skews import Skews
from recorder.source_hardware import SharedMicrophone, SourceHardware


class SourceSound:
    """`room` is what a session gives its camera's sound to; None while no window is open.

    All but `put` belongs to the recorder's thread. `emit` is called as RoomSound does, and `lost` with the
    reason for which the microphone is gone; both under `guard`.
    """

    def __init__(
        self,
        hardware: SourceHardware,
        microphone: SharedMicrophone | None,
        skews: Skews,
        emit: Emit,
        lost: Callable[[str], None],
        guard: Guard,
    ) -> None:
        self.room: RoomSound | None = None
        self._hardware = hardware
        self._microphone = microphone
        self._skews = skews
        self._emit = emit
        self._lost = lost
        self._guard = guard
        self._queue = SoundQueue()

    def put(self, event: MicrophoneEvent) -> None:
        """From the microphone's thread; never waits."""
        self._queue.put(event)

    def open(self, offset_us: int) -> None:
        """A window opens. `offset_us` as RoomSound has it; it may be `set_offset` later."""
        name = self._hardware.microphone
        skew = self._skews.of(self._device)
        opened_us = monotonic_us()
        self.room = RoomSound(name, self._emit, opened_us=opened_us, offset_us=offset_us, skew=skew)
        self._want(wanted=True)

    def set_offset(self, offset_us: int) -> None:
        if self.room:
            self.room.offset_us = offset_us

    def close(self) -> None:
        """Everything heard so far is emitted."""
        self._want(wanted=False)
        self.listen()
        room, self.room = self.room, None
        if room:
            self._guard(room.finish)
            if room.has_learnt:
                self._skews.learn(self._device, room.clock.skew, monotonic_us())

    def listen(self) -> None:
        """To what the microphone has brought since."""
        while (event := self._queue.take()) is not None:
            self._guard(lambda event=event: self._hear(event))  # type: ignore[misc]
        if self.room:
            room = self.room
            self._guard(lambda: room.look(monotonic_us()))

    @property
    def _device(self) -> str:
        return f"microphone {self._hardware.microphone}"

    def _want(self, *, wanted: bool) -> None:
        if self._microphone:
            self._microphone.wants(self._hardware.source, wanted=wanted)

    def _hear(self, event: MicrophoneEvent) -> None:
        if self.room is None:
            return
        if isinstance(event, SoundBlock):
            self.room.block(event)
        elif isinstance(event, MicrophoneLost):
            self.room.microphone_lost()
            self._lost(event.detail)
