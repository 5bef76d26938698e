"""Making thumbnails and loudness of a segment: a job, done once, destroyed with the segment.

The media are decoded by a program that has no key (archive.media); what it answers is sealed here. Safe to be
killed between any two steps, and to be done twice at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from archive import check, derived, door, jobs, room_days, search
from archive.job_worker import Handler, HopelessError, LaterError, Work
from archive.keys import KeyGoneError
from archive.media import process, question
from archive.media.work import Answer, Question
from archive.models import Derived, Job, RoomDay, Segment
from archive.mp4.boxes import Mp4Error
from archive.mp4.selection import Piece
from archive.mp4.stored import index_of
from archive.sealed import AlteredError, SealedWriter
from archive.search import StoredSegment
from archive.store import ObjectMissingError, StoreAwayError, StoreFullError
from archive.system import Archive
from recorder import instants
from recorder.logging import get_logger

KIND = "derive"
# Hostile media fail at each attempt, and each may take the program's whole time.
_MAX_ATTEMPTS = 3
# What may wait at once: more is found when these are done, the newest first.
MAX_WAITING = 20
# So many are not hostile media but something on this host: somebody must look, and the list stay readable.
MAX_FAILED = 50

# Called with the name of each step, between it and the next one: tests kill the process there.
Fault = Callable[[str], None]
STEPS = (
    "read",  # the segment is there and may be read
    "answered",  # thumbnails and loudness are made, nothing is stored
    "stored",  # the object stands, no row tells of it
    "inserted",  # the row is written (or none is to be), not committed
    "committed",  # all done
)
_IS_OVER = (Job.kind == KIND) & Job.state.in_(("failed", "cancelled"))
# What became of it; `made_before`: by another worker.
Outcome = Literal["made", "made_before", "gone"]
Ask = Callable[[Question, Callable[[], None]], Answer]

_log = get_logger()


def no_fault(step: str) -> None:
    """Steps of a job in service are nobody's business."""


def ask_program(asked: Question, look: Callable[[], None]) -> Answer:
    """Raises MediaError, and what `look` does."""
    return process.ask(asked, look=look)


def find(session: Session, since: str, now_us: int, limit: int) -> list[str]:
    """Ids of segments that may be read and have neither thumbnails nor a job, the newest first; of room-days
    from the local date `since` on.
    """
    statement = (
        select(Segment.id)
        .join(RoomDay, (RoomDay.room == Segment.room) & (RoomDay.date == Segment.date))
        .where(
            RoomDay.state == "open",
            RoomDay.due_us > now_us,
            RoomDay.date >= since,
            ~exists().where(Derived.segment_id == Segment.id),
            ~exists().where(Job.key == derived.JOB_KEY + Segment.id),
        )
        .order_by(Segment.start_us.desc())
        .limit(limit)
    )
    return list(session.scalars(statement))


def enqueue_missing(archive: Archive, since: str, now_us: int) -> int:
    """Insert jobs for what `find` finds, as long as fewer than MAX_WAITING wait for their first attempt and
    fewer than MAX_FAILED have failed for good; how many were inserted. Another process may do the same at the
    same time.
    """
    with archive.database.reading() as session:
        waiting = _count(session, (Job.state == "queued") & (Job.attempts == 0))
        failed = _count(session, Job.state == "failed")
        room_left = min(MAX_WAITING - waiting, MAX_FAILED - failed)
        found = find(session, since, now_us, room_left) if room_left > 0 else []
    if not found:
        return 0
    with archive.database.transaction() as session:
        return sum(
            jobs.enqueue(
                session,
                KIND,
                derived.job_key(segment_id),
                now_us,
                payload={"segment": segment_id},
                max_attempts=_MAX_ATTEMPTS,
            )
            for segment_id in found
        )


def _count(session: Session, which: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).where(Job.kind == KIND, which)) or 0


def make_anew(archive: Archive) -> tuple[int, int]:
    """Let everything be made again that is missing, altered or has failed: a server finds it within a quarter
    of an hour. How many were missing or altered, and how many jobs had failed or were cancelled. Of a day
    that was purged nothing can be made again, and nothing is changed.
    """
    with archive.database.reading() as session:
        broken = list(check.broken_derived(session, archive))
    with archive.database.transaction() as session:
        # To look at all took its time: of what was purged meanwhile, the row tells what a hold keeps.
        days = room_days.lock(session, archive.configurations, ((room, date) for _, room, date in broken))
        ids = [segment_id for segment_id, *day in broken if days[day[0], day[1]].state == "open"]
        for segment_id in ids:
            session.execute(delete(Derived).where(Derived.segment_id == segment_id))
        over = delete(Job).where(_IS_OVER)
        return len(ids), len(session.execute(over.returning(Job.id)).all())


def forget_gone(archive: Archive) -> None:
    """Drop the dead letters of segments that were destroyed: nobody can do anything about them, and they
    would count among MAX_FAILED for ever.
    """
    gone = _IS_OVER & ~exists().where(Segment.id == func.substr(Job.key, len(derived.JOB_KEY) + 1))
    with archive.database.reading() as session:
        if session.scalar(select(Job.id).where(gone).limit(1)) is None:
            return
    with archive.database.transaction() as session:
        session.execute(delete(Job).where(gone))


def handlers(
    archive: Archive, clock: Callable[[], int] = instants.now_us, *, ask: Ask = ask_program
) -> dict[str, Handler]:
    """For a worker of its own: a purge must not wait for it."""

    def run(work: Work) -> None:
        try:
            derive(archive, str(work.lease.payload["segment"]), clock(), ask=ask, look=work.look)
        except (StoreAwayError, StoreFullError) as error:
            # No fault of the segment: three attempts are over in half a minute, an outage is not, and a dead
            # letter would wait for a person.
            raise LaterError(str(error)) from error

    # The row of `derived` tells what became of it; a job for each minute of each room would hide the others.
    return {KIND: Handler(run, is_kept=False)}


def derive(
    archive: Archive,
    segment_id: str,
    now_us: int,
    *,
    ask: Ask = ask_program,
    look: Callable[[], None] = lambda: None,
    fault: Fault = no_fault,
) -> Outcome:
    """Durable on return. `gone`: the segment was purged, is due, or its day is closed.

    Raises MediaError and StoreError, which may pass; HopelessError for a segment that is missing or altered;
    what `look` raises.
    """
    with archive.database.reading() as session:
        segment = search.segment(session, segment_id)
        if segment is None:
            return "gone"
        if session.get(Derived, segment_id) is not None:
            return "made_before"
        may_be_read = _may_be_read(
            room_days.peek(session, archive.configurations, segment.room, segment.date), now_us
        )
    name = derived.name_of(segment.object_name)
    if not may_be_read:
        # A process that was killed before its row may have left the object.
        archive.store.delete([name])
        return "gone"
    fault("read")
    try:
        answer = ask(_question(archive, segment), look)
        fault("answered")
        contents = derived.Contents.of(answer)
        writer = archive.store.writer(name)
    except KeyGoneError:
        with archive.database.reading() as session:
            if session.get(Segment, segment_id) is None:
                return "gone"
        raise
    if answer.undecodable:
        _log.warning("media_undecodable", segment=segment_id, samples=answer.undecodable)
    payload = contents.to_bytes()
    writer.write(payload)
    writer.commit()
    fault("stored")
    row = Derived(
        segment_id=segment_id,
        size_bytes=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
        loudness=writer.seal_index(contents.loudness.to_bytes()),
    )
    with archive.database.transaction() as session:
        outcome = _register(session, archive, segment, row, writer, now_us)
        fault("inserted")
    fault("committed")
    if outcome == "gone":
        archive.store.delete([name])
    return outcome


def _register(
    session: Session,
    archive: Archive,
    segment: StoredSegment,
    row: Derived,
    writer: SealedWriter,
    now_us: int,
) -> Outcome:
    """The object stands already; `gone` where it must go again. Under the room-day's lock, as a purge is."""
    key = (segment.room, segment.date)
    day = room_days.lock(session, archive.configurations, [key])[key]
    if session.scalar(select(Segment.id).where(Segment.id == segment.id)) is None:
        return "gone"
    if session.get(Derived, segment.id) is not None:
        # Another worker was at it, too, and its object was replaced by this one, whose salt no purge has
        # seen: a hold that keeps the segment keeps this.
        archive.store.keys.retain([(derived.name_of(segment.object_name), *writer.secret)])
        session.merge(row)
        return "made_before"
    if not _may_be_read(day, now_us):
        return "gone"
    session.add(row)
    return "made"


def _may_be_read(day: RoomDay, now_us: int) -> bool:
    """From the due midnight on nothing is made any more, held or not: nobody has looked for it in a month."""
    return day.state == "open" and now_us < day.due_us


def _question(archive: Archive, segment: StoredSegment) -> Question:
    """The samples of a segment, opened. Raises HopelessError, KeyGoneError, StoreError."""
    try:
        with archive.database.reading() as session:
            kept = door.indexes_of(session, archive.store, [segment]).get(segment.id)
        if kept is None:
            raise HopelessError(f"{segment.object_name}: its sample index is missing; rebuild the index")
        piece = Piece(segment.object_name, index_of(kept), segment.start_us, segment.end_us, segment.run)
        reader = archive.store.open(segment.object_name)
        try:
            return question.question_of(piece, reader)
        finally:
            reader.close()
    except (ObjectMissingError, AlteredError, Mp4Error) as error:
        raise HopelessError(f"{segment.object_name}: {error}") from error
