"""Purge: irreversible destruction of due room-days, safe to be killed between any two steps.

Per due room-day, one transaction gives each held object a key of its own and replaces the other rows by a
tombstone; only then the day's key is destroyed, then objects are unlinked, and only then the certificate is
signed. What a killed run left behind (keys of purged days, garbage rows, tombstones without a certificate) is
itself the list of what the next run has to finish.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from archive import ballast, custody, derived, proofs, room_days
from archive.job_failure import Failure, failure_of
from archive.models import Gap, Garbage, Quarantine, Segment, Tombstone
from archive.store import ObjectMissingError, StoreError
from archive.system import Archive
from recorder import instants
from recorder.errors import ProtokolError
from recorder.logging import get_logger
from retention import certificate, clock, facts, frozen, policy, shred, strays, tombstone
from retention.clock import Clock
from retention.errors import ConfirmationError, PurgeError

# Called with the name of each step, between it and the next one: tests kill the process there.
Fault = Callable[[str], None]
STEPS = (
    "locked",  # inside the day's transaction, nothing written
    "retained",  # held objects have keys of their own, besides the day's
    "written",  # rows replaced, not committed
    "committed",  # day purged, its objects still there
    "shredded",  # the day's key is gone: what is destroyed can be read nowhere, backups included
    "unlinked",  # objects gone, garbage rows still there
    "swept",  # garbage rows gone, no certificate
    "signed",  # certificate written, not committed
    "certified",  # all done
)
# Of 10 KB each: some milliseconds of the database's one writer.
_LEAVES_AT_ONCE = 100
# Whoever waits for SQLite's one writer looks each 5 ms (archive.sqlite): between two transactions of a purge
# there is time for everybody.
_GIVE_WAY_S = 0.01
_log = get_logger()


def no_fault(step: str) -> None:
    """Steps of a purge in service are nobody's business."""


@dataclass(frozen=True, slots=True)
class PurgedDay:
    """A room-day as this run left it."""

    room: str
    date: str
    destroyed: policy.Amount
    kept: tuple[policy.Kept, ...]


@dataclass(slots=True)
class Report:
    """What a run did. `strays` are objects of purged days that no row named. `failures` is empty unless
    something could not be finished; one line each, and its kind in `causes`.
    """

    now_us: int
    plan_sha256: str = ""
    days: list[PurgedDay] = field(default_factory=list)
    certificates: list[int] = field(default_factory=list)
    strays: int = 0
    failures: list[str] = field(default_factory=list)
    causes: list[Failure] = field(default_factory=list)

    @property
    def destroyed(self) -> policy.Amount:
        return sum((day.destroyed for day in self.days), policy.Amount())


def plan(
    archive: Archive,
    now_us: int | None = None,
    *,
    system_clock: Callable[[], int] = instants.now_us,
    totals: bool = True,
) -> policy.Plan:
    """What a run would do now, or at `now_us` in a demo archive. Changes nothing. Raises ClockError.

    Without `totals`, what the archive holds is counted only where the guard asks for it: the cost is then
    that of the days that are due, however much is stored.
    """
    with archive.database.reading() as session:
        told = clock.read(session, archive, now_us, system_clock)
        zone = archive.timezone(session)
        made = policy.plan(*facts.read(session, zone, told.now_us, totals=totals), told.now_us)
        if made.overdue and not totals:
            made = policy.plan(*facts.read(session, zone, told.now_us), told.now_us)
    return made


@ballast.lent
def run(
    archive: Archive,
    *,
    actor: str,
    now_us: int | None = None,
    confirm: str | None = None,
    fault: Fault = no_fault,
    system_clock: Callable[[], int] = instants.now_us,
) -> Report:
    """Finish what an earlier run left, then destroy what is due and certify it.

    On return every object of a certified day is gone durably. A day that fails does not stop the
    others: it is told in `failures`, and the next run tries again. `now_us` is for demo archives.

    Raises ClockError, and ConfirmationError when more than half of the archive would go without
    `confirm` being the plan's digest, or `confirm` is another plan's. What an earlier run left is
    finished even then: its destruction was decided. Raises ConfirmationError too, before anything, while the
    holds of a rebuilt index are unconfirmed, and PurgeError for a store that is not this archive's.
    """
    with archive.database.reading() as session:
        told = clock.read(session, archive, now_us, system_clock)
        frozen.require_confirmed(session)
        _require_store(session, archive)
    report = Report(told.now_us)
    _finish(archive, told, report, actor, fault)
    made = plan(archive, now_us, system_clock=system_clock, totals=False)
    report.plan_sha256 = made.digest
    _require_confirmation(made, confirm)
    for decision in made.acting:
        with _isolated(report, f"{decision.room} {decision.date}"):
            day = _purge_day(archive, decision, made.digest, told, actor, fault)
            if day is not None:
                report.days.append(day)
                _log.info(
                    "room_day_purged",
                    room=day.room,
                    date=day.date,
                    objects=day.destroyed.objects,
                    size_bytes=day.destroyed.size_bytes,
                    kept=len(day.kept),
                )
        _finish(archive, told, report, actor, fault, day=(decision.room, decision.date))
    with _isolated(report, "strays"):
        _purge_strays(archive, told, report, actor, fault)
    with _isolated(report, "records"), archive.database.reading() as session:
        # Last, when a full disk has room again: what a hold of a moment without the store has left out.
        archive.records.sync(session)
        proofs.sync(archive.records, session)
    return report


def _require_store(session: Session, archive: Archive) -> None:
    """Raises PurgeError where nothing that the index names is in the store: a directory that is not mounted
    looks like that, and a held object that cannot be looked at would lose its key with its day.
    """
    name = session.scalar(select(Segment.object_name).limit(1))
    name = name or session.scalar(select(Quarantine.object_name).limit(1))
    try:
        if name is None or archive.records.any_rooms(session):
            return
        archive.store.raw.open(name).close()
    except ObjectMissingError as error:
        raise PurgeError(
            "the store has nothing that the index names: is it mounted, and the one that "
            "PROTOKOL_STORE_URL names? Nothing was destroyed"
        ) from error
    except StoreError as error:
        # Away: a day with held objects fails by itself, and the keys of the others need no store.
        _log.warning("store_away", error=error)


def _require_confirmation(made: policy.Plan, confirm: str | None) -> None:
    if confirm is not None and confirm != made.digest:
        raise ConfirmationError(
            f"the plan is {made.digest} now, not {confirm[:64]}: something fell due, was held or was let "
            "go since; look at `protokol retention plan` again"
        )
    if made.needs_confirmation and confirm is None:
        raise ConfirmationError(
            f"this run would destroy {made.destroyed.objects} of {made.total.objects} objects, "
            f"{made.destroyed.size_bytes} of {made.total.size_bytes} bytes, on {made.days_destroyed} of "
            f"{made.days_total} room-days: more than half of the archive. Check the clock and "
            f"`protokol retention plan`, then run with --confirm {made.digest}"
        )


@contextmanager
def _writing(archive: Archive) -> Iterator[Session]:
    """A writing transaction, after which ingest comes first."""
    with archive.database.transaction() as session:
        yield session
    if archive.database.is_sqlite:
        time.sleep(_GIVE_WAY_S)


@contextmanager
def _isolated(report: Report, what: str) -> Iterator[None]:
    """One day's failure is told and must not keep the other days from their purge."""
    try:
        yield
    except (ProtokolError, SQLAlchemyError, OSError) as error:
        _log.error("purge_failed", what=what, error=error)
        report.failures.append(f"{what}: {error}")
        report.causes.append(failure_of(error))


def _purge_day(
    archive: Archive, decision: policy.Decision, plan_sha256: str, told: Clock, actor: str, fault: Fault
) -> PurgedDay | None:
    """The day's one transaction. None when, under the lock, there is nothing to do any more."""
    room, date = decision.room, decision.date
    prepared = shred.prepare(archive, decision)
    with _writing(archive) as session:
        locked = room_days.lock(session, archive.configurations, [(room, date)])
        day = locked[room, date]
        fault("locked")
        # Decided again: a hold placed, or a segment accepted, since the plan counts.
        known = facts.read_day(session, day, archive.timezone(session))
        again = policy.decide(known, facts.holds_of(session, room), told.now_us)
        if not again.acts:
            return None
        shred.retain(session, archive, again, prepared)
        fault("retained")
        row = tombstone.bury(
            session, day, again, plan_sha256=plan_sha256, clock=told.kind, now_us=told.now_us
        )
        amount = again.destroyed
        custody.append(
            session,
            custody.Event(
                "purged",
                actor,
                told.now_us,
                room=room,
                date=date,
                subject=f"tombstone:{row.id}",
                details={
                    "objects": amount.objects,
                    "size_bytes": amount.size_bytes,
                    "kept": len(again.keep),
                    "clock": told.kind,
                    "plan_sha256": plan_sha256,
                },
            ),
        )
        fault("written")
    fault("committed")
    return PurgedDay(room, date, amount, again.keep)


def _finish(
    archive: Archive,
    told: Clock,
    report: Report,
    actor: str,
    fault: Fault,
    *,
    day: tuple[str, str] | None = None,
) -> None:
    """Destroy keys, unlink garbage, drop its rows and what else is left of them, certify: of one room-day, or
    whatever any run left.

    Each step is idempotent. No day whose key could not be destroyed is certified.
    """
    pending = (
        select(Tombstone.id, Tombstone.room, Tombstone.date)
        .where(Tombstone.certificate_id.is_(None))
        .order_by(Tombstone.id)
    )
    garbage = select(Garbage.room, Garbage.date).distinct()
    if day is not None:
        pending = pending.where(Tombstone.room == day[0], Tombstone.date == day[1])
        garbage = garbage.where(Garbage.room == day[0], Garbage.date == day[1])
    with archive.database.reading() as session:
        # Tombstones before garbage: the garbage of each tombstone seen here is seen too.
        tombstones = [(number, (room, date)) for number, room, date in session.execute(pending)]
        littered = {(room, date) for room, date in session.execute(garbage)}
    keyless = set()
    for room, date in sorted({each for _, each in tombstones} | littered | _keyed(archive, report, day)):
        with _isolated(report, f"{room} {date}"):
            if shred.destroy(archive, room, date, told.now_us):
                fault("shredded")
            keyless.add((room, date))
            if (room, date) in littered:
                _unlink(archive, room, date, fault)
    for tombstone_id, of_day in tombstones:
        if of_day not in keyless:
            continue
        with _isolated(report, f"tombstone {tombstone_id}"):
            _strip(archive, tombstone_id)
            with _writing(archive) as session:
                number = certificate.issue(session, archive, tombstone_id, actor=actor, now_us=told.now_us)
                fault("signed")
            if number is not None:
                report.certificates.append(number)
                fault("certified")
                with archive.database.reading() as session:
                    proofs.keep_certificate(archive.records, session, number)


def _keyed(archive: Archive, report: Report, day: tuple[str, str] | None) -> set[tuple[str, str]]:
    """Purged room-days of which keys are left: of a run that was killed, or of a backup that was put back."""
    found: set[tuple[str, str]] = set()
    if day is None:
        with _isolated(report, "keys of purged days"):
            found = shred.left(archive)
    return found


def _strip(archive: Archive, tombstone_id: int) -> None:
    """What `tombstone.leaves` tells of what a tombstone buried, a few at a time: ingest comes in between."""
    with archive.database.reading() as session:
        left = tombstone.leaves(session, tombstone_id)
    for start in range(0, len(left), _LEAVES_AT_ONCE):
        with _writing(archive) as session:
            tombstone.strip(session, left[start : start + _LEAVES_AT_ONCE])


def _unlink(archive: Archive, room: str, date: str, fault: Fault) -> None:
    """Objects first, rows after: a crash in between leaves rows, and unlinking again is no error.

    Raises PurgeError, after the rest is done, for garbage that a row needs. A refused segment that was
    registered while its object was taken for a stray looks like that: the row wins, for it is purged
    by the next run with a tombstone; and an index that contradicts itself must never cost footage.
    """
    with archive.database.reading() as session:
        listed = select(Garbage.object_name).where(Garbage.room == room, Garbage.date == date)
        names = list(session.scalars(listed))
        needed: set[str] = set()
        for batch in facts.batches({derived.owner_of(name) for name in names}):
            for table in (Segment, Gap, Quarantine):
                found = select(table.object_name).where(table.object_name.in_(batch))
                needed.update(name for name in session.scalars(found) if name is not None)
    # What was made of a segment goes with it, whether or not a row ever told of it.
    archive.store.delete(derived.with_theirs(name for name in names if derived.owner_of(name) not in needed))
    fault("unlinked")
    with _writing(archive) as session:
        for batch in facts.batches(names):
            session.execute(delete(Garbage).where(Garbage.object_name.in_(batch)))
    fault("swept")
    if needed:
        raise PurgeError(f"{len(needed)} objects were garbage but needed, and stay; first {min(needed)}")


def _purge_strays(archive: Archive, told: Clock, report: Report, actor: str, fault: Fault) -> None:
    for day, names in strays.find(archive, told.now_us).items():
        with _isolated(report, f"strays of {day[0]} {day[1]}"):
            with _writing(archive) as session:
                report.strays += strays.bury(session, archive, day, names, actor=actor, now_us=told.now_us)
            _finish(archive, told, report, actor, fault, day=day)
