"""A short listen to what a microphone gives, for whoever sets it up."""

from __future__ import annotations

import math
import queue
import time
from array import array
from collections.abc import Mapping
from typing import Any

from recorder.capture.microphone import MicrophoneError, MicrophoneLink
from recorder.capture.microphone_events import (
    MICROPHONE_RATE,
    MicrophoneEvent,
    MicrophoneLost,
    MicrophoneOpened,
    SoundBlock,
)
from recorder.rooms import Microphone

_FULL_SCALE = 32_768
# Longer than the link needs to call a sound system hung.
_ANSWER_S = 10.0


def probe_microphone(
    microphone: Microphone, seconds: float, *, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Records for that long and tells the level. Raises MicrophoneError."""
    events: queue.SimpleQueue[MicrophoneEvent] = queue.SimpleQueue()
    link = MicrophoneLink(microphone, environment=environment)
    link.subscribe(events.put)
    link.want(wanted=True)
    link.start()
    try:
        return _listen(events, seconds)
    finally:
        link.stop()
        link.join()


def _listen(events: queue.SimpleQueue[MicrophoneEvent], seconds: float) -> dict[str, Any]:
    device, samples, overflows = "", bytearray(), 0
    began = opened = time.monotonic()
    while len(samples) < 2 * seconds * MICROPHONE_RATE:
        try:
            event = events.get(timeout=max(0.0, began + _ANSWER_S + seconds - time.monotonic()))
        except queue.Empty:
            raise MicrophoneError("the microphone does not answer") from None
        match event:
            case MicrophoneOpened(device=device):
                opened = time.monotonic()
            case MicrophoneLost(detail=detail):
                raise MicrophoneError(detail)
            case SoundBlock():
                samples += event.samples
                overflows += event.overflow
    return {"device": device, "open_s": round(opened - began, 2), **_levels(samples), "overflows": overflows}


def _levels(samples: bytes | bytearray) -> dict[str, float | None]:
    """Of s16le mono, in dB below full scale; None for digital silence."""
    values = array("h", bytes(samples))
    rms = math.sqrt(sum(value * value for value in values) / len(values))
    return {"peak_dbfs": _dbfs(max(abs(value) for value in values)), "rms_dbfs": _dbfs(rms)}


def _dbfs(amplitude: float) -> float | None:
    return round(20 * math.log10(amplitude / _FULL_SCALE), 1) if amplitude else None
