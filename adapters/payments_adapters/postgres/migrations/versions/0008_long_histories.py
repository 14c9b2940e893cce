"""Load a long history in sums.

The function, and its type, are in a file beside the ledger. The release before calls
`load_v1` alone, which stays as it is.
"""

import re
from pathlib import Path
from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"

_FILE: Final = Path(__file__).parents[2] / "history_v1.sql"


def upgrade() -> None:
    # Each statement by itself: a driver takes one at a time.
    for statement in re.split(r"(?m)^(?=create )", _FILE.read_text())[1:]:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    # With the function, which returns it.
    op.execute("drop type payment_bucket_v1 cascade")
