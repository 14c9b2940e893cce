"""Log with each verdict what gives access, until when, and by which catalogue.

0.1.0 runs on it: it logs nothing of this.
The functions that load and save are made anew, with what is added since.
"""

import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: Final = "0018"
down_revision: Final = "0017"

_FILES: Final = ("load_v1.sql", "history_v1.sql", "save_v1.sql")
_FOLDER: Final = Path(__file__).parents[2]


def upgrade() -> None:
    op.add_column("account_log", sa.Column("grants", postgresql.JSONB, nullable=True))
    op.add_column("account_log", sa.Column("catalogue", sa.Text(), nullable=True))
    op.add_column(
        "account_log", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True)
    )
    _make_functions_anew()


def downgrade() -> None:
    op.drop_column("account_log", "ends_at")
    op.drop_column("account_log", "catalogue")
    op.drop_column("account_log", "grants")


def _make_functions_anew() -> None:
    text = "\n".join((_FOLDER / name).read_text() for name in _FILES)
    statements = re.split(r"(?m)^(?=create )", text)[1:]
    for statement in statements:
        if made := re.match(r"create type (\w+)", statement):
            # With the functions that take or return them.
            op.execute(f"drop type if exists {made[1]} cascade")
    op.execute("drop function if exists email_holder_v1(text, timestamptz)")
    op.execute("drop function if exists is_free_v1(text, text[])")
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)
