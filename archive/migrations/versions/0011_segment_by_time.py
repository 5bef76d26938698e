"""Segments lie by room and start: in SQLite the rows themselves, so that a room's day is one run of pages"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rekey(["room", "start_us", "id"], is_by_rowid=False)
    op.drop_index("ix_segment_room_start_us_end_us", "segment")


def downgrade() -> None:
    op.create_index("ix_segment_room_start_us_end_us", "segment", ["room", "start_us", "end_us"])
    _rekey(["id"], is_by_rowid=True)


def _rekey(columns: list[str], *, is_by_rowid: bool) -> None:
    with op.batch_alter_table("segment", table_kwargs={"sqlite_with_rowid": is_by_rowid}) as batch_op:
        if is_by_rowid:
            batch_op.drop_constraint("uq_segment_id", type_="unique")
        batch_op.drop_constraint("pk_segment", type_="primary")
        batch_op.create_primary_key("pk_segment", columns)
        if not is_by_rowid:
            batch_op.create_unique_constraint("uq_segment_id", ["id"])
