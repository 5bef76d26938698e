"""What a month of seven rooms costs: reckoned from its segments, and read as in service, where figures of
past days are kept. The ratio is what keeping them is worth. Each is processor time, the best of several.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from archive import day_figures, month
from archive.system import Archive
from bench.archive_rows import open_archive
from bench.month_rows import fill_month
from recorder.instants import parse_instant

_MONTH = date(2026, 11, 1)
# A Friday afternoon: seven rooms record, and today's figures are kept by nobody.
_NOW_US = parse_instant("2026-11-27T14:05:00+02:00")
_TIMES = 10


def run(url: str | None = None) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="protokol-month-"))
    try:
        archive = open_archive(directory, url)
        fill_month(archive, _MONTH, _NOW_US)
        reckoned_ms = _best_ms(archive)
        kept = day_figures.settle(archive, _NOW_US)
        kept_ms = _best_ms(archive)
        database = archive.database.engine.dialect.name
        archive.close()
        return {
            "database": database,
            "days_kept": kept,
            "month_reckoned_ms": reckoned_ms,
            "month_kept_ms": kept_ms,
            "ratio_kept_vs_reckoned": round(kept_ms / reckoned_ms, 3),
        }
    finally:
        shutil.rmtree(directory)


def _best_ms(archive: Archive) -> float:
    took = []
    for _ in range(_TIMES):
        began = time.process_time()
        with archive.database.reading() as session:
            rooms = month.read(session, archive.configurations, _MONTH, _NOW_US)
        took.append(time.process_time() - began)
        assert len(rooms) == 7, "not every room"
    return round(min(took) * 1000, 1)
