"""Rows and values, mapped by hand: the core's classes know no table.

Rows are read and written by column name, whatever the order. A `StrEnum` is stored as
its text. Reading runs the core's validators again: a row that was tampered with raises
an error.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from payments_core.access import Grant, GrantKind, GrantSource
from payments_core.account import PaymentAccount, age
from payments_core.account_log import LoggedVerdict
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand, LoggedChange
from payments_core.card import Card
from payments_core.entitlement import (
    PaymentEffect,
    PaymentStatus,
    PaymentSummary,
    PrepaidMonths,
)
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.kept_events import KeptEvent
from payments_core.linking import FormerKey, KeyKind
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentRecord, PaymentState
from payments_core.payment_buckets import PaymentBucket
from payments_core.subscription import (
    PaidPeriod,
    PendingUpdate,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)

Row = Mapping[str, Any]  # a driver's row holds anything
NewRow = dict[str, Any]

_STATES: Final = {state.value: state for state in PaymentState}
_DISPUTES: Final = {state.value: state for state in DisputeState}
_STATUSES: Final = {status.value: status for status in PaymentStatus}
_SUBSCRIPTION_STATUSES: Final = {it.value: it for it in SubscriptionStatus}


_LOG_COLUMNS: Final = (
    "cause",
    "sources",
    "entitled_until",
    "grace_s",
    "status_by",
    "date_by",
    "grants",
    "catalogue",
    "ends_at",
)


def of_summary(summary: PaymentSummary) -> NewRow:
    latest, prepaid = summary.latest, summary.prepaid
    return {
        "latest_created_at": latest.created_at if latest else None,
        "latest_precedence": latest.precedence if latest else None,
        "latest_payment_id": latest.payment_id if latest else None,
        "latest_buys_month": latest.buys_month if latest else None,
        "latest_status": latest.status if latest else None,
        "latest_returned": latest.returned if latest else None,
        "term_anchor": prepaid.anchor if prepaid else None,
        "term_months": prepaid.months if prepaid else None,
        "returned_at": summary.returned_at,
        "some_disputed": summary.some_disputed,
    }


def of_identity(account: PaymentAccount) -> NewRow:
    """Return the columns of a user's identity, and of the default card."""
    card = account.card
    return {
        "user_id": account.user_id,
        "email": account.email.text,
        "email_key": account.email.key,
        "email_since": account.email_since,
        "customer_id": account.customer_id,
        "card_id": card.id if card else None,
        "card_brand": card.brand if card else None,
        "card_last4": card.last4 if card else None,
        "card_exp_month": card.exp_month if card else None,
        "card_exp_year": card.exp_year if card else None,
        "card_ticket": account.card_sequence,
    }


def of_former_key(former: FormerKey) -> NewRow:
    return {
        "kind": former.kind.value,
        "key": former.key,
        "user_id": former.user_id,
        "since": former.since,
        "until": former.until,
    }


def of_change_by_hand(change: ChangeByHand) -> NewRow:
    return {
        "action": change.action.value,
        "subject": change.subject,
        "user_id": change.user_id,
        "instead_of": change.instead_of,
        "decided_by": change.decided.by,
        "reason": change.decided.reason,
        "event_type": change.event_type,
    }


def to_logged_change(row: Row) -> LoggedChange:
    return LoggedChange(
        at=row["at"],
        number=row["id"],
        change=ChangeByHand(
            action=ActionByHand(row["action"]),
            subject=row["subject"],
            user_id=row["user_id"],
            event_type=row["event_type"],
            instead_of=row["instead_of"],
            decided=ByHand(by=row["decided_by"], reason=row["reason"]),
        ),
    )


def to_former_key(row: Row) -> FormerKey:
    return FormerKey(
        kind=KeyKind(row["kind"]),
        key=row["key"],
        user_id=UserId(row["user_id"]),
        since=row["since"],
        until=row["until"],
    )


def of_logged(logged: LoggedVerdict | None) -> NewRow:
    """Return the columns of the log that the account does not have itself."""
    if logged is None:
        return dict.fromkeys(_LOG_COLUMNS)
    return {
        "cause": logged.cause,
        "sources": list(logged.sources),
        "entitled_until": logged.entitled_until,
        "grace_s": int(logged.grace.total_seconds()),
        "status_by": logged.status_by,
        "date_by": logged.date_by,
        # Inlined: this runs for every webhook.
        "grants": msgspec.json.encode(
            [
                {
                    "product": it.product,
                    "price": it.price,
                    "paid_until": it.paid_until.isoformat(),
                    "has_grace": it.has_grace,
                    "because": {"kind": it.because.kind, "id": it.because.id},
                    "own_days": it.own_days,
                }
                for it in logged.grants or ()
            ]
        ).decode(),
        "catalogue": logged.catalogue,
        "ends_at": logged.ends_at,
    }


def _to_grant(grant: Mapping[str, Any]) -> Grant:
    because = grant["because"]
    return Grant(
        product=grant["product"],
        price=grant["price"],
        paid_until=datetime.fromisoformat(grant["paid_until"]),
        has_grace=grant["has_grace"],
        because=GrantSource(GrantKind(because["kind"]), because["id"]),
        own_days=grant["own_days"],
    )


def to_logged(row: Row) -> LoggedVerdict:
    grants, ends_at = to_grants(row["grants"]), row["ends_at"]
    if grants is None and (until := row["entitled_until"]) and until > row["at"]:
        # From before migration 0018: everything ends at the same time.
        ends_at = until
    return LoggedVerdict(
        version=row["version"],
        at=row["at"],
        payment_status=_STATUSES[row["payment_status"]],
        payment_expire_date=row["payment_expire_date"],
        entitled_until=row["entitled_until"],
        grace=timedelta(seconds=row["grace_s"]),
        status_by=row["status_by"],
        date_by=row["date_by"],
        cause=row["cause"],
        sources=tuple(row["sources"]),
        grants=grants,
        catalogue=row["catalogue"],
        ends_at=ends_at,
    )


def to_grants(stored: Any) -> tuple[Grant, ...] | None:  # JSON, read or not
    """Return the grants in a row of the log; None: it has none logged."""
    if stored is None:
        return None
    grants = json.loads(stored) if isinstance(stored, str) else stored
    return tuple(_to_grant(it) for it in grants)


def to_account(row: Row, subscriptions: Sequence[Subscription]) -> PaymentAccount:
    anchor = row["term_anchor"]
    return PaymentAccount(
        user_id=UserId(row["user_id"]),
        email=Email(row["email"], row["email_key"]),
        email_since=row["email_since"],
        customer_id=CustomerId(row["customer_id"]) if row["customer_id"] else None,
        card=None if row["card_id"] is None else _card(row),
        card_sequence=row["card_ticket"],
        subscriptions=tuple(sorted(subscriptions, key=age)),
        summary=PaymentSummary(
            _effect(row, has_subscriptions=bool(subscriptions)),
            None if anchor is None else PrepaidMonths(anchor, row["term_months"]),
            row["returned_at"],
            row["some_disputed"],
        ),
        version=row["version"],
    )


def _card(row: Row) -> Card:
    return Card(
        id=row["card_id"],
        brand=row["card_brand"],
        last4=row["card_last4"],
        exp_month=row["card_exp_month"],
        exp_year=row["card_exp_year"],
    )


def _effect(row: Row, *, has_subscriptions: bool) -> PaymentEffect | None:
    created_at = row["latest_created_at"]
    if created_at is None:
        return None
    # The release before 0.1 had only one status: without subscriptions it is the
    # payment's.
    own = row["latest_status"] if has_subscriptions else None
    return PaymentEffect(
        created_at,
        row["latest_precedence"],
        row["latest_payment_id"],
        _STATUSES[own or row["payment_status"]],
        row["latest_buys_month"],
        bool(row["latest_returned"]),
    )


def of_subscription(subscription: Subscription) -> NewRow:
    report, paid, pending = (
        subscription.report,
        subscription.last_paid_period,
        subscription.report.pending,
    )
    return {
        "gateway_id": report.gateway_id,
        "id": subscription.id,
        "user_id": subscription.user_id,
        "customer_id": report.customer_id,
        "status": report.status.value,
        "product": report.product,
        "price": report.price,
        "quantity": report.quantity,
        "item_id": report.item_id,
        "currency": report.currency,
        "created_at": report.created_at,
        "period_start": report.period_start,
        "period_end": report.period_end,
        "trial_start": report.trial_start,
        "trial_end": report.trial_end,
        "cancel_at": report.cancel_at,
        "cancel_at_period_end": report.cancel_at_period_end,
        "ended_at": report.ended_at,
        "pinned_card": report.pinned_card,
        "latest_invoice_id": report.latest_invoice_id,
        "pending_price": pending.price if pending else None,
        "pending_quantity": pending.quantity if pending else None,
        "pending_expires_at": pending.expires_at if pending else None,
        "claimed_by": report.metadata_user_id,
        "intent_id": report.intent_id,
        "paid_invoice_id": paid.invoice_id if paid else None,
        "paid_from": paid.starts_at if paid else None,
        "paid_through": paid.ends_at if paid else None,
        "known_until": subscription.as_of,
        "ticket": subscription.sequence,
        "plan_changed_at": subscription.plan_changed_at,
        "look_at": subscription.next_sync_at,
        "linked_by_hand": subscription.linked_by_hand,
        "version": subscription.version,
    }


def to_subscription(row: Row) -> Subscription:
    return Subscription(
        report=SubscriptionReport(
            gateway_id=row["gateway_id"],
            customer_id=CustomerId(row["customer_id"]),
            status=_SUBSCRIPTION_STATUSES[row["status"]],
            product=row["product"],
            price=row["price"],
            quantity=row["quantity"],
            item_id=row["item_id"],
            currency=row["currency"],
            created_at=row["created_at"],
            period_start=row["period_start"],
            period_end=row["period_end"],
            trial_start=row["trial_start"],
            trial_end=row["trial_end"],
            cancel_at=row["cancel_at"],
            cancel_at_period_end=row["cancel_at_period_end"],
            ended_at=row["ended_at"],
            pinned_card=row["pinned_card"],
            latest_invoice_id=row["latest_invoice_id"],
            pending=_pending(row),
            metadata_user_id=row["claimed_by"],
            intent_id=row["intent_id"],
        ),
        user_id=row["user_id"],
        last_paid_period=_last_paid_period(row),
        as_of=row["known_until"],
        sequence=row["ticket"],
        plan_changed_at=row["plan_changed_at"],
        version=row["version"],
        linked_by_hand=row["linked_by_hand"],
    )


def _pending(row: Row) -> PendingUpdate | None:
    if row["pending_expires_at"] is None:
        return None
    return PendingUpdate(
        price=row["pending_price"],
        quantity=row["pending_quantity"],
        expires_at=row["pending_expires_at"],
    )


def _last_paid_period(row: Row) -> PaidPeriod | None:
    if row["paid_through"] is None:
        return None
    return PaidPeriod(
        gateway_id=row["gateway_id"],
        invoice_id=row["paid_invoice_id"],
        starts_at=row["paid_from"],
        ends_at=row["paid_through"],
    )


def of_period(period: PaidPeriod) -> NewRow:
    return {
        "subscription_id": period.gateway_id,
        "invoice_id": period.invoice_id,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
        "amount_paid_minor": period.amount_paid_minor,
    }


def to_period(row: Row) -> PaidPeriod:
    return PaidPeriod(
        gateway_id=row["subscription_id"],
        invoice_id=row["invoice_id"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        amount_paid_minor=row["amount_paid_minor"],
    )


def to_bucket(row: Row) -> PaymentBucket:
    return PaymentBucket(
        user_id=UserId(row["user_id"]),
        months=row["months"],
        first_at=row["first_at"],
        until=row["until"],
        some_unknown=row["some_unknown"],
    )


def of_payment(record: PaymentRecord) -> NewRow:
    payment, amount = record.payment, record.payment.amount
    return {
        "id": payment.id,
        "user_id": record.user_id,
        "state": payment.state,
        "dispute": payment.dispute,
        "amount_minor": amount.amount_minor if amount else None,
        "currency": amount.currency if amount else None,
        "refunded_minor": payment.refunded_minor,
        "created_at": payment.created_at,
        "customer_id": payment.customer_id,
        "claimed_by": payment.metadata_user_id,
        "email_key": payment.email,
        "invoice_id": payment.invoice_id,
        "subscription_id": payment.subscription_id,
        "invoice_known": payment.invoice_known,
        "failure_code": payment.failure_code,
        "version": record.version,
        "sequence": record.sequence,
        "linked_by_hand": record.linked_by_hand,
        "as_of": record.as_of,
    }


def to_payment(row: Row) -> PaymentRecord:
    currency = row["currency"]
    return PaymentRecord(
        payment=Payment(
            id=row["id"],
            state=_STATES[row["state"]],
            dispute=_DISPUTES[row["dispute"]],
            amount=None if currency is None else Money(row["amount_minor"], currency),
            refunded_minor=row["refunded_minor"],
            created_at=row["created_at"],
            customer_id=row["customer_id"],
            metadata_user_id=row["claimed_by"],
            email=row["email_key"],
            invoice_id=row["invoice_id"],
            subscription_id=row["subscription_id"],
            invoice_known=row["invoice_known"],
            failure_code=row["failure_code"],
        ),
        user_id=row["user_id"],
        version=row["version"],
        sequence=row["sequence"],
        linked_by_hand=row["linked_by_hand"],
        as_of=row["as_of"],
    )


def of_job_key(key: JobKey) -> str:
    return f"{key.kind.value} {key.subject}"


def to_job_key(text: str | None) -> JobKey | None:
    if text is None:
        return None
    kind, _, subject = text.partition(" ")
    return JobKey(JobKind(kind), subject)


def of_event(event: GatewayEvent, outcome: Outcome) -> NewRow:
    return {
        "id": event.id,
        "type": event.type,
        "object_id": event.object_id,
        "created_at": event.created_at,
        "api_version": event.api_version,
        "livemode": event.livemode,
        "body": event.body,
        **of_outcome(outcome),
    }


def of_outcome(outcome: Outcome) -> NewRow:
    return {
        "state": outcome.state,
        "reason": outcome.reason,
        "waits_for": of_job_key(outcome.waits_for) if outcome.waits_for else None,
    }


def to_kept_event(row: Row) -> KeptEvent:
    """Read a row of `event_log`: the event, the owner of its object, its body."""
    return KeptEvent(
        key=EventKey(row["id"], row["type"]),
        outcome=Outcome(
            EventState(row["state"]), row["reason"], to_job_key(row["waits_for"])
        ),
        created_at=row["created_at"],
        received_at=row["received_at"],
        object_id=row["object_id"],
        livemode=row["livemode"],
        user_id=row["payment_owner"] or row["subscription_owner"] or None,
        body=row["body"],
    )
