"""Keys in a purge: held objects get keys of their own, then the day's key is destroyed.

The order is what makes it safe to be killed anywhere: a retained key is durable before the transaction that
lets the day go commits (most before it begins), the day's key is destroyed after it. A retained key too many
(of a transaction that was rolled back) opens nothing that the day's key does not, and goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from archive import derived, room_days
from archive.keys import KeyGoneError
from archive.models import Derived, Gap, Quarantine, RoomDay, SampleIndex, Segment
from archive.sealed import AlteredError
from archive.store import ObjectMissingError, StoreError
from archive.system import Archive
from recorder.logging import get_logger
from retention import tombstone
from retention.facts import batches, local_day
from retention.policy import Decision, Kind

_log = get_logger()


class HeldUnreadableError(StoreError):
    """Nothing tells the key of a held object for now: its room-day must wait."""


def prepare(archive: Archive, decision: Decision) -> frozenset[str]:
    """`retain` for what the decision keeps by now, outside any transaction: the store may take minutes for a
    held day's objects, and on SQLite nobody else would write meanwhile. The names that need no second look.

    An object that is replaced by its twin after that is the twin's to retain (archive.upload). Raises
    HeldUnreadableError, StoreError.
    """
    with archive.database.reading() as session:
        held = list(_held(session, decision))
    archive.store.keys.retain(_secrets(archive, held))
    return frozenset(name for name, _ in held)


def retain(session: Session, archive: Archive, decision: Decision, prepared: frozenset[str]) -> None:
    """Every object that the decision keeps has a retained key, durable on return.

    The caller holds the room-day's lock. Raises StoreError where an object cannot be looked at now: then
    the day must not go, for its key might be the only one that opens held footage.
    """
    archive.store.keys.retain(
        _secrets(archive, (held for held in _held(session, decision) if held[0] not in prepared))
    )


def _secrets(
    archive: Archive, held: Iterable[tuple[str, bytes | None]]
) -> Iterator[tuple[str, bytes, bytes]]:
    for name, sealed_index in held:
        found = 0
        # Object and index have different salts where the same segment was sent twice at once.
        try:
            yield (name, *archive.store.secret(name))
            found += 1
        except (ObjectMissingError, AlteredError, KeyGoneError) as error:
            # KeyGoneError: the day was purged before, and what could be retained is.
            problem = error
        try:
            if sealed_index is not None:
                # With it the object is readable again, should a backup of it be put back.
                yield (name, *archive.store.index_secret(name, sealed_index))
                found += 1
        except (AlteredError, KeyGoneError) as error:
            problem = error
        if not found and not isinstance(problem, KeyGoneError):
            raise HeldUnreadableError(
                f"{name} is held and cannot be read, and with its day's key it would be lost for ever: "
                "restore it from a backup of the store, or release its hold; until then the day stays"
            ) from problem
        if not found:
            _log.error("held_object_unreadable", alarm=True, object=name, error=problem)


def _held(session: Session, decision: Decision) -> Iterator[tuple[str, bytes | None]]:
    """Name and sealed index of each object that is kept; that of thumbnails is their loudness."""
    ids = {kind: [kept.item.id for kept in decision.keep if kept.item.kind is kind] for kind in Kind}
    for batch in batches(ids[Kind.SEGMENT]):
        statement = (
            select(Segment.object_name, SampleIndex.encoded, Derived.loudness)
            .outerjoin(SampleIndex, SampleIndex.segment_id == Segment.id)
            .outerjoin(Derived, Derived.segment_id == Segment.id)
            .where(Segment.id.in_(batch))
        )
        for name, encoded, loudness in session.execute(statement):
            yield name, encoded
            if loudness is not None:
                yield derived.name_of(name), loudness
    others = [
        *(select(Gap.object_name).where(Gap.id.in_(batch)) for batch in batches(ids[Kind.GAP])),
        *(
            select(Quarantine.object_name).where(Quarantine.id.in_(map(int, batch)))
            for batch in batches(ids[Kind.QUARANTINE])
        ),
    ]
    for other in others:
        for lone in session.scalars(other):
            if lone is not None:
                yield lone, None


def destroy(archive: Archive, room: str, date: str, now_us: int) -> bool:
    """The key of a purged room-day is gone durably on return, and the retained keys of objects that no row
    needs any more. Idempotent; whether anything was left to destroy.

    Does nothing for a room-day that is not purged: its key opens footage that may be read. Raises
    DatabaseError.
    """
    with archive.database.reading() as session:
        day = session.get(RoomDay, (room, date))
        if day is None or day.state != "purged":
            return False
        # Since the purge rows of the day only became fewer: nothing that is needed is missing here.
        needed: list[str] = []
        for table in (Segment, Gap, Quarantine):
            of_day = select(table.object_name).where(table.room == room, table.date == date)
            needed += (name for name in session.scalars(of_day) if name is not None)
        wanted = set(derived.with_theirs(needed))
        wanted.update(_lost(session, archive, room, date, archive.store.keys.retained(room, date) - wanted))
    return archive.store.keys.destroy(room, date, wanted, now_us)


def _lost(session: Session, archive: Archive, room: str, date: str, names: set[str]) -> Iterator[str]:
    """Of the objects that no row names, those that a hold may keep: one that could not be read when the index
    was rebuilt has no row, and no tombstone either. Restored, it can be made a row of by another rebuild.
    """
    whole = local_day(date, archive.timezone(session))
    if not names or not room_days.active_holds(session, room, whole):
        return
    buried = tombstone.buried(session, room, date)
    yield from (name for name in names if not name.rpartition("/")[2].startswith(buried))


def left(archive: Archive) -> set[tuple[str, str]]:
    """Purged room-days of which any key is left; those with held footage are among them."""
    found: set[tuple[str, str]] = set()
    with archive.database.reading() as session:
        for batch in _batches(archive.store.keys.days()):
            days = select(RoomDay.room, RoomDay.date).where(
                RoomDay.state == "purged", tuple_(RoomDay.room, RoomDay.date).in_(batch)
            )
            found.update((room, date) for room, date in session.execute(days))
    return found


def _batches(days: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    listed = sorted(days)
    return (listed[start : start + 200] for start in range(0, len(listed), 200))
