"""Public figures as open data: CSV (RFC 4180) and JSON with names that stay. Pure.

Times are whole seconds that add up: planned = recorded + missing + unknown, and the gaps of a room and month
make its missing seconds. Columns may be added at the end, and none is renamed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from recorder.instants import US_PER_SECOND
from retrieval_api.public_figures import MonthFigures, RoomFigures

RECORDING: Final = (
    "month", "through", "room", "label", "planned_s", "recorded_s", "missing_s", "unknown_s", "no_picture_s",
    "no_sound_s",
)  # fmt: skip
GAPS: Final = ("month", "room", "cause", "gaps", "missing_s")
REQUESTS: Final = (
    "month", "through", "registered", "answered_on_time", "answered_late", "overdue", "in_term",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def whole_seconds(parts_us: Sequence[int]) -> list[int]:
    """Each within a second of its part, and together the whole rounded: those cut most get a second more."""
    seconds = [part // US_PER_SECOND for part in parts_us]
    left = round(sum(parts_us) / US_PER_SECOND) - sum(seconds)
    by_rest = sorted(range(len(parts_us)), key=lambda place: -(parts_us[place] % US_PER_SECOND))
    for place in by_rest[:left]:
        seconds[place] += 1
    return seconds


def recording_csv(months: Iterable[MonthFigures]) -> bytes:
    rows = (room for each in months for room in _recording(each))
    return _csv(RECORDING, rows)


def gaps_csv(months: Iterable[MonthFigures]) -> bytes:
    rows = (
        {"month": _month(each), "room": room.room, **gap}
        for each in months
        for room in each.rooms
        for gap in _room(room)["gaps"]
    )
    return _csv(GAPS, rows)


def requests_csv(months: Iterable[MonthFigures]) -> bytes:
    rows = (
        {"month": _month(each), "through": each.through.isoformat(), **_requests(each)} for each in months
    )
    return _csv(REQUESTS, rows)


def document(months: Iterable[MonthFigures], timezone: str) -> dict[str, Any]:
    return {
        "timezone": timezone,
        "months": [
            {
                "month": _month(each),
                "through": each.through.isoformat(),
                "complete": each.is_complete,
                "rooms": [_room(room) for room in each.rooms],
                "requests": _requests(each),
            }
            for each in months
        ],
    }


def _month(each: MonthFigures) -> str:
    return f"{each.month:%Y-%m}"


def _recording(each: MonthFigures) -> Iterable[dict[str, Any]]:
    for room in each.rooms:
        told = _room(room)
        del told["gaps"]
        yield {"month": _month(each), "through": each.through.isoformat(), **told}


def _room(room: RoomFigures) -> dict[str, Any]:
    figures = room.figures
    causes = [each.missing_us for each in figures.causes.values()]
    recorded_s, unknown_s, *missing_s = whole_seconds([figures.recorded_us, figures.unknown_us, *causes])
    return {
        "room": room.room,
        "label": room.label,
        "planned_s": recorded_s + unknown_s + sum(missing_s),
        "recorded_s": recorded_s,
        "missing_s": sum(missing_s),
        "unknown_s": unknown_s,
        "no_picture_s": round(figures.no_picture_us / US_PER_SECOND),
        "no_sound_s": round(figures.no_sound_us / US_PER_SECOND),
        "gaps": [
            {"cause": code, "gaps": cause.count, "missing_s": seconds}
            for (code, cause), seconds in zip(figures.causes.items(), missing_s, strict=True)
        ],
    }


def _requests(each: MonthFigures) -> dict[str, int]:
    requests = each.requests
    return {
        "registered": requests.registered,
        "answered_on_time": requests.on_time,
        "answered_late": requests.late,
        "overdue": requests.overdue,
        "in_term": requests.in_term,
    }


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """UTF-8, a header, lines that end in CR LF."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    """Text that is no formula in any spreadsheet; numbers are never text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
