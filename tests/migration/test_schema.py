"""Migrations and models say the same."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from archive.database import Database, DatabaseError
from archive.models import metadata


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    yield database
    database.dispose()


def dump(database) -> list[str]:
    """The schema as SQLite keeps it."""
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        return [row[0] for row in rows]


def test_migrations_make_exactly_the_models(database):
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


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
    with database._writer.begin() as connection:
        command.downgrade(database._alembic(connection), "base")
    assert [row for row in dump(database) if "alembic_version" not in row] == []
    database.migrate()
    database.require_current_schema()
    assert any("custody_event" in row for row in dump(database))
