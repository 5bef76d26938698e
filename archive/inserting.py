"""Rows that two transactions may want to make at once, on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from archive.models.base import Base


def insert_missing(session: Session, row: Base) -> bool:
    """Insert the row unless one with any of its unique keys is there; whether it was inserted.

    Waits for a transaction that is inserting the same one, and is then told of that one's row. `row`
    itself never becomes part of the session: read it back.
    """
    statement = _insert(session, row).on_conflict_do_nothing()
    return session.execute(statement.returning(literal(1))).first() is not None


def insert_or_replace(session: Session, row: Base) -> None:
    """Insert the row, or give the one with its primary key these values."""
    values = _values(row)
    keys = [column.name for column in inspect(type(row)).primary_key]
    rest = {name: value for name, value in values.items() if name not in keys}
    session.execute(_insert(session, row).on_conflict_do_update(index_elements=keys, set_=rest))


def _insert(session: Session, row: Base) -> Any:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(type(row)).values(**_values(row))


def _values(row: Base) -> dict[str, Any]:
    """What was given; what was not takes the column's default."""
    given = inspect(row).dict
    return {each.key: given[each.key] for each in inspect(type(row)).column_attrs if each.key in given}
