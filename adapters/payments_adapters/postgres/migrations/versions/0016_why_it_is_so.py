"""Log until when there is access, and what a verdict rests on; find events by object.

The functions that load and save are made anew, with what is added here. 0.1.0 runs on
it: it logs nothing of this.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0016"
down_revision: Final = "0015"

_FILES: Final = ("load_v1.sql", "history_v1.sql", "save_v1.sql")
_FOLDER: Final = Path(__file__).parents[2]
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
    _make_functions_anew()


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_events_object_id"), "webhook_events")
    for name in _COLUMNS:
        op.drop_column("account_log", name)


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
