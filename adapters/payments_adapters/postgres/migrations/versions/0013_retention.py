"""Find by an index what is kept too long; keep tombstones of users who were erased.

0.1.0 runs on it: it only has more indexes to write. A job that it claims may have the
fence of one that was purged, as one that it deletes itself always might. It knows
nothing of tombstones: nobody may be erased before it is gone.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0013"
down_revision: Final = "0012"

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
_ACTIONS: Final = (
    *("bind_customer", "link_payment", "unlink_payment"),
    *("link_subscription", "unlink_subscription", "close_event"),
    *("replay_event", "recover_event", "retry_job"),
)
# Asked only if somebody was erased. Without the key that they were erased with nothing
# can be said: a row of nulls says so.
_ERASED: Final = """
create function erased_v1(proof bytea, digests bytea[]) returns erased_key_v1[]
language plpgsql stable
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
as $$
begin
    if not exists (select from erased_keys where digest = proof) then
        return array[row(null, null)::erased_key_v1];
    end if;
    return (
        select array_agg(row(e.digest, e.at)::erased_key_v1) from erased_keys e
        where e.digest = any(digests)
    );
end $$
"""


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
    op.create_table(
        "erased_keys",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased_keys")),
    )
    op.create_table(
        "erasures",
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("identifiers", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name=op.f("pk_erasures")),
    )
    op.execute("create type erased_key_v1 as (digest bytea, at timestamptz)")
    op.get_bind().exec_driver_sql(_ERASED)
    _allow((*_ACTIONS, "erase_account"))


def _allow(actions: tuple[str, ...]) -> None:
    name, listed = op.f("ck_changes_by_hand_action"), ", ".join(map(repr, actions))
    op.drop_constraint(name, "changes_by_hand", type_="check")
    op.create_check_constraint(name, "changes_by_hand", f"action in ({listed})")


def downgrade() -> None:
    # What was decided stays known, by an action that the schema before has.
    op.execute(
        "update changes_by_hand set action = 'unlink_payment'"
        " where action = 'erase_account'"
    )
    _allow(_ACTIONS)
    op.execute("drop type erased_key_v1 cascade")
    op.drop_table("erasures")
    op.drop_table("erased_keys")
    op.drop_table("purged_jobs")
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(op.f(name), table)
