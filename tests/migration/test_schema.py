"""Migrations and models say the same, on both databases."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, text

from archive.database import Database, DatabaseError
from archive.models import metadata
from archive.models.base import Base

ROOT = Path(__file__).parents[2]
# Revisions that a council may have in service.
RELEASED = ["0001", "0002"]
# What autogenerate never compares: defaults, checks, sequences.
_DETAILS = """
SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
       || coalesce(column_default, '') || ' ' || coalesce(character_maximum_length::text, '')
  FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
   AND conrelid::regclass::text <> 'alembic_version'
UNION ALL
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
ORDER BY 1
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'archive.sqlite'}"
        return
    with request.getfixturevalue("postgresql").database(migrated=False) as url:
        yield url


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.dispose()


def dump(database) -> list[str]:
    """The schema as the database keeps it; constraints by name, since a batch migration shuffles them."""
    with database.engine.connect() as connection:
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        rows = connection.exec_driver_sql(query if database.is_sqlite else _DETAILS)
        return [_in_order(row[0]) for row in rows]


def _in_order(statement: str) -> str:
    head, *constraints = re.split(r",?\s*\n\tCONSTRAINT |\n\)", statement)
    return "\n".join([head, *sorted(each.strip().removesuffix(",") for each in constraints)])


def go_to(database, revision: str) -> None:
    with database._writer.begin() as connection:
        config = database._alembic(connection)
        current = MigrationContext.configure(connection).get_current_revision() or ""
        is_up = revision != "base" and revision > current
        (command.upgrade if is_up else command.downgrade)(config, revision)


def test_migrations_make_exactly_the_models(database):
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_defaults_checks_and_indexes_are_the_models_too(postgresql):
    with postgresql.database(migrated=False) as migrated, postgresql.database(migrated=False) as made:
        database = Database(migrated)
        database.migrate()
        models = Database(made)
        with models._writer.begin() as connection:
            metadata.create_all(connection)
        expected, found = dump(models), dump(database)
        models.dispose()
        database.dispose()
    assert found == expected


def test_migrating_again_changes_nothing(database):
    database.migrate()
    before = dump(database)
    database.migrate()
    database.require_current_schema()
    assert dump(database) == before


def test_an_old_schema_is_refused_with_the_command_that_mends_it(database):
    with pytest.raises(DatabaseError, match="protokol archive migrate"):
        database.require_current_schema()


def test_down_and_up_again(database):
    database.migrate()
    before = dump(database)
    go_to(database, "base")
    assert [row for row in dump(database) if "alembic_version" not in row] == []
    database.migrate()
    database.require_current_schema()
    assert dump(database) == before


def _values(table) -> dict[str, object]:
    """A row that any column takes; checks of values are the models'."""
    kinds = {"INTEGER": 1, "BIGINT": 1, "BLOB": b"1", "BYTEA": b"1", "BOOLEAN": False}
    return {
        column.name: kinds.get(str(column.type).split("(")[0].upper(), "1")
        for column in table.columns
        if not column.nullable
    }


# Where a check wants other values than `_values` gives.
SPECIAL = {
    "room_day": {"state": "open", "windows": "[]"},
    "segment": {"end_us": 2},
    "gap": {"end_us": 2},
    "hold": {"end_us": 2},
    "mark": {"kind": "other", "source": "button"},
    "request": {"status": "registered"},
    "request_person": {"contact_kind": "email"},
    "user_account": {"role": "clerk"},
    "login_session": {"user_id": 1},
}


@pytest.mark.parametrize("revision", RELEASED)
def test_rows_of_each_release_survive_the_way_up_and_down_again(database, revision):
    go_to(database, revision)
    there = MetaData()
    with database._writer.begin() as connection:
        there.reflect(connection)
        for table in there.sorted_tables:
            if table.name not in {"alembic_version", "custody_head"}:
                connection.execute(table.insert().values(**{**_values(table), **SPECIAL.get(table.name, {})}))

    def contents():
        with database.engine.connect() as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(table.select())]
                for table in there.sorted_tables
                if table.name != "alembic_version"
            }

    before = contents()
    assert all(before.values())
    database.migrate()
    assert contents() == before
    go_to(database, revision)
    assert contents() == before


def test_every_table_is_a_models(database):
    assert {mapper.local_table.name for mapper in Base.registry.mappers} == set(metadata.tables)


def test_processes_that_migrate_at_once_migrate_once(database, url):
    code = "import sys; from archive.database import Database; Database(sys.argv[1]).migrate()"
    both = [
        subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [each.communicate(timeout=60)[1] for each in both]
    assert [(each.returncode, err) for each, err in zip(both, said, strict=True)] == [(0, "")] * 3
    database.require_current_schema()


def test_a_database_of_a_later_release_is_refused(database, url):
    database.migrate()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(DatabaseError, match="9999"):
        database.require_current_schema()
