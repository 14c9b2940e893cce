"""Give revocations positions in the order of their commits, and know who heard of them.

0.1.0 runs on it: triggers give positions to what it writes. It asks the tables for each
request, and knows nothing of a moment before which all tokens are revoked.
What is there gets positions while the tables are locked: seconds for a million rows.
"""

import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: Final = "0021"
down_revision: Final = "0020"

_FUNCTIONS: Final = Path(__file__).parents[2] / "revocations_v1.sql"
_MOMENT: Final = sa.DateTime(timezone=True)
_TABLES: Final = ("invalidated_tokens", "token_cut_offs")
_NUMBER_TOKENS: Final = """
update invalidated_tokens t set position = n.position from (
    select issuer, jti, row_number() over (
        order by invalidated_at, issuer, jti
    ) as position from invalidated_tokens
) as n where t.issuer = n.issuer and t.jti = n.jti
"""
_NUMBER_CUT_OFFS: Final = """
update token_cut_offs c set position = n.position from (
    select user_id, (select count(*) from invalidated_tokens) + row_number() over (
        order by at, user_id
    ) as position from token_cut_offs
) as n where c.user_id = n.user_id
"""
_HEAD: Final = """
insert into revocation_head (singleton, position) select true,
    (select count(*) from invalidated_tokens) + (select count(*) from token_cut_offs)
"""


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("position", sa.BigInteger(), nullable=True))
    op.create_table(
        "revocation_head",
        sa.Column("singleton", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("issued_before", _MOMENT, nullable=True),
        sa.Column(
            "mark", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False
        ),
        sa.CheckConstraint("singleton", name=op.f("ck_revocation_head_singleton")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_revocation_head")),
    )
    op.create_table(
        "revocation_heartbeats",
        sa.Column("process_id", sa.Text(), nullable=False),
        sa.Column("heard", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column(
            "marks",
            postgresql.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_revocation_heartbeats")),
    )
    for statement in (_NUMBER_TOKENS, _NUMBER_CUT_OFFS, _HEAD):
        op.execute(statement)
    for table in _TABLES:
        op.alter_column(table, "position", nullable=False)
        op.create_index(op.f(f"ix_{table}_position"), table, ["position"])
    for statement in re.split(r"(?m)^(?=create )", _FUNCTIONS.read_text())[1:]:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.execute(
        "drop function poll_revocations_v1(text, bigint, uuid, bigint,"
        " timestamptz, timestamptz, bigint)"
    )
    op.execute("drop function revoke_all_issued_before_v1(timestamptz)")
    op.execute("drop function revoke_issued_before_v1(text, timestamptz)")
    op.execute(
        "drop function revoke_token_v1(text, text, text, timestamptz, timestamptz)"
    )
    # With the triggers.
    op.execute("drop function position_revocation_v1() cascade")
    op.execute("drop function next_revocation_v1()")
    op.execute("drop function begin_revocations_v1()")
    op.drop_table("revocation_heartbeats")
    op.drop_table("revocation_head")
    for table in _TABLES:
        op.drop_index(op.f(f"ix_{table}_position"), table)
        op.drop_column(table, "position")
