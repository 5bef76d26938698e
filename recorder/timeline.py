"""One track's media time: watches for steps that are no passing of time.

A camera's two tracks are put on one time line by its sender reports. Before the first report their
relation is a guess that may be wrong by half a second, and at the report it jumps. Cameras that set
their clock, or loop, step as well. A step must not tear a file: the track goes on as if it had not
happened, and at the next keyframe a new run begins on the new time line.

Pure; times in microseconds.
"""

from __future__ import annotations

# At the first report the relation of the tracks is put right; less than this nobody hears or sees.
_REPORT_STEP_US = 5_000
# Later, cameras jitter by tens of milliseconds; more than this without time passing is a step.
_STEP_US = 100_000
# The parser holds video back by one frame, so the step may come a packet after the report's mark.
_PACKETS_AT_REPORT = 3
_CADENCE_WEIGHT = 1 / 8
# Time that passed without media time passing: more than any network holds back while the other track
# of the same connection goes on.
_SILENCE_US = 1_000_000
_STANDSTILL_US = 500_000


class TrackTimeline:
    """Feed it each packet's decoding time, in the order of arrival."""

    def __init__(self) -> None:
        self.reported = False
        self._packets_at_report = 0
        self._last_us: float | None = None
        self._last_arrival_us = 0.0
        self._cadence_us: float | None = None
        # The track was silent and its clock stood still meanwhile: its times are wrong by the silence
        # until the camera's next report puts them right, by a step forward.
        self.stood_still = False

    @property
    def cadence_us(self) -> float | None:
        """Usual distance between packets; None before the second one."""
        return self._cadence_us

    def report_seen(self) -> None:
        """This packet is the first that bears the sender's clock. Call before `step_us`."""
        self.reported = True
        self._packets_at_report = _PACKETS_AT_REPORT

    def step_us(self, media_us: float, arrival_us: float, tolerance_us: float = 0.0) -> float:
        """By how much media time jumped before this packet; 0 where it just went on.

        `tolerance_us`: by how much packets may be further apart than usual, without having jumped.
        """
        last, cadence = self._last_us, self._cadence_us
        passed = arrival_us - self._last_arrival_us
        self._last_us, self._last_arrival_us = media_us, arrival_us
        if last is None:
            return 0.0
        advance = media_us - last
        if passed > _SILENCE_US:
            return self._after_silence(advance, passed)
        if cadence is not None and -1 < advance - cadence < 1 and not self._packets_at_report:
            return 0.0  # as most packets, but for rounding
        if cadence is None:
            self._cadence_us = advance if 0 < advance < _SILENCE_US else None
            return min(advance, 0.0)
        step = self._step(advance - cadence, passed, tolerance_us)
        if not step:
            faster = min(advance, 2 * cadence) - cadence
            self._cadence_us = cadence + faster * _CADENCE_WEIGHT
        return step

    def _step(self, deviation: float, passed: float, tolerance_us: float) -> float:
        if self._packets_at_report:
            self._packets_at_report -= 1
            return deviation if abs(deviation) > max(_REPORT_STEP_US, tolerance_us) else 0.0
        backwards = deviation + (self._cadence_us or 0.0) <= 0
        far = deviation > _STEP_US + tolerance_us and passed < deviation / 2
        return deviation if backwards or far else 0.0

    def _after_silence(self, advance: float, passed: float) -> float:
        """Arrivals tell the length of a silence to a few hundred milliseconds, no better."""
        if passed - advance > _STANDSTILL_US:
            self.stood_still = True
        return advance - passed if advance - passed > _STANDSTILL_US else 0.0
