"""What a room's microphone tells its subscribers, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass

MICROPHONE_RATE = 48_000


@dataclass(frozen=True, slots=True)
class MicrophoneOpened:
    """Sound comes from now on. `device`: the name that the sound system gives it."""

    device: str


@dataclass(frozen=True, slots=True)
class MicrophoneLost:
    """No sound comes, or none any more; told again only when the reason is another one."""

    detail: str


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """What one callback of the sound system brought.

    `samples`: s16le mono at MICROPHONE_RATE, by the device's own clock. `end_count`: samples that the device
    has given since `session` began, this block's among them; where it grows by more than a block holds, that
    much was lost on the way here. `arrival_us`: CLOCK_MONOTONIC in the callback, later than the last sample
    by an unknown time that is never negative. `session` grows by one with each opening of the device: counts
    start again. `overflow`: samples before this block were lost and nobody knows how many, so what was
    learnt of the device's clock no longer fits its counts.
    """

    samples: bytes
    end_count: int
    arrival_us: int
    session: int
    overflow: bool


MicrophoneEvent = MicrophoneOpened | SoundBlock | MicrophoneLost
