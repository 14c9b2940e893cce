"""Find by an index what is kept too long.

0.1.0 runs on it: it only has more indexes to write. A job that it claims may have the
fence of one that was purged, as one that it deletes itself always might.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0012"
down_revision: Final = "0010"

# Name, table, column, and of which rows.
_INDEXES: Final = (
    (
        "ix_webhook_events_body",
        "webhook_events",
        "received_at",
        "body is not null and state not in ('pending', 'quarantined')",
    ),
    (
        "ix_intents_ended",
        "intents",
        "created_at",
        "state not in ('new', 'sent', 'unknown')",
    ),
    ("ix_jobs_done", "jobs", "finished_at", "dead"),
    ("ix_token_cut_offs_at", "token_cut_offs", "at", None),
)


def upgrade() -> None:
    for name, table, column, rows in _INDEXES:
        where = sa.text(rows) if rows else None
        op.create_index(op.f(name), table, [column], postgresql_where=where)
    op.create_table(
        "purged_jobs",
        sa.Column("singleton", sa.Boolean(), nullable=False),
        sa.Column("lease_no", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("singleton", name=op.f("ck_purged_jobs_singleton")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_purged_jobs")),
    )


def downgrade() -> None:
    op.drop_table("purged_jobs")
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(op.f(name), table)
