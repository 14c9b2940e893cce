"""Find by an index what a sweep compares: what was made when, what is not settled.

0.1.0 runs on it: it only has more indexes to write.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0010"
down_revision: Final = "0009"


def upgrade() -> None:
    op.create_index(
        op.f("ix_subscriptions_created_at"), "subscriptions", ["created_at"]
    )
    op.create_index(op.f("ix_payments_created_at"), "payments", ["created_at"])
    op.create_index(
        op.f("ix_webhook_events_unsettled_object"),
        "webhook_events",
        ["object_id"],
        # Nothing but one object is found by it: no list is read by it in place of its
        # own index.
        postgresql_using="hash",
        postgresql_where=sa.text("state in ('pending', 'quarantined')"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_events_unsettled_object"), "webhook_events")
    op.drop_index(op.f("ix_payments_created_at"), "payments")
    op.drop_index(op.f("ix_subscriptions_created_at"), "subscriptions")
