"""Keep which invoice a payment paid and what paid an invoice; make the write path.

The functions that load and save, and their types, are in files beside the ledger. A
schema of a day before the release has them already: they are made anew.
"""

import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_FILES: Final = ("load_v1.sql", "save_v1.sql")
_FOLDER: Final = Path(__file__).parents[2]


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
    _drop_functions()
    for statement in _statements():
        op.get_bind().exec_driver_sql(statement)


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
    _drop_functions()
    op.drop_column("paid_periods", "amount_paid_minor")
    op.drop_column("payments", "invoice_known")
    op.drop_column("payments", "subscription_id")


def _statements() -> list[str]:
    """Return each statement by itself: a driver takes one at a time."""
    texts = ((_FOLDER / name).read_text() for name in _FILES)
    parts = [part for text in texts for part in re.split(r"(?m)^(?=create )", text)]
    return [part for part in parts if part.startswith("create ")]


def _drop_functions() -> None:
    # With the functions that take or return them: that is all of them.
    for statement in _statements():
        if made := re.match(r"create type (\w+)", statement):
            op.execute(f"drop type if exists {made[1]} cascade")
