"""Keep what the last sweep found, with its checkpoint.

0.1.0 runs on it: it knows no checkpoints.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0015"
down_revision: Final = "0014"


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("result", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "result")
