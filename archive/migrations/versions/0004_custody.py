"""Signed checkpoints of the custody chain; what proves something is append-only in the database too"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PROOFS = ("custody_event", "custody_checkpoint", "certificate")
_GUARDED = (*_PROOFS, "custody_head")
_KEYS = {
    "custody_event": "sequence",
    "custody_checkpoint": "number",
    "certificate": "id",
    "custody_head": "id",
}
# A step forward, to an event that stands in the chain.
_FORWARD = (
    "NEW.id = OLD.id AND NEW.sequence > OLD.sequence AND EXISTS "
    "(SELECT 1 FROM custody_event WHERE sequence = NEW.sequence AND sha256 = NEW.sha256)"
)
_UNSTAMPED = (
    "number", "date", "sequence", "created_us", "body", "signature", "sha256", "previous_sha256",
)  # fmt: skip


def _allowed(table: str, same: str) -> str | None:
    """The only UPDATE of a row that may pass; None is none. `same` is the dialect's null-safe equality."""
    if table == "custody_head":
        return _FORWARD
    if table == "custody_checkpoint":
        rest = " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in _UNSTAMPED)
        return f"OLD.time_stamp IS NULL AND NEW.time_stamp IS NOT NULL AND {rest}"
    return None


def upgrade() -> None:
    op.create_table(
        "custody_checkpoint",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("previous_sha256", sa.String(length=64), nullable=True),
        sa.Column("time_stamp", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_custody_checkpoint")),
        sa.UniqueConstraint("date", name=op.f("uq_custody_checkpoint_date")),
    )
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _guard_sqlite() -> None:
    for table in _GUARDED:
        allowed = _allowed(table, "IS")
        unless = "" if allowed is None else f" WHEN NOT ({allowed})"
        refuse = f"SELECT RAISE(ABORT, '{table} is append-only')"
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}{unless} BEGIN {refuse}; END")
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN {refuse}; END")
        # INSERT OR REPLACE deletes the row in its way without asking the trigger above.
        key = _KEYS[table]
        also = " OR date = NEW.date" if table == "custody_checkpoint" else ""
        taken = f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}{also})"  # noqa: S608 (names of ours)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {taken} BEGIN {refuse}; END"
        )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION protokol_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$"
    )
    for table in _GUARDED:
        allowed = _allowed(table, "IS NOT DISTINCT FROM")
        if allowed is None:
            refuse = "protokol_append_only"
        else:
            # A condition of a trigger may ask no other table: the function asks.
            refuse = f"{table}_forward_only"
            op.execute(
                f"CREATE FUNCTION {refuse}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF {allowed} THEN RETURN NEW; END IF; "
                "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME "
                "USING ERRCODE = 'integrity_constraint_violation'; END $$"
            )
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW "
            f"EXECUTE FUNCTION {refuse}()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION protokol_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION protokol_append_only()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in _GUARDED:
            for what in ("update", "delete", "replace"):
                op.execute(f"DROP TRIGGER {table}_no_{what}")
    else:
        for table in _GUARDED:
            for what in ("update", "delete", "truncate"):
                op.execute(f"DROP TRIGGER {table}_no_{what} ON {table}")
        for function in (
            "protokol_append_only", "custody_checkpoint_forward_only", "custody_head_forward_only",
        ):  # fmt: skip
            op.execute(f"DROP FUNCTION {function}()")
    op.drop_table("custody_checkpoint")
