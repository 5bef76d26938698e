"""After a rebuild of the index, nothing is destroyed until a person has confirmed the holds.

A hold whose record was lost would cost footage that a resident was promised; one that was let go and came
back costs only a decision. Neither can be seen from the index alone.
"""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from archive import custody
from archive.models import ArchiveMark
from archive.reindex import HOLDS_UNCONFIRMED
from archive.system import Archive
from recorder.manifest import canonical
from retention import holds
from retention.errors import HoldsUnconfirmedError


def digest(session: Session) -> str:
    """Of the holds in force, so that what is confirmed is what was looked at."""
    listed = [[hold.id, hold.room, hold.start_us, hold.end_us] for hold in holds.active(session)]
    return hashlib.sha256(canonical({"holds": listed})).hexdigest()[:16]


def is_frozen(session: Session) -> bool:
    return session.get(ArchiveMark, HOLDS_UNCONFIRMED) is not None


def require_confirmed(session: Session) -> None:
    """Raises HoldsUnconfirmedError while the holds of a rebuilt index are unconfirmed."""
    if is_frozen(session):
        raise HoldsUnconfirmedError(
            "the index was rebuilt and its holds are not confirmed: nothing is destroyed. Compare "
            "`protokol hold list` with the requests on paper or in a backup, add what is missing, and see "
            "`protokol hold confirm`"
        )


def confirm(archive: Archive, given: str, *, actor: str, now_us: int) -> bool:
    """The holds are as they must be, says a person; durable on return. False where nothing waits for it.

    Raises HoldsUnconfirmedError when the holds are others than those of the digest.
    """
    with archive.database.transaction() as session:
        mark = session.get(ArchiveMark, HOLDS_UNCONFIRMED)
        if mark is None:
            return False
        if given != digest(session):
            raise HoldsUnconfirmedError(
                f"the holds in force are {digest(session)}, not {given[:64]}: look at `protokol hold confirm`"
            )
        session.delete(mark)
        session.flush()
        count = len(holds.active(session))
        event = custody.Event("holds_confirmed", actor, now_us, details={"holds": count, "digest": given})
        custody.append(session, event)
    return True
