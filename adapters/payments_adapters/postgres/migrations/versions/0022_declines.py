"""Find by an index during which operations of a user the bank declined.

0.1.0 runs on it: it only has one more index to write, when the bank declined.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0022"
down_revision: Final = "0021"

_DECLINED: Final = (
    "outcome::jsonb #>> '{refusal,code}' = 'card_declined'"
    " or outcome::jsonb #>> '{decline,code}' = 'card_declined'"
)


def upgrade() -> None:
    op.create_index(
        op.f("ix_intents_declined"),
        "intents",
        ["user_id", "created_at"],
        postgresql_where=sa.text(_DECLINED),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_intents_declined"), "intents")
