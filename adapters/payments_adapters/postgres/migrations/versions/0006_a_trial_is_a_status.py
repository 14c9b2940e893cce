"""Let `payment_status` say that a user is in a trial.

0.1.0 runs on it: it never writes the new word, and it reads the column only of an
account without subscriptions, which is in no trial. What either shows is derived.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"

_BEFORE: Final = ("none", "pending", "paid", "failed", "refunded", "disputed")
_AFTER: Final = ("none", "pending", "trialing", *_BEFORE[2:])


def upgrade() -> None:
    _allow(_AFTER)


def downgrade() -> None:
    # What 0.1.0 shows in a trial: the latest payment's status.
    op.execute(
        "update payment_accounts set payment_status = coalesce(latest_status, 'none')"
        " where payment_status = 'trialing'"
    )
    _allow(_BEFORE)


def _allow(statuses: Sequence[str]) -> None:
    name = op.f("ck_payment_accounts_payment_status")
    op.drop_constraint(name, "payment_accounts", type_="check")
    listed = ", ".join(f"'{status}'" for status in statuses)
    op.create_check_constraint(
        name, "payment_accounts", f"payment_status in ({listed})"
    )
