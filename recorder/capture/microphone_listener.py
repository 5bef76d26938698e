"""Listening to a microphone for a minute, in memory alone: for calibration and for the proof of readiness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recorder.capture.microphone import MicrophoneError, MicrophoneLink
from recorder.capture.microphone_events import MICROPHONE_RATE, MicrophoneEvent, MicrophoneLost, SoundBlock
from recorder.capture.microphone_probe import probe_microphone
from recorder.capture.sound import Pcm
from recorder.errors import ProtokolError
from recorder.instants import US_PER_SECOND
from recorder.media_clock import MICROPHONE, MediaClock
from recorder.rooms import Microphone

_SILENCE_DBFS = -120.0
# Somewhat more than an opening takes.
_FIRST_BLOCKS = 100


class MicrophoneListener:
    """All blocks and the clock that they tell, as a recording has them, but for the room's offset."""

    def __init__(self, microphone: Microphone, *, environment: Mapping[str, str] | None = None) -> None:
        self._link = MicrophoneLink(microphone, environment=environment)
        self._clock = MediaClock(MICROPHONE)
        self._blocks: list[SoundBlock] = []
        self._lost = ""

    def start(self) -> None:
        self._link.subscribe(self._hear)
        self._link.want(wanted=True)
        self._link.start()

    def stop(self) -> tuple[int, Sequence[tuple[float, Pcm]]]:
        """Rate, and blocks of mono samples with the host's monotonic µs of their first one.

        Raises ProtokolError when the microphone failed meanwhile.
        """
        self._link.stop()
        self._link.join()
        if self._lost or not self._blocks:
            raise ProtokolError(f"the microphone failed: {self._lost or 'no sound came'}; try again")
        heard = []
        for block in self._blocks[_FIRST_BLOCKS:] or self._blocks:
            samples = np.frombuffer(block.samples, np.int16).astype(np.float32) / np.float32(32768)
            start = (block.end_count - len(samples)) * US_PER_SECOND / MICROPHONE_RATE
            heard.append((float(self._clock.host_us(start)), samples))
        return MICROPHONE_RATE, heard

    def _hear(self, event: MicrophoneEvent) -> None:
        if isinstance(event, MicrophoneLost):
            self._lost = event.detail
        elif isinstance(event, SoundBlock):
            if event.overflow:
                self._lost = "sound was lost on the way, the host is too busy"
            self._clock.observe(event.end_count * US_PER_SECOND / MICROPHONE_RATE, event.arrival_us)
            self._blocks.append(event)


def sound_probe(
    microphone: Microphone, environment: Mapping[str, str] | None = None
) -> Callable[[float], float | str]:
    """For readiness: listens for so many seconds; the peak in dB of full scale, or what is wrong."""

    def probe(seconds: float) -> float | str:
        try:
            peak = probe_microphone(microphone, seconds, environment=environment)["peak_dbfs"]
        except MicrophoneError as error:
            return str(error)
        return _SILENCE_DBFS if peak is None else float(peak)

    return probe
