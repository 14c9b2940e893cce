"""Keep which invoice a payment paid, and what paid an invoice."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    op.add_column("payments", sa.Column("subscription_id", sa.Text(), nullable=True))
    op.add_column(
        "payments",
        sa.Column(
            "invoice_known", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    )
    op.add_column(
        "paid_periods", sa.Column("amount_paid_minor", sa.BigInteger(), nullable=True)
    )
    _ask_for_invoices()


def _ask_for_invoices() -> None:
    """Ask which invoice each payment paid whose money went back, or may.

    The release before decided by the time of the payment.
    """
    op.execute(
        "insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no,"
        " dead, user_id) select 'payment', p.id, 'which invoice it paid', p.updated_at,"
        " 1, 0, 0, false, p.user_id from payments p where p.user_id is not null"
        " and (p.state = 'refunded' or p.dispute in ('open', 'lost'))"
        " and exists (select from subscriptions s where s.user_id = p.user_id)"
        " on conflict (kind, subject) do update set due_at = excluded.due_at,"
        " asked = jobs.asked + 1, attempts = 0, dead = false, finished_at = null"
    )


def downgrade() -> None:
    op.drop_column("paid_periods", "amount_paid_minor")
    op.drop_column("payments", "invoice_known")
    op.drop_column("payments", "subscription_id")
