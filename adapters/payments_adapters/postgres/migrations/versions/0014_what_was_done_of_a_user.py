"""Find what was done by hand of a user by an index.

0.1.0 runs on it: it knows nothing of the index.
"""

from typing import Final

from alembic import op

revision: Final = "0014"
down_revision: Final = "0013"

_NAME: Final = "ix_changes_by_hand_user_id_at_id"


def upgrade() -> None:
    op.create_index(op.f(_NAME), "changes_by_hand", ["user_id", "at", "id"])


def downgrade() -> None:
    op.drop_index(op.f(_NAME), "changes_by_hand")
