"""Sound at 48 kHz that stays on the run's line, whatever the source's clock does.

soxr with a variable rate, steered by `SoundLine`. The stream gives its first sample for the first that it
is fed, and holds a fixed number of them back; so where the next one will come to be is known from counting,
to half a tick, and nothing adds up over a day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from recorder.sound_line import LINE_RATE, SoundLine

Samples = npt.NDArray[np.float32]

# Measured, for 8 to 48 kHz: samples of the source that a stream holds back. Above, it filters twice.
_HELD_SAMPLES = 240
_MAX_RATE_IN = 48_000
# The stream is made for the greatest ratio that it will be set to.
_HEADROOM = 1.001


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound on the line: `samples` at 48 kHz, the first one at `ticks` of 48 kHz from the line's origin."""

    ticks: int
    samples: Samples


class LineResampler:
    """Feed it blocks in order, each with its place on the line; it gives pieces in the order of the line.

    A piece begins where the one before ended, unless sound was missing for more than ten seconds or
    `reset` came between. A shorter hole comes as silence. `inserted_samples` and `dropped_samples` of the
    source only grow: they are what could not be put right by speed.
    """

    def __init__(
        self,
        rate_in: int,
        *,
        skew: float = 0.0,
        max_ppm: float = 1_000.0,
        slew_ppm: float = 500.0,
        step_us: int = 20_000,
    ) -> None:
        """`skew`: d(host)/d(media) - 1 of the source's clock, if known; at most `max_ppm` of it is followed.
        `slew_ppm`: by how much the speed may differ from it to put an error right. From `step_us` apart on,
        sound is inserted or dropped; sources whose times jitter need more than a microphone.
        """
        if not 0 < rate_in <= _MAX_RATE_IN:
            raise ValueError(f"a source of {rate_in} Hz: 1 to {_MAX_RATE_IN} are possible")
        self._rate_in = rate_in
        self._nominal = rate_in / LINE_RATE  # samples in for one out
        self._greatest = self._nominal * (1 + (max_ppm + slew_ppm) * 1e-6) * _HEADROOM
        self._line = SoundLine(rate_in, skew=skew, max_ppm=max_ppm, slew_ppm=slew_ppm, step_us=step_us)
        self._stream: soxr.ResampleStream | None = None
        self._speed = 1.0
        self._held = 0  # samples fed and not yet given, at most _HELD_SAMPLES
        self._ticks = 0  # of the next sample that comes out
        self.inserted_samples = 0
        self.dropped_samples = 0

    @property
    def skew(self) -> float:
        """Of the source's clock against the line, as learned."""
        return self._line.skew

    def feed(self, samples: Samples, line_us: float) -> list[Piece]:
        """`samples` (mono) follow those fed before; the first one belongs at `line_us`."""
        if not len(samples):
            return []
        pieces = []
        placement = self._line.place(len(samples), line_us, self._next_ticks())
        if placement.start_ticks is not None:
            pieces += self.flush()
            self._start(placement.start_ticks)
        if placement.speed is not None:
            self._set_speed(placement.speed, at_once=placement.start_ticks is not None)
        if placement.silence_samples:
            self.inserted_samples += placement.silence_samples
            pieces += self._through(np.zeros(placement.silence_samples, np.float32))
        if placement.drop_samples:
            self.dropped_samples += placement.drop_samples
            samples = samples[placement.drop_samples :]
        return pieces + self._through(samples)

    def flush(self) -> list[Piece]:
        """What is held back; the next block begins anew, wherever it belongs."""
        if self._stream is None:
            return []
        rest = round(self._held / self._ratio)
        out = self._stream.resample_chunk(np.zeros(2 * _HELD_SAMPLES, np.float32))[:rest]
        ticks = self._ticks
        self.reset()
        return [Piece(ticks, out)] if len(out) else []

    def reset(self) -> None:
        """Forgets what is held back; the next block begins anew, wherever it belongs."""
        self._stream = None
        self._held = 0

    @property
    def _ratio(self) -> float:
        return self._nominal / self._speed

    def _next_ticks(self) -> float | None:
        """Where the next sample that is fed will come out."""
        return None if self._stream is None else self._ticks + self._held / self._ratio

    def _start(self, ticks: int) -> None:
        self._stream = soxr.ResampleStream(self._greatest, 1, 1, dtype="float32", vr=True)
        self._held = 0
        self._ticks = ticks

    def _set_speed(self, speed: float, *, at_once: bool) -> None:
        """Over half a second, so that no step of pitch is heard."""
        self._speed = speed
        if self._stream is not None:
            # Never an output rate of 0: the library takes that for an address.
            self._stream.set_io_ratio(self._ratio, 1, 0 if at_once else self._rate_in // 2)

    def _through(self, samples: Samples) -> list[Piece]:
        if self._stream is None or not len(samples):
            return []
        out = self._stream.resample_chunk(np.ascontiguousarray(samples))
        self._held = min(self._held + len(samples), _HELD_SAMPLES)
        ticks, self._ticks = self._ticks, self._ticks + len(out)
        return [Piece(ticks, out)] if len(out) else []
