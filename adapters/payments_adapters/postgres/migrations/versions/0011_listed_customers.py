"""Note which customers a sweep found, so that those that were deleted are found.

0.1.0 runs on it: it knows nothing of the new table.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0011"
down_revision: Final = "0010"


def upgrade() -> None:
    op.create_table(
        "listed_customers",
        sa.Column("sweep", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "sweep", "customer_id", name=op.f("pk_listed_customers")
        ),
    )


def downgrade() -> None:
    op.drop_table("listed_customers")
