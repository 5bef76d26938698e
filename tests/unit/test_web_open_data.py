"""Open data: seconds that add up, and text that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.figures import Cause, Figures
from recorder.instants import US_PER_SECOND
from retrieval_api import open_data
from retrieval_api.public_figures import MonthFigures, RoomFigures
from retrieval_api.requests.timeliness import Asked, Timeliness, count

MONTH = date(2026, 11, 1)


def rows(content: bytes) -> list[dict[str, str]]:
    assert b"\r\n" in content
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=8))
def test_whole_seconds_make_the_rounded_whole(parts_us) -> None:
    seconds = open_data.whole_seconds(parts_us)
    assert sum(seconds) == round(sum(parts_us) / US_PER_SECOND)
    assert all(
        abs(each * US_PER_SECOND - part) < US_PER_SECOND for each, part in zip(seconds, parts_us, strict=True)
    )


causes = st.dictionaries(
    st.sampled_from(["opening", "restart", "power_lost"]),
    st.builds(Cause, st.integers(1, 9), st.integers(1, 10**10)),
)


@given(st.integers(0, 10**13), st.integers(0, 10**9), causes)
def test_files_agree_with_each_other(recorded_us, unknown_us, causes) -> None:
    missing_us = sum(each.missing_us for each in causes.values())
    figures = Figures(
        recorded_us + unknown_us + missing_us, recorded_us, missing_us, 0, unknown_us, causes=causes
    )
    months = [MonthFigures(MONTH, date(2026, 11, 30), (RoomFigures("108", "108", figures),), Timeliness())]
    (recording,) = rows(open_data.recording_csv(months))
    gaps = rows(open_data.gaps_csv(months))
    planned, recorded, missing, unknown = (
        int(recording[f"{name}_s"]) for name in ("planned", "recorded", "missing", "unknown")
    )
    assert planned == recorded + missing + unknown
    assert missing == sum(int(each["missing_s"]) for each in gaps)
    told = open_data.document(months, "Europe/Kyiv")["months"][0]
    assert told["complete"]
    assert told["rooms"][0]["missing_s"] == missing
    assert [each["cause"] for each in gaps] == list(causes)


@pytest.mark.parametrize("label", ["=1+1", "+380", "-2", "@SUM(A1)", "\t=1", "\r\n=1"])
def test_a_label_is_never_a_formula(label) -> None:
    months = [MonthFigures(MONTH, MONTH, (RoomFigures("108", label, Figures()),), Timeliness())]
    (row,) = rows(open_data.recording_csv(months))
    assert row["label"] == f"'{label}"
    hall = MonthFigures(MONTH, MONTH, (RoomFigures("hall", 'зал "А", малий', Figures()),), Timeliness())
    assert rows(open_data.recording_csv([hall]))[0]["label"] == 'зал "А", малий'


def test_a_request_is_on_time_late_overdue_or_in_its_term() -> None:
    asked = [
        Asked(due_us=100, decided_us=99),
        Asked(due_us=100, decided_us=100),
        Asked(due_us=100, decided_us=None),
        Asked(due_us=300, decided_us=None),
        # Decided after the moment that is told of: still overdue then.
        Asked(due_us=100, decided_us=201),
        # Nobody waits for it any more; an answer that came before it counts.
        Asked(due_us=100, decided_us=None, withdrawn=True),
        Asked(due_us=100, decided_us=50, withdrawn=True),
    ]
    found = count(asked, as_of_us=200)
    assert found == Timeliness(on_time=2, late=1, overdue=2, in_term=1)
    assert (found.registered, found.due) == (6, 5)
