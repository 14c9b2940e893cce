"""Give the changes of the log positions, and know when access ends next.

What was logged before gets its positions from the worker, a little at a time. 0.1.0 and
the release of 0018 run on it: what they log gets positions, too, and they ask for
neither. That access ends is a job of a new kind, which they leave alone.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0019"
down_revision: Final = "0018"

_FUNCTION: Final = Path(__file__).parents[2] / "feed_v1.sql"
_MOMENT: Final = sa.DateTime(timezone=True)
_KINDS: Final = ("subscription", "customer", "payment", "set_up", "event")


def upgrade() -> None:
    op.add_column("account_log", sa.Column("position", sa.BigInteger(), nullable=True))
    op.create_index(
        op.f("ix_account_log_position"),
        "account_log",
        ["position"],
        unique=True,
        postgresql_where=sa.text("position is not null"),
    )
    op.create_index(
        op.f("ix_account_log_unnumbered"),
        "account_log",
        ["at"],
        postgresql_where=sa.text("position is null"),
    )
    op.create_table(
        "feed_head",
        sa.Column("singleton", sa.Boolean(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=True),
        sa.CheckConstraint("singleton", name=op.f("ck_feed_head_singleton")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_feed_head")),
    )
    op.execute(
        "insert into feed_head (singleton, last, begun_at)"
        " select true, 0, max(at) from account_log"
    )
    op.create_table(
        "access_ends",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_access_ends")),
    )
    op.create_index(op.f("ix_access_ends_due_at"), "access_ends", ["due_at"])
    _allow((*_KINDS, "access_end"))
    _, _, function = _FUNCTION.read_text().partition("\ncreate ")
    op.get_bind().exec_driver_sql(f"create {function}")


def _allow(kinds: tuple[str, ...]) -> None:
    name, listed = op.f("ck_jobs_kind"), ", ".join(map(repr, kinds))
    op.drop_constraint(name, "jobs", type_="check")
    op.create_check_constraint(name, "jobs", f"kind in ({listed})")


def downgrade() -> None:
    # The schema before has no name for them, and the release before no use.
    op.execute("delete from jobs where kind = 'access_end'")
    _allow(_KINDS)
    op.execute("drop function give_positions_v1(int)")
    op.drop_table("access_ends")
    op.drop_table("feed_head")
    op.drop_index(op.f("ix_account_log_unnumbered"), "account_log")
    op.drop_index(op.f("ix_account_log_position"), "account_log")
    op.drop_column("account_log", "position")
