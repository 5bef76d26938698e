"""Jobs: work that is done once, by whichever process leases it, tried again when it fails, and shown when it
fails for good.

A lease is proved by its owner and the number of the attempt: whoever was taken over (a machine that slept, a
process that was thought dead) can neither renew, nor finish, nor fail what another one works at by now. A job
may still run twice, in part: handlers are idempotent.

Every function works in the caller's writing transaction, takes one job's row lock, and is durable when that
transaction commits.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from archive import custody
from archive.inserting import insert_missing
from archive.job_failure import Failure
from archive.models import Job
from recorder.errors import ProtokolError
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND

State = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
# A worker renews each third of this; a dead one's job waits this long at most.
LEASE_US = US_PER_MINUTE
MAX_ATTEMPTS = 5
_FIRST_BACKOFF_US = 10 * US_PER_SECOND
_LONGEST_BACKOFF_US = 60 * US_PER_MINUTE
_PUT_OFF_US = US_PER_MINUTE
# As long as anybody asks what became of it; a key may come again after that, and none does.
_KEPT_US = 30 * US_PER_DAY
_MAX_ERROR = 500


class JobError(ProtokolError):
    """A job does not exist, or is in no state for what is asked of it."""


class LeaseLostError(ProtokolError):
    """Another worker has the job by now, or it was ended: what this one did for it counts no more."""


class JobCancelledError(ProtokolError):
    """Somebody has asked for the end of the job that is running."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A job as its worker got it. `attempt` counts from 1."""

    id: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempt: int
    owner: str


def enqueue(
    session: Session,
    kind: str,
    key: str,
    now_us: int,
    *,
    payload: Mapping[str, Any] | None = None,
    not_before_us: int | None = None,
    max_attempts: int = MAX_ATTEMPTS,
) -> bool:
    """Insert the job unless its key was ever inserted; whether it was now."""
    job = Job(
        key=key,
        kind=kind,
        payload=json.dumps(payload or {}),
        state="queued",
        not_before_us=now_us if not_before_us is None else not_before_us,
        attempts=0,
        max_attempts=max_attempts,
        created_us=now_us,
    )
    return insert_missing(session, job)


def is_waiting(session: Session, now_us: int, kinds: Collection[str]) -> bool:
    """Whether `lease` would have something to do; locks nothing."""
    return session.scalar(select(Job.id).where(_leasable(now_us, kinds)).limit(1)) is not None


def lease(
    session: Session, now_us: int, owner: str, kinds: Collection[str], lease_us: int = LEASE_US
) -> Lease | None:
    """The oldest job of these kinds that may begin, leased until `now_us + lease_us`; None without one.

    Leases that have run out are taken over; a job whose workers died at every attempt becomes a dead letter,
    for it may be what kills them.
    """
    statement = (
        select(Job)
        .where(_leasable(now_us, kinds))
        .order_by(Job.not_before_us, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while (job := session.scalars(statement).one_or_none()) is not None:
        if job.cancel_asked:
            _end(job, "cancelled", now_us)
        elif job.attempts >= job.max_attempts:
            job.last_error = f"the worker ended without a word at attempt {job.attempts}"
            job.failure = "worker_died"
            _end(job, "failed", now_us)
        else:
            job.state, job.lease_owner, job.lease_until_us = "running", owner, now_us + lease_us
            job.attempts += 1
            session.flush()
            return Lease(job.id, job.kind, job.key, json.loads(job.payload), job.attempts, owner)
        session.flush()
    return None


def renew(session: Session, held: Lease, now_us: int, lease_us: int = LEASE_US) -> None:
    """Keep the lease until `now_us + lease_us`. Raises LeaseLostError, JobCancelledError."""
    job = _held(session, held)
    if job.cancel_asked:
        raise JobCancelledError(f"job {held.id} was cancelled")
    job.lease_until_us = now_us + lease_us


def progress(session: Session, held: Lease, done: int, total: int) -> None:
    """Tell how far the job is. Raises LeaseLostError, JobCancelledError."""
    job = _held(session, held)
    if job.cancel_asked:
        raise JobCancelledError(f"job {held.id} was cancelled")
    job.progress_done, job.progress_total = done, total


def finish(session: Session, held: Lease, now_us: int, *, supersedes: bool = False) -> None:
    """The job is done. With `supersedes`, earlier dead letters of its kind are settled by it. Raises
    LeaseLostError.
    """
    _end(_held(session, held), "done", now_us)
    if supersedes:
        _settle_earlier(session, held)


def drop(session: Session, held: Lease) -> None:
    """The job is done, and what it made tells so: its key may come again. Raises LeaseLostError."""
    session.delete(_held(session, held))


def fail(
    session: Session,
    held: Lease,
    error: str,
    now_us: int,
    *,
    chance: float,
    failure: Failure = "other",
    for_good: bool = False,
    supersedes: bool = False,
) -> State:
    """Queue the job again after its back-off; `for_good`, or after the last attempt, it is a dead letter.

    With `supersedes`, it is then the only one of its kind: what fails each hour is one thing to mend, not
    twenty-four a day. `chance` in [0, 1) is the jitter's. Returns the new state. Raises LeaseLostError.
    """
    job = _held(session, held)
    job.last_error, job.failure = error[:_MAX_ERROR], failure
    if job.cancel_asked:
        _end(job, "cancelled", now_us)
        return "cancelled"
    if for_good or job.attempts >= job.max_attempts:
        _end(job, "failed", now_us)
        if supersedes:
            _settle_earlier(session, held)
        return "failed"
    _queue(job, now_us + backoff_us(job.attempts, chance))
    return "queued"


def give_back(session: Session, held: Lease, now_us: int) -> None:
    """The worker stops: the job waits for another one, and this attempt does not count. Raises
    LeaseLostError.
    """
    job = _held(session, held)
    job.attempts -= 1
    _queue(job, now_us)


def put_off(session: Session, held: Lease, error: str, now_us: int, *, failure: Failure) -> None:
    """What the job needs is away: it waits for a minute, and this attempt does not count. Raises
    LeaseLostError.
    """
    give_back(session, held, now_us + _PUT_OFF_US)
    job = session.get_one(Job, held.id)
    job.last_error, job.failure = error[:_MAX_ERROR], failure


def end_cancelled(session: Session, held: Lease, now_us: int) -> None:
    """The worker has seen that the job was cancelled. Raises LeaseLostError."""
    _end(_held(session, held), "cancelled", now_us)


def cancel(session: Session, job_id: int, actor: str, now_us: int) -> State:
    """End a queued job at once; ask for the end of a running one, which its worker sees when it next tells
    its progress; settle a dead letter that nobody needs any more. Returns the state after it. Raises
    JobError for one that is done or cancelled, or never was.
    """
    job = _locked(session, job_id)
    if job.state in {"done", "cancelled"}:
        raise JobError(f"job {job_id} is {job.state} already")
    if job.state == "running":
        job.cancel_asked = True
    else:
        _end(job, "cancelled", now_us)
    return _told(session, job, "job_cancelled", actor, now_us)


def retry(session: Session, job_id: int, actor: str, now_us: int) -> State:
    """Queue a dead letter or a cancelled job anew, with all its attempts. Raises JobError for any other."""
    job = _locked(session, job_id)
    if job.state not in {"failed", "cancelled"}:
        raise JobError(f"job {job_id} is {job.state}; only one that failed or was cancelled is tried again")
    job.attempts, job.finished_us, job.cancel_asked = 0, None, False
    _queue(job, now_us)
    return _told(session, job, "job_retried", actor, now_us)


def forget(session: Session, now_us: int) -> None:
    """Delete what was done or cancelled a month ago; dead letters stay until somebody has looked."""
    over = Job.state.in_(("done", "cancelled")) & (Job.finished_us <= now_us - _KEPT_US)
    session.execute(delete(Job).where(over))


def counts(session: Session) -> dict[State, int]:
    found = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    return {state: next((count for each, count in found if each == state), 0) for state in STATES}


def dead_letters(session: Session) -> dict[str, int]:
    """Kind → how many jobs of it have failed for good; only kinds with any, by name."""
    statement = select(Job.kind, func.count()).where(Job.state == "failed").group_by(Job.kind)
    return dict(session.execute(statement.order_by(Job.kind)).all())


def shown(session: Session, limit: int = 100) -> list[Job]:
    """Dead letters first, then what runs, waits, and was over last."""
    out: list[Job] = []
    for state in ("failed", "running", "queued"):
        out += session.scalars(select(Job).where(Job.state == state).order_by(Job.id.desc()).limit(limit))
    over = select(Job).where(Job.state.in_(("done", "cancelled")))
    out += session.scalars(over.order_by(Job.finished_us.desc(), Job.id.desc()).limit(limit))
    return out[:limit]


def backoff_us(attempt: int, chance: float) -> int:
    """How long to wait after attempt number `attempt` (from 1) failed: 10 s, doubled each time up to an hour,
    of which between half and all is waited, so that what failed together does not come again together.
    """
    whole = min(_FIRST_BACKOFF_US << min(attempt - 1, 20), _LONGEST_BACKOFF_US)
    return whole // 2 + int(chance * (whole // 2))


def _leasable(now_us: int, kinds: Collection[str]) -> ColumnElement[bool]:
    return and_(
        Job.kind.in_(sorted(kinds)),
        or_(
            and_(Job.state == "queued", Job.not_before_us <= now_us),
            and_(Job.state == "running", Job.lease_until_us <= now_us),
        ),
    )


def _held(session: Session, held: Lease) -> Job:
    job = session.get(Job, held.id, with_for_update=True)
    if job is None or (job.state, job.lease_owner, job.attempts) != ("running", held.owner, held.attempt):
        raise LeaseLostError(f"the lease of job {held.id} ({held.key}) was lost")
    return job


def _locked(session: Session, job_id: int) -> Job:
    job = session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise JobError(f"there is no job {job_id}; `protokol archive jobs` shows all")
    return job


def _settle_earlier(session: Session, held: Lease) -> None:
    session.flush()
    earlier = update(Job).where(Job.kind == held.kind, Job.state == "failed", Job.id < held.id)
    session.execute(earlier.values(state="cancelled"))


def _queue(job: Job, not_before_us: int) -> None:
    job.state, job.not_before_us = "queued", not_before_us
    job.lease_owner = job.lease_until_us = None


def _end(job: Job, state: State, now_us: int) -> None:
    job.state, job.finished_us = state, now_us
    job.lease_owner = job.lease_until_us = None


def _told(session: Session, job: Job, action: str, actor: str, now_us: int) -> State:
    """Who meddles with the archive's own work is in the log: it can delay a destruction."""
    session.flush()
    details = {"kind": job.kind, "key": job.key}
    custody.append(session, custody.Event(action, actor, now_us, subject=f"job:{job.id}", details=details))
    state: State = next(each for each in STATES if each == job.state)
    return state
