"""Keep what is on its way to delivery endpoints, and how far each of them is.

0.1.0 runs on it: it writes neither of both tables, and no row that they follow from.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0020"
down_revision: Final = "0019"

_FUNCTION: Final = Path(__file__).parents[2] / "deliveries_v1.sql"
_MOMENT: Final = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "delivery_cursors",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_delivery_cursors")),
    )
    op.create_table(
        "deliveries",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_no", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", _MOMENT, nullable=True),
        sa.Column("first_tried_at", _MOMENT, nullable=True),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "position", name=op.f("pk_deliveries")),
    )
    op.create_index(
        op.f("ix_deliveries_open"),
        "deliveries",
        ["endpoint", "user_id", "position"],
        postgresql_where=sa.text("not dead"),
    )
    op.create_index(
        op.f("ix_deliveries_dead"),
        "deliveries",
        ["endpoint", "position"],
        postgresql_where=sa.text("dead"),
    )
    op.create_index(op.f("ix_deliveries_user_id"), "deliveries", ["user_id"])
    _, _, function = _FUNCTION.read_text().partition("\ncreate ")
    op.get_bind().exec_driver_sql(f"create {function}")


def downgrade() -> None:
    op.execute(
        "drop function replay_deliveries_v1(text[], bigint[], timestamptz, bigint)"
    )
    op.drop_table("deliveries")
    op.drop_table("delivery_cursors")
