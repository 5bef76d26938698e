"""Gap records are objects too, so that an index can be rebuilt without the old one"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gap", schema=None) as batch_op:
        batch_op.add_column(sa.Column("object_name", sa.Text(), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_gap_object_name"), ["object_name"])


def downgrade() -> None:
    with op.batch_alter_table("gap", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_gap_object_name"), type_="unique")
        batch_op.drop_column("object_name")
