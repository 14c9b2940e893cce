"""Add subscriptions, intents and jobs.

The table of subscriptions was there, and nobody wrote to it: it is made anew. That a
user has one living subscription of a product is decided where one is begun, and is no
constraint: what a gateway reports is taken in, whatever it is.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    op.execute("create sequence gateway_tickets")
    _widen_accounts()
    _widen_events()
    op.drop_table("subscriptions")
    _create_subscriptions()
    _create_intents()
    _create_jobs()


def _widen_accounts() -> None:
    op.add_column(
        "payment_accounts", sa.Column("latest_status", sa.Text(), nullable=True)
    )
    op.add_column(
        "payment_accounts", sa.Column("latest_returned", sa.Boolean(), nullable=True)
    )
    op.add_column(
        "payment_accounts",
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column("payment_accounts", sa.Column("card_id", sa.Text(), nullable=True))
    op.add_column("payment_accounts", sa.Column("card_brand", sa.Text(), nullable=True))
    op.add_column("payment_accounts", sa.Column("card_last4", sa.Text(), nullable=True))
    op.add_column(
        "payment_accounts",
        sa.Column("card_exp_month", sa.SmallInteger(), nullable=True),
    )
    op.add_column(
        "payment_accounts", sa.Column("card_exp_year", sa.SmallInteger(), nullable=True)
    )
    op.add_column(
        "payment_accounts",
        sa.Column("card_ticket", sa.BigInteger(), server_default="0", nullable=False),
    )


def _widen_events() -> None:
    op.add_column("webhook_events", sa.Column("waits_for", sa.Text(), nullable=True))
    op.create_index(
        "ix_webhook_events_waiting",
        "webhook_events",
        ["waits_for"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trial_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pinned_card", sa.Text(), nullable=True),
        sa.Column("latest_invoice_id", sa.Text(), nullable=True),
        sa.Column("pending_price", sa.Text(), nullable=True),
        sa.Column("pending_quantity", sa.BigInteger(), nullable=True),
        sa.Column("pending_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("paid_invoice_id", sa.Text(), nullable=True),
        sa.Column("paid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_through", sa.DateTime(timezone=True), nullable=True),
        sa.Column("known_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled')",  # noqa: E501  # as it was made
            name=op.f("ck_subscriptions_status"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["payment_accounts.user_id"],
            name=op.f("fk_subscriptions_user_id"),
        ),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("id", name=op.f("uq_subscriptions_id")),
    )
    op.create_index(
        op.f("ix_subscriptions_look_at"), "subscriptions", ["look_at"], unique=False
    )
    op.create_index(
        "ix_subscriptions_unlinked_claimed_by",
        "subscriptions",
        ["claimed_by"],
        unique=False,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_index(
        "ix_subscriptions_unlinked_customer_id",
        "subscriptions",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_index(
        op.f("ix_subscriptions_user_id"), "subscriptions", ["user_id"], unique=False
    )


def _create_intents() -> None:
    op.create_table(
        "intents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("calls", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind in ('create_customer', 'set_up_card', 'update_card', 'start_subscription', 'change_subscription', 'end_subscription')",  # noqa: E501  # as it was made
            name=op.f("ck_intents_kind"),
        ),
        sa.CheckConstraint(
            "state in ('new', 'sent', 'unknown', 'succeeded', 'declined', 'abandoned')",
            name=op.f("ck_intents_state"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["payment_accounts.user_id"], name=op.f("fk_intents_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sa.UniqueConstraint("key", name=op.f("uq_intents_key")),
    )
    op.create_index(
        "ix_intents_due",
        "intents",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('new', 'sent', 'unknown')"),
    )
    op.create_index(
        "uq_intents_open",
        "intents",
        ["user_id", "kind", "subject"],
        unique=True,
        postgresql_where=sa.text("state IN ('new', 'sent', 'unknown')"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_no", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "kind in ('subscription', 'customer', 'payment', 'set_up', 'event')",
            name=op.f("ck_jobs_kind"),
        ),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("NOT dead"),
    )
    op.create_table(
        "gateway_budgets",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("calls_left", sa.Double(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_gateway_budgets")),
    )


def downgrade() -> None:
    for table in ("gateway_budgets", "jobs", "intents", "subscriptions"):
        op.drop_table(table)
    op.drop_index("ix_webhook_events_waiting", table_name="webhook_events")
    op.drop_column("webhook_events", "waits_for")
    for column in (
        "latest_status",
        "latest_returned",
        "returned_at",
        "card_id",
        "card_brand",
        "card_last4",
        "card_exp_month",
        "card_exp_year",
        "card_ticket",
    ):
        op.drop_column("payment_accounts", column)
    op.execute("drop sequence gateway_tickets")
    _recreate_unused_subscriptions()


def _recreate_unused_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled')",  # noqa: E501  # as it was made
            name=op.f("ck_subscriptions_status"),
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_subscriptions_quantity")),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["payment_accounts.user_id"],
            name=op.f("fk_subscriptions_user_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("gateway_id", name=op.f("uq_subscriptions_gateway_id")),
    )
    op.create_index(
        "uq_subscriptions_live",
        "subscriptions",
        ["user_id", "product"],
        unique=True,
        postgresql_where=sa.text("(status NOT IN ('canceled', 'incomplete_expired'))"),
    )
