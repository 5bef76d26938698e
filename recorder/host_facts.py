"""What a room host tells of itself: disk, temperature."""

from __future__ import annotations

import shutil
from pathlib import Path

_SYS = Path("/sys")
_SENSORS = ("class/thermal/thermal_zone*/temp", "class/hwmon/hwmon*/temp*_input")
# Sensors that are not connected report the ends of their scale.
_PLAUSIBLE_C = (1.0, 150.0)


def disk_free_bytes(directory: Path) -> int | None:
    """What this user may still write there; None where it cannot be asked."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def temperature_c(sys: Path = _SYS) -> float | None:
    """The hottest sensor; None where there is none, as in virtual machines."""
    found = []
    for pattern in _SENSORS:
        for path in sys.glob(pattern):
            try:
                degrees = int(path.read_text("ascii")) / 1000
            except (OSError, ValueError):
                continue
            if _PLAUSIBLE_C[0] <= degrees <= _PLAUSIBLE_C[1]:
                found.append(degrees)
    return max(found, default=None)
