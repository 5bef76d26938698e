"""The clock of a simulated sound device: which of its samples was taken when. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """Sample number `sample` is taken at `at_ns` (CLOCK_MONOTONIC) and those after it `ppm` too fast."""

    sample: int
    at_ns: int
    nominal_rate: int = 48_000
    ppm: float = 0.0

    @property
    def rate(self) -> float:
        """Samples in a true second."""
        return self.nominal_rate * (1 + self.ppm * 1e-6)

    def taken_ns(self, sample: int) -> int:
        return self.at_ns + round((sample - self.sample) / self.rate * _NS_PER_S)

    def taken_by(self, now_ns: int) -> int:
        """The number of the first sample that is not taken yet at `now_ns`."""
        return self.sample + int((now_ns - self.at_ns) / _NS_PER_S * self.rate) + 1

    def turned(self, ppm: float, sample: int) -> DeviceClock:
        """Another speed from `sample` on."""
        return DeviceClock(sample, self.taken_ns(sample), self.nominal_rate, ppm)
