"""Numbers of past days are kept, so that a month need not be reckoned from its segments again"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_figures",
        sa.Column("room", sa.String(length=32), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("planned_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_us", sa.BigInteger(), nullable=False),
        sa.Column("missing_us", sa.BigInteger(), nullable=False),
        sa.Column("unknown_us", sa.BigInteger(), nullable=False),
        sa.Column("no_picture_us", sa.BigInteger(), nullable=False),
        sa.Column("no_sound_us", sa.BigInteger(), nullable=False),
        sa.Column("causes", sa.Text(), nullable=False),
        sa.Column("settled_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "planned_us = recorded_us + missing_us + unknown_us", name=op.f("ck_day_figures_adds_up")
        ),
        sa.PrimaryKeyConstraint("room", "date", name=op.f("pk_day_figures")),
    )


def downgrade() -> None:
    op.drop_table("day_figures")
