"""Leave room on the pages of payments for the next version of a row.

What a charge is first heard of is soon followed by its invoice, or by what becomes of
it: with room its update is made beside it, and no index is written. It holds for pages
that are written from now on; those of before get it by a `vacuum full`, which is not
worth its lock. 0.1.0 runs on it: nothing of what it reads or writes changes.
"""

from typing import Final

from alembic import op

revision: Final = "0023"
down_revision: Final = "0022"


def upgrade() -> None:
    op.execute("alter table payments set (fillfactor = 80)")


def downgrade() -> None:
    op.execute("alter table payments reset (fillfactor)")
