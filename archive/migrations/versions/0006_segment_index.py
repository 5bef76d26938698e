"""Indexes that answer by themselves when a day was recorded and how much it holds; manifests and sample
indexes may outlive their segment until a purge has swept them
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


_LEAVES = ("segment_manifest", "sample_index")


def upgrade() -> None:
    op.create_index("ix_segment_room_start_us_end_us", "segment", ["room", "start_us", "end_us"])
    op.create_index("ix_segment_room_date_size_bytes", "segment", ["room", "date", "size_bytes"])
    op.drop_index("ix_segment_room_start_us", "segment")
    op.drop_index("ix_segment_room_date", "segment")
    op.create_index("ix_gap_room_date", "gap", ["room", "date"])
    op.create_index("ix_quarantine_room_date", "quarantine", ["room", "date"])
    for table in _LEAVES:
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_constraint(f"fk_{table}_segment_id_segment", type_="foreignkey")


def downgrade() -> None:
    for table in _LEAVES:
        with op.batch_alter_table(table) as batch_op:
            batch_op.create_foreign_key(
                f"fk_{table}_segment_id_segment", "segment", ["segment_id"], ["id"], ondelete="CASCADE"
            )
    op.drop_index("ix_quarantine_room_date", "quarantine")
    op.drop_index("ix_gap_room_date", "gap")
    op.create_index("ix_segment_room_date", "segment", ["room", "date"])
    op.create_index("ix_segment_room_start_us", "segment", ["room", "start_us"])
    op.drop_index("ix_segment_room_date_size_bytes", "segment")
    op.drop_index("ix_segment_room_start_us_end_us", "segment")
