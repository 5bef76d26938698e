"""By which configuration each instant is judged: the agent's side of windows that the server freezes.

The server freezes a day's windows by what was in force at each instant: a change holds from its
publication on. An agent learns of a change a heartbeat later, or days later when it was off, and knows
only between which two instants it happened. Of the time in between it accounts for both windows.

Pure; UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from recorder.intervals import Interval, merge, subtract
from recorder.rooms import RoomConfiguration
from recorder.working_hours import windows_between

_EVER = 2**53


@dataclass(frozen=True, slots=True)
class _Span:
    """`configuration` may be in force from `first_us` on and is from `sure_us` on."""

    first_us: int
    sure_us: int
    configuration: RoomConfiguration


class InForce:
    """Begins with one configuration, in force for all time before the next one is learnt."""

    def __init__(self, configuration: RoomConfiguration) -> None:
        self._spans = [_Span(0, 0, configuration)]

    @property
    def newest(self) -> RoomConfiguration:
        return self._spans[-1].configuration

    def learn(self, configuration: RoomConfiguration, superseded_us: int, now_us: int) -> None:
        """`superseded_us`: the last instant at which the one before was known to be in force."""
        self._spans.append(_Span(min(superseded_us, now_us), now_us, configuration))

    def forget_before(self, instant_us: int) -> None:
        """Nobody will ask about earlier instants."""
        while len(self._spans) > 1 and self._spans[1].sure_us <= instant_us:
            self._spans.pop(0)

    def windows(self, interval: Interval) -> list[tuple[Interval, int]]:
        """Recorded time inside the interval with the version that says so, sorted and disjoint.

        Where two versions may be in force and agree, it is the older one: footage was recorded by it.
        """
        found: list[tuple[Interval, int]] = []
        told: tuple[Interval, ...] = ()
        ends = [span.sure_us for span in self._spans[1:]] + [_EVER]
        for span, end_us in zip(self._spans, ends, strict=True):
            if span.first_us >= end_us:
                continue
            period = interval.intersection(Interval(span.first_us, end_us))
            if period is None:
                continue
            recorded = windows_between(span.configuration, period)
            found += [(piece, span.configuration.version) for piece in subtract(recorded, told)]
            told = merge([*told, *recorded])
        return sorted(found)
