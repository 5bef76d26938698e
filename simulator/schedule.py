"""Which units of a loop are due. Pure.

Unit n begins n / `per_second` seconds after 1970, for ever: a schedule without an origin of its own, so
that two cameras, or one camera before and after a fault, agree on what is shown when.
"""

from __future__ import annotations

from fractions import Fraction

_NS = 1_000_000_000
# After a longer sleep of the host a camera goes on with what is now, as a real one would.
_LATE_S = 1


class Schedule:
    """Hands out each unit once, in order, from the newest one at the first question on."""

    def __init__(self, per_second: Fraction, delay_units: int) -> None:
        """`delay_units`: a unit is due when the one that many places later begins."""
        self._per_second = per_second
        self._delay_units = delay_units
        self._next: int | None = None

    def start_ns(self, unit: int) -> int:
        """Unix time at which the unit begins."""
        return unit * _NS * self._per_second.denominator // self._per_second.numerator

    def due(self, now_ns: int) -> range:
        """Units due until `now_ns` (unix time) that were not handed out; none when the clock went back."""
        begun = now_ns * self._per_second.numerator // (self._per_second.denominator * _NS)
        newest = begun - self._delay_units
        first = newest if self._next is None else max(self._next, newest - int(_LATE_S * self._per_second))
        self._next = newest + 1 if self._next is None else max(self._next, newest + 1)
        return range(first, newest + 1)

    def restart(self) -> None:
        """Begin again with the newest unit: the clock was set."""
        self._next = None
