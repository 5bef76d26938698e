"""Which sound device a room means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The detail of a gap is a line for people, and a host may have dozens of devices.
_LISTED = 6


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One that can record. `rate`: the one in Hz that it has when nobody asks for another."""

    index: int
    name: str
    channels: int
    rate: int

    def __str__(self) -> str:
        return f"{self.index} {self.name!r} ({self.channels} ch, {self.rate} Hz)"


class NoSuchDeviceError(Exception):
    """No device is meant, or several may be; says which there are."""


def choose_device(devices: Sequence[SoundDevice], wanted: str | int) -> SoundDevice:
    """By index; by the whole name (of several, the first); or by the only name that has `wanted` in it.

    Case does not matter. An index is the sound system's own and may change when a device is plugged in.
    Raises NoSuchDeviceError.
    """
    if isinstance(wanted, int):
        found = [device for device in devices if device.index == wanted]
        if not found:
            raise NoSuchDeviceError(f"no sound device has index {wanted}; {_listing(devices)}")
        return found[0]
    text = wanted.casefold()
    for device in devices:
        if device.name.casefold() == text:
            return device
    found = [device for device in devices if text in device.name.casefold()]
    if not found:
        raise NoSuchDeviceError(f"no sound device is named {wanted!r}; {_listing(devices)}")
    if len({device.name for device in found}) > 1:
        raise NoSuchDeviceError(
            f"{wanted!r} may be several sound devices, write more of it; {_listing(found)}"
        )
    return found[0]


def _listing(devices: Sequence[SoundDevice]) -> str:
    if not devices:
        return "there is none at all"
    more = f" and {len(devices) - _LISTED} more" if len(devices) > _LISTED else ""
    return f"there are {', '.join(map(str, devices[:_LISTED]))}{more}"
