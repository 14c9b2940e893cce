"""Begin with accounts, payments, events and tokens."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("singleton", sa.Boolean(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.CheckConstraint("singleton", name=op.f("ck_deployment_singleton")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_deployment")),
    )
    op.create_table(
        "invalidated_tokens",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("invalidated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "jti", name=op.f("pk_invalidated_tokens")),
    )
    op.create_index(
        op.f("ix_invalidated_tokens_expires_at"),
        "invalidated_tokens",
        ["expires_at"],
        unique=False,
    )
    op.create_table(
        "payment_accounts",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("payment_status", sa.Text(), nullable=False),
        sa.Column("payment_expire_date", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latest_created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latest_precedence", sa.SmallInteger(), nullable=True),
        sa.Column("latest_payment_id", sa.Text(), nullable=True),
        sa.Column("latest_buys_month", sa.Boolean(), nullable=True),
        sa.Column("term_anchor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("term_months", sa.Integer(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "payment_status in ('none', 'pending', 'paid', 'failed', 'refunded', 'disputed')",  # noqa: E501  # as it was made
            name=op.f("ck_payment_accounts_payment_status"),
        ),
        sa.CheckConstraint(
            "term_months > 0", name=op.f("ck_payment_accounts_term_months")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_payment_accounts")),
        sa.UniqueConstraint(
            "customer_id", name=op.f("uq_payment_accounts_customer_id")
        ),
        sa.UniqueConstraint("email_key", name=op.f("uq_payment_accounts_email_key")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "token_cut_offs",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_token_cut_offs")),
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "state in ('applied', 'ignored', 'pending', 'quarantined')",
            name=op.f("ck_webhook_events_state"),
        ),
        sa.PrimaryKeyConstraint("id", "type", name=op.f("pk_webhook_events")),
    )
    op.create_index(
        op.f("ix_webhook_events_received_at"),
        "webhook_events",
        ["received_at"],
        unique=False,
    )
    op.create_index(
        "ix_webhook_events_unsettled",
        "webhook_events",
        ["state", "received_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'quarantined')"),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dispute", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "dispute in ('none', 'open', 'won', 'lost', 'contradicted')",
            name=op.f("ck_payments_dispute"),
        ),
        sa.CheckConstraint(
            "state in ('pending', 'failed', 'succeeded', 'partially_refunded', 'refunded', 'contradicted')",  # noqa: E501  # as it was made
            name=op.f("ck_payments_state"),
        ),
        sa.CheckConstraint(
            "(amount_minor is null) = (currency is null)",
            name=op.f("ck_payments_money"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_payments_amount_minor")),
        sa.CheckConstraint(
            "refunded_minor >= 0", name=op.f("ck_payments_refunded_minor")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["payment_accounts.user_id"], name=op.f("fk_payments_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index(
        "ix_payments_unlinked_claimed_by",
        "payments",
        ["claimed_by"],
        unique=False,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_index(
        "ix_payments_unlinked_customer_id",
        "payments",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_index(
        "ix_payments_unlinked_email_key",
        "payments",
        ["email_key"],
        unique=False,
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_index(
        op.f("ix_payments_user_id_created_at"),
        "payments",
        ["user_id", "created_at"],
        unique=False,
    )
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
    _store_bodies_cheaply()


def _store_bodies_cheaply() -> None:
    # Postgres compresses large values with pglz unless told otherwise, which costs
    # half the throughput of a webhook. Not every build has lz4; the server knows.
    op.execute(
        """
        do $$ begin
            if (select 'lz4' = any(enumvals) from pg_settings
                where name = 'default_toast_compression')
            then alter table webhook_events alter column body set compression lz4;
            else
                alter table webhook_events alter column body set storage external;
                -- Most bodies fit a page: keep them in the row, out of the side table.
                alter table webhook_events set (toast_tuple_target = 8160);
            end if;
        end $$
        """
    )


def downgrade() -> None:
    for table in (
        "subscriptions",
        "payments",
        "webhook_events",
        "token_cut_offs",
        "payment_accounts",
        "invalidated_tokens",
        "deployment",
    ):
        op.drop_table(table)
