"""Log until when there is access, and what a verdict rests on; find events by object.

0.1.0 runs on it: it logs nothing of this. What saves it is made by migration 0018.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0016"
down_revision: Final = "0015"

_COLUMNS: Final[Mapping[str, sa.types.TypeEngine[Any]]] = {
    "entitled_until": sa.DateTime(timezone=True),
    "grace_s": sa.BigInteger(),
    "status_by": sa.Text(),
    "date_by": sa.Text(),
}


def upgrade() -> None:
    for name, type_ in _COLUMNS.items():
        op.add_column("account_log", sa.Column(name, type_, nullable=True))
    op.create_index(
        op.f("ix_webhook_events_object_id"),
        "webhook_events",
        ["object_id"],
        postgresql_using="hash",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_events_object_id"), "webhook_events")
    for name in _COLUMNS:
        op.drop_column("account_log", name)
