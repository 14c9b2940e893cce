"""Save in groups; add link keys, paid periods, bodies apart and a log of accounts.

The release before goes on on this schema: what it writes without an owner, and the keys
that it gives to accounts, raise the versions of link keys by triggers; a payment that
it writes raises its account's version.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from alembic import op

from payments_adapters.postgres import partitions

revision: Final = "0003"
down_revision: Final = "0002"

_MOMENT: Final = sa.DateTime(timezone=True)

_TRIGGERS: Final = """
create function raise_link_keys(keys text[]) returns void language sql as $$
    insert into link_keys (key, version)
    select key, 1 from unnest(keys) as key where key is not null order by key
    on conflict (key) do update set version = link_keys.version + 1
$$;
create function payment_unlinked() returns trigger language plpgsql as $$
begin
    perform raise_link_keys(array[
        'user ' || new.claimed_by, 'customer ' || new.customer_id,
        'email ' || new.email_key
    ]);
    return null;
end $$;
create function subscription_unlinked() returns trigger language plpgsql as $$
begin
    perform raise_link_keys(array[
        'user ' || new.claimed_by, 'customer ' || new.customer_id
    ]);
    return null;
end $$;
create function account_keyed() returns trigger language plpgsql as $$
begin
    perform raise_link_keys(array[
        'user ' || new.user_id, 'customer ' || new.customer_id,
        'email ' || new.email_key
    ]);
    return null;
end $$;
create function payment_changed() returns trigger language plpgsql as $$
begin
    update payment_accounts set version = version + 1 where user_id = new.user_id;
    return null;
end $$;
create trigger payment_changed after insert or update on payments
    for each row when (
        new.user_id is not null
        and current_setting('payments.saved_by', true) is distinct from 'save_v1'
    ) execute function payment_changed();
create trigger payment_unlinked after insert or update on payments
    for each row when (
        new.user_id is null
        and current_setting('payments.saved_by', true) is distinct from 'save_v1'
    ) execute function payment_unlinked();
create trigger subscription_unlinked after insert or update on subscriptions
    for each row when (
        new.user_id is null
        and current_setting('payments.saved_by', true) is distinct from 'save_v1'
    ) execute function subscription_unlinked();
create trigger account_inserted after insert on payment_accounts
    for each row when (
        current_setting('payments.saved_by', true) is distinct from 'save_v1'
    ) execute function account_keyed();
create trigger account_rekeyed after update on payment_accounts
    for each row when (
        current_setting('payments.saved_by', true) is distinct from 'save_v1'
        and (new.email_key, new.customer_id) is distinct from
            (old.email_key, old.customer_id)
    ) execute function account_keyed();
"""


def upgrade() -> None:
    _create_tables()
    _widen_tables()
    _fill_periods()
    _execute(_TRIGGERS)


def _execute(sql: str) -> None:
    """Execute each statement by itself: a driver takes one at a time."""
    for statement in re.split(r"(?m)^(?=create )", sql):
        if statement.startswith("create "):
            op.get_bind().exec_driver_sql(statement)


def _create_tables() -> None:
    op.create_table(
        "link_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_link_keys")),
    )
    op.create_table(
        "event_bodies",
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "received_on", "id", "type", name=op.f("pk_event_bodies")
        ),
        postgresql_partition_by="RANGE (received_on)",
    )
    has_lz4 = bool(op.get_bind().scalar(sa.text(partitions.HAS_LZ4)))
    op.execute(partitions.storage(has_lz4=has_lz4))
    op.execute(partitions.creation(None, has_lz4=has_lz4))
    today = datetime.now(UTC).date()
    for ahead in range(-1, partitions.DAYS_AHEAD + 1):
        day = today + timedelta(days=ahead)
        op.execute(partitions.creation(day, has_lz4=has_lz4))
    op.create_table(
        "paid_periods",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("starts_at", _MOMENT, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "source in ('invoice', 'migrated')", name=op.f("ck_paid_periods_source")
        ),
        sa.PrimaryKeyConstraint(
            "subscription_id", "invoice_id", name=op.f("pk_paid_periods")
        ),
    )
    op.create_table(
        "invoice_payments",
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint(
            "invoice_id", "payment_id", name=op.f("pk_invoice_payments")
        ),
    )
    op.create_table(
        "account_log",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("payment_status", sa.Text(), nullable=False),
        sa.Column("payment_expire_date", _MOMENT, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("sources", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "version", name=op.f("pk_account_log")),
    )


def _widen_tables() -> None:
    for column in ("email_key", "customer_id"):
        name = f"uq_payment_accounts_{column}"
        op.drop_constraint(name, "payment_accounts", type_="unique")
        op.create_index(
            name,
            "payment_accounts",
            [column],
            unique=True,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.alter_column("webhook_events", "body", nullable=True)
    op.add_column(
        "payments",
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "intents",
        sa.Column("lease_no", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("intents", sa.Column("leased_until", _MOMENT, nullable=True))
    op.add_column(
        "intents", sa.Column("writer", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "intents",
        sa.Column("steps_version", sa.Integer(), server_default="1", nullable=False),
    )
    op.add_column("subscriptions", sa.Column("plan_changed_at", _MOMENT, nullable=True))
    op.add_column("jobs", sa.Column("finished_at", _MOMENT, nullable=True))
    op.add_column("jobs", sa.Column("user_id", sa.Text(), nullable=True))


def _fill_periods() -> None:
    op.execute(
        "insert into paid_periods (subscription_id, invoice_id, starts_at, ends_at,"
        " source, recorded_at) select gateway_id, paid_invoice_id, paid_from,"
        " paid_through, 'migrated', updated_at from subscriptions"
        " where paid_through is not null"
    )
    op.execute(
        "insert into invoice_payments (invoice_id, payment_id, recorded_at)"
        " select invoice_id, id, recorded_at from payments where invoice_id is not null"
    )


def downgrade() -> None:
    for trigger, table in (
        ("account_rekeyed", "payment_accounts"),
        ("account_inserted", "payment_accounts"),
        ("subscription_unlinked", "subscriptions"),
        ("payment_unlinked", "payments"),
        ("payment_changed", "payments"),
    ):
        op.execute(f"drop trigger {trigger} on {table}")
    for function in (
        "account_keyed",
        "subscription_unlinked",
        "payment_unlinked",
        "payment_changed",
        "raise_link_keys",
    ):
        op.execute(f"drop function {function}")
    op.execute("delete from jobs where finished_at is not null")
    op.drop_column("subscriptions", "plan_changed_at")
    op.drop_column("jobs", "user_id")
    op.drop_column("jobs", "finished_at")
    for column in ("steps_version", "writer", "leased_until", "lease_no"):
        op.drop_column("intents", column)
    op.drop_column("payments", "sequence")
    op.execute(
        "update webhook_events e set body = b.body from event_bodies b"
        " where b.id = e.id and b.type = e.type and e.body is null"
    )
    op.alter_column("webhook_events", "body", nullable=False)
    for column in ("email_key", "customer_id"):
        name = f"uq_payment_accounts_{column}"
        op.drop_index(name, table_name="payment_accounts")
        op.create_unique_constraint(name, "payment_accounts", [column])
    for table in (
        "account_log",
        "invoice_payments",
        "paid_periods",
        "event_bodies",
        "link_keys",
    ):
        op.drop_table(table)
