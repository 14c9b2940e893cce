"""Let no job die, and no event wait for nothing; make the write path.

The functions that load and save, and their types, are in files beside the ledger. A
schema of a day before the release has them already: they are made anew.
"""

import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"

_FILES: Final = ("load_v1.sql", "save_v1.sql")
_FOLDER: Final = Path(__file__).parents[2]
# Of `payments_core.job.QUICK_ATTEMPTS`.
_FAILING: Final = "NOT dead AND attempts >= 12"

# The release before gives a job up after its last attempt; it tries one that is open
# again once, and gives it up again. What it finishes it deletes.
_TRIGGER: Final = """
create function job_given_up() returns trigger language plpgsql as $$
begin
    new.dead := false;
    new.due_at := new.due_at + interval '1 day';
    return new;
end $$;
create trigger job_given_up before update on jobs
    for each row when (
        new.dead and not old.dead
        and current_setting('payments.saved_by', true) is distinct from 'save_v1'
    ) execute function job_given_up();
"""


def upgrade() -> None:
    op.execute("update jobs set dead = false where dead and finished_at is null")
    # They are due by now, all at once: the budget of calls spreads them.
    op.create_index(
        op.f("ix_jobs_failing"), "jobs", ["due_at"], postgresql_where=sa.text(_FAILING)
    )
    op.execute(
        "update webhook_events set state = 'quarantined'"
        " where state = 'pending' and waits_for is null"
    )
    _drop_functions()
    # They read what migration 0017 adds, which makes them anew.
    op.execute("set local check_function_bodies = off")
    for statement in (*_statements(_TRIGGER), *_functions()):
        op.get_bind().exec_driver_sql(statement)
    op.execute("set local check_function_bodies = on")


def downgrade() -> None:
    _drop_functions()
    op.execute("drop trigger job_given_up on jobs")
    op.execute("drop function job_given_up()")
    op.drop_index(op.f("ix_jobs_failing"), "jobs")


def _functions() -> list[str]:
    texts = ((_FOLDER / name).read_text() for name in _FILES)
    return [part for text in texts for part in _statements(text)]


def _statements(text: str) -> list[str]:
    """Return each statement by itself: a driver takes one at a time."""
    parts = re.split(r"(?m)^(?=create )", text)
    return [part for part in parts if part.startswith("create ")]


def _drop_functions() -> None:
    # With the functions that take or return them.
    for statement in _functions():
        if made := re.match(r"create type (\w+)", statement):
            op.execute(f"drop type if exists {made[1]} cascade")
    op.execute("drop function if exists email_holder_v1(text, timestamptz)")
    op.execute("drop function if exists is_free_v1(text, text[])")
