"""What all tables share: names of constraints, types, the key that counts up."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Integer, MetaData, Text
from sqlalchemy.orm import DeclarativeBase

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite makes only INTEGER PRIMARY KEY an alias of the rowid.
Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    metadata = metadata
    type_annotation_map = {int: BigInteger, str: Text}  # noqa: RUF012 (SQLAlchemy reads it as a class attribute)


def interval_check() -> CheckConstraint:
    return CheckConstraint("end_us > start_us", name="interval")
