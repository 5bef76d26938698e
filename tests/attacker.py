"""Somebody who can write the database: drops its guards, edits it, reckons the chain anew."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from archive import custody


def unguard(session: Session) -> None:
    """Drop every trigger of ours."""
    if session.get_bind().dialect.name == "sqlite":
        names = session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
        for name in names:
            session.execute(text(f"DROP TRIGGER {name}"))
        return
    found = text("SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
    for name, table in session.execute(found).all():
        session.execute(text(f"DROP TRIGGER {name} ON {table}"))


def attack(archive: Any, *statements: str) -> None:
    """Run statements with the guards dropped, in one transaction."""
    with archive.database.transaction() as session:
        unguard(session)
        for statement in statements:
            session.connection().exec_driver_sql(statement)


def rechain(session: Session) -> None:
    """Give every event the place, predecessor and hash that its order demands, and the head the last one."""
    rows = session.execute(text("SELECT * FROM custody_event ORDER BY sequence")).mappings().all()
    session.execute(text("DELETE FROM custody_event"))
    previous = custody.GENESIS
    insert = text(
        "INSERT INTO custody_event (sequence, at_us, actor, action, room, date, subject, details, "
        "previous_sha256, sha256) VALUES (:sequence, :at_us, :actor, :action, :room, :date, :subject, "
        ":details, :previous_sha256, :sha256)"
    )
    for sequence, row in enumerate(rows, 1):
        made = _Row({**row, "sequence": sequence, "previous_sha256": previous})
        previous = custody._digest_as_stored(made)
        session.execute(insert, {**made.values, "sha256": previous})
    session.execute(
        text("UPDATE custody_head SET sequence = :sequence, sha256 = :sha256"),
        {"sequence": len(rows), "sha256": previous},
    )


class _Row:
    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __getattr__(self, name: str) -> Any:
        return self.values[name]
