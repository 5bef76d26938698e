"""The constant offset between a room's picture and its sound, from what is both seen and heard.

Clocks cannot see it: exposure, the camera's encoder and the way of the sound are always the same. An
event that is one moment in the room (a screen that flashes and beeps, hands that clap) shows it.

`av_offset_ms` is to be added to the sound's time so that it meets the picture: positive where the picture
comes late through the camera.

A flash is first seen in the frame *after* it began: on average half a frame after, if it does not keep step
with the frames. That half is taken off. Each flash then scatters over one frame, 12 ms at 25 fps, so thirty
of them tell their mean to 2 ms. Flashes that do keep step stay at one unknown place within the frame: then
the confidence is half a frame, whatever their number.

Pure, on arrays; times are microseconds of one clock for picture and sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recorder.calibration_events import (
    PAIR_US,
    Pictures,
    Stretch,
    clap_moments,
    flash_onsets,
    pair,
    sound_onsets,
)
from recorder.errors import ProtokolError

Pattern = Literal["room", "camera"]
Method = Literal["flashes", "claps"]

MIN_EVENTS = 8
MAX_UNCERTAINTY_MS = 10.0
# Beside the frame over which they scatter: onsets of worn loudspeakers, stamps that jitter.
_JITTER_US = 20_000
_INLIERS = 0.6  # of all pairs must agree
_SECOND_CLUSTER = 0.25  # as many that agree on something else are no accident
# Hands slow down before they meet and spring back after: an eighth of a frame that no number of claps mends.
_CLAP_BIAS_FRAMES = 1 / 8
_FLOOR_MS = 0.5
_SILENT = 2 / 32768


@dataclass(frozen=True, slots=True)
class Calibration:
    """`offset_ms` ± `uncertainty_ms` (95 %); `events` are those that agree, of `pairs` seen and heard."""

    offset_ms: float
    uncertainty_ms: float
    events: int
    pairs: int
    method: Method


class CannotTellError(ProtokolError):
    """The offset cannot be told, and why; `code` for programs. A guess would be worse than none."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def calibrate(pictures: Pictures, sound: Sequence[Stretch], pattern: Pattern = "room") -> Calibration:
    """`pattern` camera: the light begins with a frame, because the camera itself draws it.

    Raises CannotTellError.
    """
    if len(pictures.times_us) < 2:
        raise CannotTellError("no_picture", "no picture came from the camera")
    if not any(float(np.ptp(each.samples)) > _SILENT for each in sound if len(each.samples)):
        raise CannotTellError("no_sound", "no sound came: check that the microphone is on and not muted")
    heard = sound_onsets(sound)
    frame_us = pictures.frame_us
    flashes = flash_onsets(pictures, heard)
    if len(flashes) >= MIN_EVENTS:
        return estimate(pair(flashes, heard), frame_us, "flashes", pattern)
    claps = clap_moments(pictures, heard)
    if len(claps) >= MIN_EVENTS:
        return estimate(claps, frame_us, "claps", pattern)
    if len(heard) < MIN_EVENTS:
        raise CannotTellError(
            "too_few_sounds",
            f"only {len(heard)} beeps or claps were heard, {MIN_EVENTS} are needed: "
            "louder, nearer to the microphone, or for longer",
        )
    raise CannotTellError(
        "no_flashes",
        f"{len(heard)} sounds were heard, but only {len(flashes)} flashes and {len(claps)} claps were seen: "
        "hold the screen nearer to the camera, at full brightness",
    )


def estimate(
    deltas_us: Sequence[float], frame_us: float, method: Method, pattern: Pattern = "room"
) -> Calibration:
    """From picture-minus-sound of each event. Raises CannotTellError."""
    deltas = np.sort(np.asarray(deltas_us, np.float64))
    if len(deltas) < MIN_EVENTS:
        raise CannotTellError(
            "too_few_events",
            f"only {len(deltas)} {method} were both seen and heard within {PAIR_US // 1000} ms, "
            f"{MIN_EVENTS} are needed: go on for longer",
        )
    agreeing = _agreeing(deltas, frame_us)
    if len(agreeing) < max(MIN_EVENTS, math.ceil(_INLIERS * len(deltas))):
        raise CannotTellError(
            "too_scattered",
            f"only {len(agreeing)} of {len(deltas)} {method} agree: "
            "let nothing else flash, move or make noise meanwhile",
        )
    uncertainty_us, in_step_us = _uncertainties_us(agreeing, frame_us, method, pattern)
    if in_step_us > MAX_UNCERTAINTY_MS * 1000:
        raise CannotTellError(
            "in_step",
            f"the flashes keep step with the camera's frames, so their moment is known to ± "
            f"{in_step_us / 1000:.0f} ms only: use the page /calibrate of the server, whose flashes do not "
            "(where the camera itself draws the flashes, as simulated ones do, say --pattern camera)",
        )
    uncertainty_us = max(uncertainty_us, in_step_us, _FLOOR_MS * 1000)
    if uncertainty_us > MAX_UNCERTAINTY_MS * 1000:
        raise CannotTellError(
            "too_uncertain",
            f"{len(agreeing)} {method} tell the offset to ± {uncertainty_us / 1000:.0f} ms only, "
            f"± {MAX_UNCERTAINTY_MS:.0f} ms is needed: go on for longer",
        )
    offset_us = float(agreeing.mean())
    if method == "flashes" and pattern == "room":
        offset_us -= frame_us / 2
    return Calibration(
        round(offset_us / 1000, 1), round(uncertainty_us / 1000, 1), len(agreeing), len(deltas), method
    )


def _uncertainties_us(
    agreeing: npt.NDArray[np.float64], frame_us: float, method: Method, pattern: Pattern
) -> tuple[float, float]:
    """Half of the 95 % interval by scatter, and what flashes in step with the frames leave open."""
    count = len(agreeing)
    # Student's quantile, near enough from eight events on.
    quantile = 1.96 + 2.7 / (count - 1)
    by_scatter = quantile * float(agreeing.std(ddof=1)) / math.sqrt(count)
    if method == "claps":
        return math.hypot(by_scatter, _CLAP_BIAS_FRAMES * frame_us), 0.0
    # The true offset lies in each event's frame, so in what all of these frames have in common.
    open_us = 0.0 if pattern == "camera" else max(0.0, frame_us - float(np.ptp(agreeing))) / 2
    return by_scatter, open_us


def _agreeing(deltas: npt.NDArray[np.float64], frame_us: float) -> npt.NDArray[np.float64]:
    """The most events within a frame and the jitter. Raises CannotTellError when others agree as well."""
    width = frame_us + _JITTER_US
    best = _densest(deltas, width)
    agreeing = deltas[best]
    rest = np.delete(deltas, np.arange(best.start, best.stop))
    if len(rest):
        other = rest[_densest(rest, width)]
        if len(other) >= max(3, _SECOND_CLUSTER * len(deltas)):
            raise CannotTellError(
                "several_clusters",
                f"{len(agreeing)} events say {agreeing.mean() / 1000:.0f} ms and {len(other)} say "
                f"{other.mean() / 1000:.0f} ms: an echo, or two screens; begin again in a quiet room",
            )
    return agreeing


def _densest(ordered: npt.NDArray[np.float64], width: float) -> slice:
    ends = np.searchsorted(ordered, ordered + width, side="right")
    first = int((ends - np.arange(len(ordered))).argmax())
    return slice(first, int(ends[first]))
