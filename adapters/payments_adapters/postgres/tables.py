"""The tables. Everything else (migrations, SQL, rows) follows from here.

Keys are the gateway's ids or start with the account; none is from a sequence. Checks
are the last guard, not the first: the core has validated before.
"""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from payments_core.by_hand import ActionByHand
from payments_core.entitlement import PaymentStatus
from payments_core.events import OPEN_STATES, EventState
from payments_core.intent import INTENT_STEPS, IntentKind, IntentState
from payments_core.job import QUICK_ATTEMPTS
from payments_core.job_key import JobKind
from payments_core.linking import KeyKind
from payments_core.payment import DisputeState, PaymentState
from payments_core.subscription import SUBSCRIPTION_STEPS, SubscriptionStatus

WRITTEN_AT: Final = "written_at"

METADATA: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

_MOMENT: Final = sa.DateTime(timezone=True)


def _written_at(name: str) -> sa.Column[datetime]:
    """Return a column for our own time: one value for a whole transaction."""
    return sa.Column(name, _MOMENT, nullable=False, info={WRITTEN_AT: True})


def _one_of(column: str, words: type) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)  # type: ignore[attr-defined]  # a StrEnum
    return sa.CheckConstraint(f"{column} in ({listed})", name=column)


payment_accounts: Final = sa.Table(
    "payment_accounts",
    METADATA,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False),
    # Null: from before it was recorded.
    sa.Column("email_since", _MOMENT),
    sa.Column("customer_id", sa.Text),
    # The columns that people query; both follow from the summary below.
    sa.Column("payment_status", sa.Text, nullable=False),
    sa.Column("payment_expire_date", _MOMENT),
    # The summary: the latest payment, and the months paid in advance.
    sa.Column("latest_created_at", _MOMENT),
    sa.Column("latest_precedence", sa.SmallInteger),
    sa.Column("latest_payment_id", sa.Text),
    sa.Column("latest_buys_month", sa.Boolean),
    # The payment's own status: with subscriptions the account's may differ.
    sa.Column("latest_status", sa.Text),
    sa.Column("latest_returned", sa.Boolean),
    sa.Column("term_anchor", _MOMENT),
    sa.Column("term_months", sa.Integer),
    sa.Column("returned_at", _MOMENT),
    sa.Column("some_disputed", sa.Boolean, nullable=False, server_default=sa.false()),
    # The card that pays by default, and the sequence number of its fetch.
    sa.Column("card_id", sa.Text),
    sa.Column("card_brand", sa.Text),
    sa.Column("card_last4", sa.Text),
    sa.Column("card_exp_month", sa.SmallInteger),
    sa.Column("card_exp_year", sa.SmallInteger),
    sa.Column("card_ticket", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("version", sa.BigInteger, nullable=False),
    _written_at("created_at"),
    _written_at("updated_at"),
    _one_of("payment_status", PaymentStatus),
    sa.CheckConstraint("term_months > 0", name="term_months"),
    # Space on each page for a row's next version (HOT): a payment changes no indexed
    # column.
    postgresql_with={"fillfactor": 80},
)

# Partial, though it has all rows: a column of a full unique index is part of the key,
# and changing it would wait for every payment that is being inserted for the account.
for _column in (payment_accounts.c.email_key, payment_accounts.c.customer_id):
    sa.Index(
        f"uq_payment_accounts_{_column.name}",
        _column,
        unique=True,
        postgresql_where=_column.is_not(None),
    )
# Lists are in byte order, whatever the collation of the database: a prefix search can
# use them. Erased users are in none of them.
_LISTED_USER_ID: Final = sa.collate(payment_accounts.c.user_id, "C")
_IS_LISTED: Final = sa.text("user_id not like 'erased/%'")
sa.Index("ix_payment_accounts_listed", _LISTED_USER_ID, postgresql_where=_IS_LISTED)
sa.Index(
    "ix_payment_accounts_listed_email",
    sa.collate(payment_accounts.c.email_key, "C"),
    postgresql_where=_IS_LISTED,
)
sa.Index(
    "ix_payment_accounts_listed_status",
    payment_accounts.c.payment_status,
    _LISTED_USER_ID,
    postgresql_where=_IS_LISTED,
)

payments: Final = sa.Table(
    "payments",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    # Null while the payment is unlinked.
    sa.Column("user_id", sa.Text, sa.ForeignKey(payment_accounts.c.user_id)),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("dispute", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("refunded_minor", sa.BigInteger, nullable=False),
    # The time of the charge; our own is recorded_at.
    sa.Column("created_at", _MOMENT),
    sa.Column("customer_id", sa.Text),
    # `metadata_user_id`: the user whom the charge's metadata names.
    sa.Column("claimed_by", sa.Text),
    sa.Column("email_key", sa.Text),
    sa.Column("invoice_id", sa.Text),
    # The gateway's id of the subscription whose invoice it paid; null means none only
    # if `invoice_known`.
    sa.Column("subscription_id", sa.Text),
    sa.Column("invoice_known", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("failure_code", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False),
    # The number of the load or fetch that last changed it.
    sa.Column("sequence", sa.BigInteger, nullable=False, server_default="0"),
    # An administrator has linked or unlinked it.
    sa.Column("linked_by_hand", sa.Boolean, nullable=False, server_default=sa.false()),
    # The second of the last fetched answer; null if it was never fetched.
    sa.Column("as_of", _MOMENT),
    _written_at("recorded_at"),
    _written_at("updated_at"),
    _one_of("state", PaymentState),
    _one_of("dispute", DisputeState),
    sa.CheckConstraint("amount_minor >= 0", name="amount_minor"),
    sa.CheckConstraint("refunded_minor >= 0", name="refunded_minor"),
    sa.CheckConstraint("(amount_minor is null) = (currency is null)", name="money"),
    # As above: a charge's first event is soon followed by its invoice's.
    postgresql_with={"fillfactor": 80},
)
sa.Index(None, payments.c.user_id, payments.c.created_at)
sa.Index(None, payments.c.created_at)
_UNLINKED: Final = payments.c.user_id.is_(None)
for _column in (payments.c.customer_id, payments.c.claimed_by, payments.c.email_key):
    sa.Index(
        f"ix_payments_unlinked_{_column.name}", _column, postgresql_where=_UNLINKED
    )

webhook_events: Final = sa.Table(
    "webhook_events",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    # Stripe's sample events share one id, so the type is part of the key.
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("object_id", sa.Text),
    sa.Column("created_at", _MOMENT, nullable=False),
    _written_at("received_at"),
    sa.Column("api_version", sa.Text),
    sa.Column("livemode", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # For events of the release before 0.2, and for those that were open when the bodies
    # of their day were dropped; see event_bodies.
    sa.Column("body", sa.LargeBinary),
    # The job that will resolve a pending event: its kind and its subject.
    sa.Column("waits_for", sa.Text),
    # The user in whose timeline it is; null if none, or if 0.1.0 stored it.
    sa.Column("user_id", sa.Text),
    _one_of("state", EventState),
)
sa.Index(None, webhook_events.c.received_at)
sa.Index(None, webhook_events.c.object_id, postgresql_using="hash")
sa.Index(
    "ix_webhook_events_waiting",
    webhook_events.c.waits_for,
    postgresql_where=webhook_events.c.state == EventState.PENDING.value,
)
sa.Index(
    "ix_webhook_events_unsettled",
    webhook_events.c.state,
    webhook_events.c.received_at,
    postgresql_where=webhook_events.c.state.in_([it.value for it in OPEN_STATES]),
)
sa.Index(
    "ix_webhook_events_unsettled_object",
    webhook_events.c.object_id,
    # Only for look-ups of one object: the operator class keeps the planner from using
    # it for lists, which have their own index.
    postgresql_using="hash",
    postgresql_where=webhook_events.c.state.in_([it.value for it in OPEN_STATES]),
)
# Bodies that may be purged: open events need theirs.
sa.Index(
    "ix_webhook_events_body",
    webhook_events.c.received_at,
    postgresql_where=sa.and_(
        webhook_events.c.body.is_not(None),
        webhook_events.c.state.not_in([it.value for it in OPEN_STATES]),
    ),
)
sa.Index(
    "ix_webhook_events_user_id_received_at",
    webhook_events.c.user_id,
    webhook_events.c.received_at,
    postgresql_where=webhook_events.c.user_id.is_not(None),
)
sa.Index(
    "ix_webhook_events_closed_object",
    webhook_events.c.object_id,
    postgresql_using="hash",
    postgresql_where=webhook_events.c.state == EventState.CLOSED.value,
)

event_bodies: Final = sa.Table(
    "event_bodies",
    METADATA,
    # The day of receipt, in UTC: one partition each, so that old bodies are dropped and
    # not deleted.
    sa.Column("received_on", sa.Date, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, primary_key=True),
    # Bytes, not jsonb: jsonb refuses some bodies, rewrites others, and costs half
    # the throughput.
    sa.Column("body", sa.LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (received_on)",
)

subscriptions: Final = sa.Table(
    "subscriptions",
    METADATA,
    sa.Column("gateway_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    # Null while the subscription is unlinked.
    sa.Column("user_id", sa.Text, sa.ForeignKey(payment_accounts.c.user_id)),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("price", sa.Text, nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    # The gateway's time; our own is recorded_at.
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("period_start", _MOMENT, nullable=False),
    sa.Column("period_end", _MOMENT, nullable=False),
    sa.Column("trial_start", _MOMENT),
    sa.Column("trial_end", _MOMENT),
    sa.Column("cancel_at", _MOMENT),
    sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
    sa.Column("ended_at", _MOMENT),
    sa.Column("pinned_card", sa.Text),
    sa.Column("latest_invoice_id", sa.Text),
    sa.Column("pending_price", sa.Text),
    sa.Column("pending_quantity", sa.BigInteger),
    sa.Column("pending_expires_at", _MOMENT),
    # `metadata_user_id`: the user whom its metadata names.
    sa.Column("claimed_by", sa.Text),
    sa.Column("intent_id", sa.Text),
    # The last period that was paid for.
    sa.Column("paid_invoice_id", sa.Text),
    sa.Column("paid_from", _MOMENT),
    sa.Column("paid_through", _MOMENT),
    # `as_of`: up to when the last merged report may contain changes.
    sa.Column("known_until", _MOMENT, nullable=False),
    # `sequence`: the number of the last merged report.
    sa.Column("ticket", sa.BigInteger, nullable=False),
    # When its price or quantity was last seen to change.
    sa.Column("plan_changed_at", _MOMENT),
    # `next_sync_at`: when to sync it, if no event arrives before.
    sa.Column("look_at", _MOMENT),
    # An administrator has linked or unlinked it.
    sa.Column("linked_by_hand", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("version", sa.BigInteger, nullable=False),
    _written_at("recorded_at"),
    _written_at("updated_at"),
    _one_of("status", SubscriptionStatus),
)
sa.Index(None, subscriptions.c.user_id)
sa.Index(
    "ix_subscriptions_listed_product",
    subscriptions.c.product,
    sa.collate(subscriptions.c.user_id, "C"),
    # Constants: with parameters the planner does not use the partial index.
    postgresql_where=sa.and_(
        subscriptions.c.user_id.is_not(None),
        subscriptions.c.status.not_in(
            [it.value for it, steps in SUBSCRIPTION_STEPS.items() if not steps]
        ),
    ),
)
sa.Index(None, subscriptions.c.look_at)
sa.Index(None, subscriptions.c.created_at)
for _column in (subscriptions.c.customer_id, subscriptions.c.claimed_by):
    sa.Index(
        f"ix_subscriptions_unlinked_{_column.name}",
        _column,
        postgresql_where=subscriptions.c.user_id.is_(None),
    )

paid_periods: Final = sa.Table(
    "paid_periods",
    METADATA,
    # The gateway's id: a period may be known before its subscription is linked.
    sa.Column("subscription_id", sa.Text, primary_key=True),
    sa.Column("invoice_id", sa.Text, primary_key=True),
    sa.Column("starts_at", _MOMENT, nullable=False),
    sa.Column("ends_at", _MOMENT, nullable=False),
    # The amount that paid it; 0 for a coupon or a credit, null if unknown.
    sa.Column("amount_paid_minor", sa.BigInteger),
    sa.Column("source", sa.Text, nullable=False),
    _written_at("recorded_at"),
    # `migrated`: the one period that an earlier release stored, exact after a sync.
    sa.CheckConstraint("source in ('invoice', 'migrated')", name="source"),
)

invoice_payments: Final = sa.Table(
    "invoice_payments",
    METADATA,
    sa.Column("invoice_id", sa.Text, primary_key=True),
    sa.Column("payment_id", sa.Text, primary_key=True),
    _written_at("recorded_at"),
)

account_log: Final = sa.Table(
    "account_log",
    METADATA,
    # One row for each change of the status, the date, the grace or the grants: only
    # changed by an erasure, never deleted.
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    _written_at("at"),
    sa.Column("payment_status", sa.Text, nullable=False),
    sa.Column("payment_expire_date", _MOMENT),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("sources", postgresql.ARRAY(sa.Text), nullable=False),
    # The end of access, with the grace of that time; and what the status and the date
    # rest on. Also null in rows from before 0016, whose grace is null.
    sa.Column("entitled_until", _MOMENT),
    sa.Column("grace_s", sa.BigInteger),
    sa.Column("status_by", sa.Text),
    sa.Column("date_by", sa.Text),
    # The grants (`payments_core.access`), and the catalogue's version of that time; and
    # when the first of them ends after `at`. Also null in rows from before 0018.
    sa.Column("grants", postgresql.JSONB),
    sa.Column("catalogue", sa.Text),
    sa.Column("ends_at", _MOMENT),
    # Its position in the feed: given after the commit (`feed_v1.sql`).
    sa.Column("position", sa.BigInteger),
)
sa.Index(None, account_log.c.user_id, account_log.c.at)
sa.Index(
    None,
    account_log.c.position,
    unique=True,
    postgresql_where=account_log.c.position.is_not(None),
)
sa.Index(
    "ix_account_log_unnumbered",
    account_log.c.at,
    postgresql_where=account_log.c.position.is_(None),
)

feed_head: Final = sa.Table(
    "feed_head",
    METADATA,
    # One row, which the sequencer locks: the last position given. What ended before
    # `begun_at` is not reported.
    sa.Column("singleton", sa.Boolean, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("begun_at", _MOMENT),
    sa.CheckConstraint("singleton", name="singleton"),
)

access_ends: Final = sa.Table(
    "access_ends",
    METADATA,
    # When a user's access to something ends next, by the last log row; deleted once
    # that is a job.
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("due_at", _MOMENT, nullable=False),
)
sa.Index(None, access_ends.c.due_at)

delivery_cursors: Final = sa.Table(
    "delivery_cursors",
    METADATA,
    # The cursor up to which an endpoint's deliveries were taken over from the account
    # log.
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)

deliveries: Final = sa.Table(
    "deliveries",
    METADATA,
    # The open and dead deliveries to an endpoint. A delivered one is deleted.
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("due_at", _MOMENT, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_no", sa.BigInteger, nullable=False),
    sa.Column("leased_until", _MOMENT),
    sa.Column("first_tried_at", _MOMENT),
    sa.Column("dead", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
)
sa.Index(
    "ix_deliveries_open",
    deliveries.c.endpoint,
    deliveries.c.user_id,
    deliveries.c.position,
    postgresql_where=sa.not_(deliveries.c.dead),
)
sa.Index(
    "ix_deliveries_dead",
    deliveries.c.endpoint,
    deliveries.c.position,
    postgresql_where=deliveries.c.dead,
)
# An erasure deletes those of a user.
sa.Index(None, deliveries.c.user_id)

link_keys: Final = sa.Table(
    "link_keys",
    METADATA,
    # A user id, a customer or an e-mail. The version grows when something is stored
    # unlinked under it, and when an account gets it.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

former_keys: Final = sa.Table(
    "former_keys",
    METADATA,
    # An e-mail that a user had, or a customer until the gateway deleted it.
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column(
        "user_id", sa.Text, sa.ForeignKey(payment_accounts.c.user_id), primary_key=True
    ),
    sa.Column("since", _MOMENT),
    sa.Column("until", _MOMENT, primary_key=True),
    _one_of("kind", KeyKind),
)
sa.Index(None, former_keys.c.user_id)

changes_by_hand: Final = sa.Table(
    "changes_by_hand",
    METADATA,
    # What administrators and operators did: never changed or deleted.
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _written_at("at"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    # Its user, now or before; null if there is none.
    sa.Column("user_id", sa.Text),
    sa.Column("instead_of", sa.Text),
    sa.Column("decided_by", sa.Text, nullable=False),
    # Empty: no reason was given.
    sa.Column("reason", sa.Text, nullable=False),
    # For an event: its id is the subject.
    sa.Column("event_type", sa.Text),
    _one_of("action", ActionByHand),
)
sa.Index(None, changes_by_hand.c.at, changes_by_hand.c.id)
for _name in ("subject", "user_id", "action"):
    sa.Index(None, changes_by_hand.c[_name], changes_by_hand.c.at, changes_by_hand.c.id)

erased_keys: Final = sa.Table(
    "erased_keys",
    METADATA,
    # Tombstones: keyed hashes of users, customers and e-mails that were erased, and one
    # of the key itself (`payments_core.tombstones`). Never deleted.
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("at", _MOMENT, nullable=False),
)

erasures: Final = sa.Table(
    "erasures",
    METADATA,
    # Erasures in progress: the bodies of events are searched for the user's
    # identifiers. The row is deleted at the end.
    sa.Column("pseudonym", sa.Text, primary_key=True),
    sa.Column("identifiers", sa.Text, nullable=False),
    sa.Column("at", _MOMENT, nullable=False),
)

intents: Final = sa.Table(
    "intents",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey(payment_accounts.c.user_id),
        nullable=False,
    ),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    # JSON as text, unchanged: it has the frozen bytes of the calls.
    sa.Column("wanted", sa.Text, nullable=False),
    sa.Column("calls", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("key", sa.Text, unique=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", _MOMENT, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("updated_at", _MOMENT, nullable=False),
    sa.Column("lease_no", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("leased_until", _MOMENT),
    # The last writer: it identifies a save whose reply was lost.
    sa.Column("writer", sa.Text, nullable=False, server_default=""),
    sa.Column("steps_version", sa.Integer, nullable=False, server_default="1"),
    _one_of("kind", IntentKind),
    _one_of("state", IntentState),
)
# Spelled out, so that a query with the same text can use the indexes.
OPEN_INTENT: Final = intents.c.state.in_(
    [
        sa.literal_column(f"'{state.value}'")
        for state, steps in INTENT_STEPS.items()
        if steps
    ]
)
sa.Index(
    "uq_intents_open",
    intents.c.user_id,
    intents.c.kind,
    intents.c.subject,
    unique=True,
    postgresql_where=OPEN_INTENT,
)
# Operations during which the bank declined, whatever their result; no other refusals.
sa.Index(
    "ix_intents_declined",
    intents.c.user_id,
    intents.c.created_at,
    postgresql_where=sa.text(
        "outcome::jsonb #>> '{refusal,code}' = 'card_declined'"
        " or outcome::jsonb #>> '{decline,code}' = 'card_declined'"
    ),
)
sa.Index("ix_intents_due", intents.c.due_at, postgresql_where=OPEN_INTENT)
sa.Index(
    "ix_intents_ended", intents.c.created_at, postgresql_where=sa.not_(OPEN_INTENT)
)

jobs: Final = sa.Table(
    "jobs",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("due_at", _MOMENT, nullable=False),
    # `requests`: how often it was requested.
    sa.Column("asked", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_no", sa.BigInteger, nullable=False),
    sa.Column("leased_until", _MOMENT),
    # It is done. The previous release gives up jobs that failed too often: a trigger
    # opens them again (migration 0007).
    sa.Column("dead", sa.Boolean, nullable=False),
    sa.Column("finished_at", _MOMENT),
    # The user of the account that it concerns, if known.
    sa.Column("user_id", sa.Text),
    _one_of("kind", JobKind),
)
sa.Index("ix_jobs_due", jobs.c.due_at, postgresql_where=sa.not_(jobs.c.dead))
FAILING_JOB: Final = sa.and_(sa.not_(jobs.c.dead), jobs.c.attempts >= QUICK_ATTEMPTS)
sa.Index("ix_jobs_failing", jobs.c.due_at, postgresql_where=FAILING_JOB)
sa.Index("ix_jobs_done", jobs.c.finished_at, postgresql_where=jobs.c.dead)

purged_jobs: Final = sa.Table(
    "purged_jobs",
    METADATA,
    # One row: the greatest fence of a purged job.
    sa.Column("singleton", sa.Boolean, primary_key=True),
    sa.Column("lease_no", sa.BigInteger, nullable=False),
    sa.CheckConstraint("singleton", name="singleton"),
)

# The sequence numbers of fetches, drawn before the gateway is called: a greater one was
# drawn later, by any pod.
gateway_tickets: Final = sa.Sequence("gateway_tickets", metadata=METADATA)

checkpoints: Final = sa.Table(
    "checkpoints",
    METADATA,
    # One row for each loop. The position and the result are the loop's own texts.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Text),
    sa.Column("reached_at", _MOMENT),
    sa.Column("result", sa.Text),
    sa.Column("due_at", _MOMENT, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_no", sa.BigInteger, nullable=False),
    sa.Column("leased_until", _MOMENT),
)

listed_customers: Final = sa.Table(
    "listed_customers",
    METADATA,
    # The customers that the sweep begun at this time has found in the gateway's list,
    # until it reaches the list's end.
    sa.Column("sweep", _MOMENT, primary_key=True),
    sa.Column("customer_id", sa.Text, primary_key=True),
)

gateway_budgets: Final = sa.Table(
    "gateway_budgets",
    METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    # How many calls were left, and when.
    sa.Column("calls_left", sa.Double, nullable=False),
    sa.Column("counted_at", _MOMENT, nullable=False),
)

invalidated_tokens: Final = sa.Table(
    "invalidated_tokens",
    METADATA,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("expires_at", _MOMENT, nullable=False),
    sa.Column("invalidated_at", _MOMENT, nullable=False),
    # In the order of commits, together with those of `token_cut_offs`.
    sa.Column("position", sa.BigInteger, nullable=False),
)
sa.Index(None, invalidated_tokens.c.expires_at)
sa.Index(None, invalidated_tokens.c.position)

token_cut_offs: Final = sa.Table(
    "token_cut_offs",
    METADATA,
    # A row revokes all tokens of a user that were issued up to this time.
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("at", _MOMENT, nullable=False),
    # As above; a later time gets a later position.
    sa.Column("position", sa.BigInteger, nullable=False),
)
sa.Index(None, token_cut_offs.c.at)
sa.Index(None, token_cut_offs.c.position)

revocation_head: Final = sa.Table(
    "revocation_head",
    METADATA,
    # One row: the last position given. All tokens that were issued up to this time are
    # revoked.
    sa.Column("singleton", sa.Boolean, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("issued_before", _MOMENT),
    # Random, and new with each position.
    sa.Column(
        "mark", sa.Uuid, nullable=False, server_default=sa.func.gen_random_uuid()
    ),
    sa.CheckConstraint("singleton", name="singleton"),
)

revocation_heartbeats: Final = sa.Table(
    "revocation_heartbeats",
    METADATA,
    # For each serving process: the position up to which it refuses revoked tokens, by
    # its last poll, which was at this time of the database's clock.
    sa.Column("process_id", sa.Text, primary_key=True),
    sa.Column("heard", sa.BigInteger, nullable=False),
    sa.Column("at", _MOMENT, nullable=False),
    # The last marks of the head that it received, newest first.
    sa.Column(
        "marks",
        postgresql.ARRAY(sa.Uuid),
        nullable=False,
        server_default=sa.text("'{}'"),
    ),
)

deployment: Final = sa.Table(
    "deployment",
    METADATA,
    # One row: which of the gateway's two worlds this database belongs to.
    sa.Column("singleton", sa.Boolean, primary_key=True),
    sa.Column("livemode", sa.Boolean, nullable=False),
    sa.CheckConstraint("singleton", name="singleton"),
)
