"""List users, and what happened to each, by index.

0.1.0 runs on it: it only has more indexes to write. What it writes is listed, but for
the events that it keeps: they are in no timeline, as those of before are.
What saves them is made by migration 0018.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0017"
down_revision: Final = "0016"

_IS_LISTED: Final = "user_id not like 'erased/%'"
_BYTES: Final = 'user_id collate "C"'
# Name, table, columns, and of which rows.
_INDEXES: Final = (
    ("ix_payment_accounts_listed", "payment_accounts", [_BYTES], _IS_LISTED),
    (
        "ix_payment_accounts_listed_email",
        "payment_accounts",
        ['email_key collate "C"'],
        _IS_LISTED,
    ),
    (
        "ix_payment_accounts_listed_status",
        "payment_accounts",
        ["payment_status", _BYTES],
        _IS_LISTED,
    ),
    (
        "ix_subscriptions_listed_product",
        "subscriptions",
        ["product", _BYTES],
        "user_id is not null and status not in ('incomplete_expired', 'canceled')",
    ),
    ("ix_account_log_user_id_at", "account_log", ["user_id", "at"], None),
    (
        "ix_webhook_events_user_id_received_at",
        "webhook_events",
        ["user_id", "received_at"],
        "user_id is not null",
    ),
)


def upgrade() -> None:
    op.add_column("webhook_events", sa.Column("user_id", sa.Text(), nullable=True))
    for name, table, columns, rows in _INDEXES:
        op.create_index(
            op.f(name),
            table,
            [sa.text(it) for it in columns],
            postgresql_where=sa.text(rows) if rows else None,
        )


def downgrade() -> None:
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(op.f(name), table)
    op.drop_column("webhook_events", "user_id")
