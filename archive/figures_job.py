"""The job that keeps figures of past days: once an hour for all server processes, whichever comes to it."""

from __future__ import annotations

from collections.abc import Callable

from archive import day_figures, jobs
from archive.job_worker import Handler, Work
from archive.system import Archive
from recorder.instants import format_instant

KIND = "figures"


def ask(archive: Archive, now_us: int) -> None:
    """Insert the job of this hour of UTC, if nobody has. Raises SQLAlchemyError."""
    with archive.database.transaction() as session:
        jobs.enqueue(session, KIND, f"{KIND}:{format_instant(now_us)[:13]}", now_us)


def handler(archive: Archive, clock: Callable[[], int]) -> Handler:
    """For a job worker. A later run does all that an earlier one has not."""

    def run(work: Work) -> None:
        day_figures.settle(archive, clock(), progress=work.progress)

    return Handler(run, supersedes=True)
