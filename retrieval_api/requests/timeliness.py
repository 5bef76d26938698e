"""How many requests were answered on time: numbers of a month, of nobody in particular.

A request belongs to the month in which it was registered. What counts is its first decision: an appeal that
reopens it takes nothing back. Withdrawn ones are not counted: nobody waits for their answer, and a number
of them would tell of a single person's step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import CustodyEvent, Request
from recorder.intervals import Interval
from retrieval_api.requests.states import Status

_DECISIONS = ("request_approved", "request_refused", "request_not_found")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Timeliness:
    """`registered` is the sum of the others. `overdue`: no answer, and its time is over."""

    on_time: int = 0
    late: int = 0
    overdue: int = 0
    in_term: int = 0

    @property
    def registered(self) -> int:
        return self.on_time + self.late + self.overdue + self.in_term

    @property
    def due(self) -> int:
        """Those that were to be answered by now, or were before."""
        return self.registered - self.in_term


@dataclass(frozen=True, slots=True)
class Asked:
    """`decided_us` is the first decision, if there was one."""

    due_us: int
    decided_us: int | None
    withdrawn: bool = False


def count(requests: Iterable[Asked], as_of_us: int) -> Timeliness:
    """As it stood at `as_of_us`: what was decided later was not decided. Pure."""
    on_time = late = overdue = in_term = 0
    for each in requests:
        if each.decided_us is not None and each.decided_us <= as_of_us:
            on_time += each.decided_us < each.due_us
            late += each.decided_us >= each.due_us
        elif each.withdrawn:
            continue
        elif each.due_us <= as_of_us:
            overdue += 1
        else:
            in_term += 1
    return Timeliness(on_time, late, overdue, in_term)


def registered_in(session: Session, period: Interval, as_of_us: int) -> Timeliness:
    """Of the requests registered in the period."""
    rows = session.execute(
        select(Request.number, Request.status, Request.answer_due_us, Request.decided_us).where(
            Request.created_us >= period.start_us, Request.created_us < period.end_us
        )
    ).all()
    first = dict(_first_decisions(session, [row.number for row in rows]))
    return count(
        (
            Asked(
                row.answer_due_us,
                first.get(row.number, row.decided_us),
                row.status == Status.WITHDRAWN.value,
            )
            for row in rows
        ),
        as_of_us,
    )


def _first_decisions(session: Session, numbers: list[str]) -> Iterator[tuple[str, int]]:
    """From the custody log, which remembers what a reopened request does not."""
    subjects = [f"request:{number}" for number in numbers]
    for start in range(0, len(subjects), _AT_ONCE):
        rows = session.execute(
            select(CustodyEvent.subject, func.min(CustodyEvent.at_us))
            .where(
                CustodyEvent.subject.in_(subjects[start : start + _AT_ONCE]),
                CustodyEvent.action.in_(_DECISIONS),
            )
            .group_by(CustodyEvent.subject)
        )
        for subject, at_us in rows:
            yield str(subject).removeprefix("request:"), at_us
