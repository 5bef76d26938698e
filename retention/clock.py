"""What time it is for a purge: two clocks that agree, or a stated time in a demo archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from archive.system import Archive
from recorder import instants
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from retention.errors import ClockError

# Footage is kept a month: minutes decide nothing, but a clock that is off by more is not to be trusted
# with an irreversible act.
MAX_DISAGREEMENT_US = 5 * US_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Clock:
    """`kind` is `system`, or `given` where a demo archive was told the time; certificates say which."""

    now_us: int
    kind: str


def read(
    session: Session,
    archive: Archive,
    given_us: int | None = None,
    system_clock: Callable[[], int] = instants.now_us,
) -> Clock:
    """The instant by which the system's and the database's clock both say that something is due.

    That is the earlier of the two. Raises ClockError when they are more than MAX_DISAGREEMENT_US
    apart, or when a time is given and the archive was not created as a demo.
    """
    if given_us is not None:
        if not archive.is_demo(session):
            raise ClockError("--now is for archives that were created as a demo; this one goes by its clocks")
        return Clock(given_us, "given")
    system_us, database_us = system_clock(), _database_clock_us(session, archive)
    if abs(system_us - database_us) > MAX_DISAGREEMENT_US:
        apart = abs(system_us - database_us) // US_PER_SECOND
        raise ClockError(
            f"the system's and the database's clock are {apart} s apart; nothing is destroyed until "
            "both are set right (timedatectl)"
        )
    return Clock(min(system_us, database_us), "system")


def _database_clock_us(session: Session, archive: Archive) -> int:
    """SQLite tells whole seconds, cut off: at most 1 s early, never late, and right at a midnight."""
    if archive.database.is_sqlite:
        return int(session.execute(text("SELECT strftime('%s', 'now')")).scalar_one()) * US_PER_SECOND
    query = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")
    return int(session.execute(query).scalar_one())
