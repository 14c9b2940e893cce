"""Load and save in fewer and cheaper statements.

The functions are made anew. 0.1.0 runs on it: it calls none of them.
"""

import re
from pathlib import Path
from typing import Final

from alembic import op

revision: Final = "0024"
down_revision: Final = "0023"

_FILES: Final = ("load_v1.sql", "history_v1.sql", "save_v1.sql")
_FOLDER: Final = Path(__file__).parents[2]


def upgrade() -> None:
    _make_functions_anew()


def downgrade() -> None:
    """Leave the functions: those before were never released."""


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
