"""Keep who did what by hand; close events; link subscriptions by hand.

The release before goes on beside it: it keeps no change by hand, and does not link
what was linked by hand. An event that is closed it does not know: its `webhook list`
ends at one, and its worker leaves it alone.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0012"
down_revision: Final = "0011"

_ACTIONS: Final = ("bind_customer", "link_payment", "unlink_payment")
_NEW_ACTIONS: Final = (
    *_ACTIONS,
    *("link_subscription", "unlink_subscription", "close_event"),
    *("replay_event", "recover_event", "retry_job"),
)
_STATES: Final = ("applied", "ignored", "pending", "quarantined")
# Of migration 0005: it keeps the link of a row that was linked by hand.
_TRIGGER: Final = """
create trigger subscription_link_kept before update on subscriptions
    for each row when (
        current_setting('payments.saved_by', true) is distinct from 'save_v1'
        and old.linked_by_hand
    ) execute function link_kept()
"""


def upgrade() -> None:
    op.add_column(
        "subscriptions",
        sa.Column(
            "linked_by_hand", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    )
    op.get_bind().exec_driver_sql(_TRIGGER)
    op.alter_column("changes_by_hand", "user_id", nullable=True)
    op.add_column("changes_by_hand", sa.Column("event_type", sa.Text(), nullable=True))
    _allow("changes_by_hand", "action", _NEW_ACTIONS)
    op.drop_index(op.f("ix_changes_by_hand_subject"), "changes_by_hand")
    for names in (("at", "id"), ("subject", "at", "id"), ("action", "at", "id")):
        name = op.f(f"ix_changes_by_hand_{'_'.join(names)}")
        op.create_index(name, "changes_by_hand", list(names))
    _allow("webhook_events", "state", (*_STATES, "closed"))
    op.create_index(
        op.f("ix_webhook_events_closed_object"),
        "webhook_events",
        ["object_id"],
        postgresql_using="hash",
        postgresql_where=sa.text("state = 'closed'"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_events_closed_object"), "webhook_events")
    # What the release before knows that is not applied, and stays so.
    op.execute("update webhook_events set state = 'ignored' where state = 'closed'")
    _allow("webhook_events", "state", _STATES)
    for names in (("at", "id"), ("subject", "at", "id"), ("action", "at", "id")):
        name = op.f(f"ix_changes_by_hand_{'_'.join(names)}")
        op.drop_index(name, "changes_by_hand")
    known = ", ".join(f"'{it}'" for it in _ACTIONS)
    op.execute(f"delete from changes_by_hand where action not in ({known})")  # noqa: S608  # our own words
    op.create_index(op.f("ix_changes_by_hand_subject"), "changes_by_hand", ["subject"])
    _allow("changes_by_hand", "action", _ACTIONS)
    op.drop_column("changes_by_hand", "event_type")
    op.alter_column("changes_by_hand", "user_id", nullable=False)
    op.execute("drop trigger subscription_link_kept on subscriptions")
    op.drop_column("subscriptions", "linked_by_hand")


def _allow(table: str, column: str, words: Sequence[str]) -> None:
    name = op.f(f"ck_{table}_{column}")
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{word}'" for word in words)
    op.create_check_constraint(name, table, f"{column} in ({listed})")
