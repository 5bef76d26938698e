"""How far sound and picture are apart over nine hours of simulated clocks, for each scenario, and in an
exported clip that was recorded in real time (`e2e.py`).

The nine hours have no media: the recorder's clocks and its sound loop, the resampler being its position. The
constant part of every delay is left out, as calibration removes it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench import e2e
from simulator.clocks import SCENARIOS, WORKING_DAY_S, Played, play

_LIMIT_MS = 20.0


def _figures(played: Played, cpu_s: float) -> dict[str, Any]:
    offset_ms = np.abs(played.offset_us) / 1000
    return {
        "p50_ms": round(float(np.nanpercentile(offset_ms, 50)), 2),
        "p99_ms": round(played.percentile_ms(99), 2),
        "max_ms": round(played.max_ms, 2),
        "beyond_20ms_s": int(np.count_nonzero(offset_ms > _LIMIT_MS)),
        "back_below_20ms_s": played.longest_beyond_s(_LIMIT_MS),
        "unplaced_s": int(np.count_nonzero(np.isnan(offset_ms))),
        "uncertainty_p50_ms": round(float(np.nanmedian(played.uncertainty_us)) / 1000, 2),
        "jumps": played.jumps,
        "cpu_s": round(cpu_s, 1),
    }


def run(e2e_seconds: float = 60.0) -> dict[str, Any]:
    """The worst scenario decides each figure; `offset_stable_p99_ms` is of those with a stable floor.

    `e2e_*`: of `e2e_seconds` in real time, as `e2e.measure` tells; absent for 0.
    """
    real = e2e.measure(e2e_seconds) if e2e_seconds else {}
    scenarios = {}
    for name, scenario in SCENARIOS.items():
        began = time.process_time()
        played = play(scenario)
        scenarios[name] = _figures(played, time.process_time() - began)
    stable = [figures["p99_ms"] for name, figures in scenarios.items() if SCENARIOS[name].stable_floor]
    return {
        "simulated_s": WORKING_DAY_S,
        "offset_p99_ms": max(figures["p99_ms"] for figures in scenarios.values()),
        "offset_stable_p99_ms": max(stable),
        "offset_max_ms": max(figures["max_ms"] for figures in scenarios.values()),
        "back_below_20ms_s": max(figures["back_below_20ms_s"] for figures in scenarios.values()),
        **{f"e2e_{name}": value for name, value in real.items()},
        "scenarios": scenarios,
    }
