"""Drift: how the stored data differs from the gateway's.

Rule 1: drift is exactly what recording the gateway's data would change, so what is
        reported is what a repair repairs.
Rule 2: a thing that is not stored at all is one drift, whatever its data.
Rule 3: derived data (the status of a user, a date) is not drift of its own. Data that
        is only not fetched yet is not drift either.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.changes import Changes, Snapshot
from payments_core.identity import UserId
from payments_core.payment import Payment, PaymentRecord
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionReport


class DriftKind(StrEnum):
    """What may differ; `MEANINGS` describes each."""

    SUBSCRIPTION_UNKNOWN = "subscription_unknown"
    SUBSCRIPTION_MISSING = "subscription_missing"
    SUBSCRIPTION_OWNER = "subscription_owner"
    SUBSCRIPTION_STATUS = "subscription_status"
    SUBSCRIPTION_PLAN = "subscription_plan"
    SUBSCRIPTION_PERIOD = "subscription_period"
    SUBSCRIPTION_TRIAL = "subscription_trial"
    SUBSCRIPTION_END = "subscription_end"
    SUBSCRIPTION_CARD = "subscription_card"
    SUBSCRIPTION_PENDING_CHANGE = "subscription_pending_change"
    SUBSCRIPTION_DETAILS = "subscription_details"
    PERIOD_UNKNOWN = "period_unknown"
    PERIOD_DETAILS = "period_details"
    PAYMENT_UNKNOWN = "payment_unknown"
    PAYMENT_MISSING = "payment_missing"
    PAYMENT_OWNER = "payment_owner"
    PAYMENT_STATE = "payment_state"
    PAYMENT_REFUND = "payment_refund"
    PAYMENT_DISPUTE = "payment_dispute"
    PAYMENT_INVOICE = "payment_invoice"
    PAYMENT_DETAILS = "payment_details"
    CARD = "card"
    CUSTOMER_DELETED = "customer_deleted"
    CUSTOMER_UNBOUND = "customer_unbound"
    CUSTOMER_MISSING = "customer_missing"
    OWNER_CONFLICT = "owner_conflict"
    UNREADABLE = "unreadable"


_K = DriftKind
MEANINGS: Final[Mapping[DriftKind, str]] = MappingProxyType(
    {
        _K.SUBSCRIPTION_UNKNOWN: "Stripe has a subscription that is not stored here.",
        _K.SUBSCRIPTION_MISSING: "A stored subscription does not exist at Stripe.",
        _K.SUBSCRIPTION_OWNER: "A subscription is linked to another user, or to none.",
        _K.SUBSCRIPTION_STATUS: "Its status.",
        _K.SUBSCRIPTION_PLAN: "Its item, product, price or quantity.",
        _K.SUBSCRIPTION_PERIOD: "Its current period.",
        _K.SUBSCRIPTION_TRIAL: "The beginning or the end of its trial.",
        _K.SUBSCRIPTION_END: "Its end, planned or past.",
        _K.SUBSCRIPTION_CARD: "The card that is pinned to it.",
        _K.SUBSCRIPTION_PENDING_CHANGE: "A change that waits for its payment.",
        _K.SUBSCRIPTION_DETAILS: "Its other fields: customer, currency, metadata.",
        _K.PERIOD_UNKNOWN: "An invoice was paid, and its period is not stored here.",
        _K.PERIOD_DETAILS: "The period or the amount of a paid invoice.",
        _K.PAYMENT_UNKNOWN: "Stripe has a charge that is not stored here.",
        _K.PAYMENT_MISSING: "A stored payment does not exist at Stripe.",
        _K.PAYMENT_OWNER: "A payment is linked to another user, or to none.",
        _K.PAYMENT_STATE: "Whether it is pending, failed or succeeded.",
        _K.PAYMENT_REFUND: "The amount that was refunded.",
        _K.PAYMENT_DISPUTE: "The state of its dispute.",
        _K.PAYMENT_INVOICE: "Which invoice it paid.",
        _K.PAYMENT_DETAILS: "Its other fields: amount, time, customer, e-mail.",
        _K.CARD: "The card that is shown as the one that pays.",
        _K.CUSTOMER_DELETED: "Stripe has deleted the customer of a user.",
        _K.CUSTOMER_UNBOUND: "A customer names a user who has no customer here.",
        _K.CUSTOMER_MISSING: "The customer of a user does not exist at Stripe.",
        _K.OWNER_CONFLICT: "Its metadata and its customer name different users.",
        _K.UNREADABLE: "Stripe's object cannot be read.",
    }
)
# No repair can resolve these: a person must look.
FOR_A_PERSON: Final = frozenset(
    {
        _K.SUBSCRIPTION_MISSING,
        _K.PAYMENT_MISSING,
        _K.CUSTOMER_MISSING,
        _K.OWNER_CONFLICT,
        _K.UNREADABLE,
    }
)


@attrs.frozen(kw_only=True)
class Drift:
    """One difference. `ours` and `theirs` are short texts; None: it does not exist.

    `subject` is the gateway's id of the thing, `since` the time up to which we know it.
    """

    kind: DriftKind
    subject: str
    user_id: UserId | None
    ours: str | None
    theirs: str | None
    since: datetime | None = None


_ReportT = TypeVar("_ReportT", SubscriptionReport, Payment)

_OF_SUBSCRIPTION: Final[Mapping[DriftKind, tuple[str, ...]]] = MappingProxyType(
    {
        _K.SUBSCRIPTION_STATUS: ("status",),
        _K.SUBSCRIPTION_PLAN: ("item_id", "product", "price", "quantity"),
        _K.SUBSCRIPTION_PERIOD: ("period_start", "period_end"),
        _K.SUBSCRIPTION_TRIAL: ("trial_start", "trial_end"),
        _K.SUBSCRIPTION_END: ("cancel_at", "cancel_at_period_end", "ended_at"),
        _K.SUBSCRIPTION_CARD: ("pinned_card",),
        _K.SUBSCRIPTION_PENDING_CHANGE: ("pending",),
        _K.SUBSCRIPTION_DETAILS: (
            "customer_id",
            "currency",
            "created_at",
            "latest_invoice_id",
            "metadata_user_id",
            "intent_id",
        ),
    }
)
_OF_PAYMENT: Final[Mapping[DriftKind, tuple[str, ...]]] = MappingProxyType(
    {
        _K.PAYMENT_REFUND: ("refunded_minor",),
        _K.PAYMENT_STATE: ("state",),
        _K.PAYMENT_DISPUTE: ("dispute",),
        _K.PAYMENT_INVOICE: ("invoice_id", "subscription_id"),
        _K.PAYMENT_DETAILS: (
            "amount",
            "created_at",
            "customer_id",
            "metadata_user_id",
            "email",
            "failure_code",
        ),
    }
)


@attrs.frozen
class _Subject:
    """A thing that is compared: its id, its owner, and up to when we know it."""

    id: str
    user_id: UserId | None
    since: datetime | None

    def drift(self, kind: DriftKind, ours: str | None, theirs: str | None) -> Drift:
        return Drift(
            kind=kind,
            subject=self.id,
            user_id=self.user_id,
            ours=ours,
            theirs=theirs,
            since=self.since,
        )

    def moved(self, kind: DriftKind, before: UserId | None) -> Drift:
        """Return the drift of a thing with another owner, or none."""
        drift = self.drift(kind, before, self.user_id)
        return attrs.evolve(drift, user_id=self.user_id or before)


def drift_of(snapshot: Snapshot, changes: Changes) -> Sequence[Drift]:
    """Return what differs: what recording the gateway's data would change."""
    return [*_drifts(snapshot, changes)]


def _drifts(snapshot: Snapshot, changes: Changes) -> Iterator[Drift]:
    if (unbound := _unbound(changes)) is not None:
        # Its card, and what it links to its user, follow from it.
        yield unbound
        return
    known = {it.gateway_id: it for it in snapshot.subscriptions}
    for account in snapshot.accounts:
        known |= {it.gateway_id: it for it in account.subscriptions}
    payments = {it.payment.id: it for it in (*snapshot.histories, *snapshot.payments)}
    for after in changes.subscriptions:
        yield from _of_subscription(known.get(after.gateway_id), after)
    for period in changes.periods:
        # A period of an unknown subscription is part of that drift.
        if period.gateway_id in known:
            yield _of_period(snapshot, known[period.gateway_id], period)
    for record in changes.payments:
        yield from _of_payment(payments.get(record.payment.id), record)
    if changes.before is not None and changes.after is not None:
        yield from _of_account(changes.before, changes.after)


def _unbound(changes: Changes) -> Drift | None:
    before, after = changes.before, changes.after
    if before is None or before.customer_id is not None:
        return None
    if after is None or after.customer_id is None:
        return None
    return Drift(
        kind=_K.CUSTOMER_UNBOUND,
        subject=after.customer_id,
        user_id=after.user_id,
        ours=None,
        theirs=after.customer_id,
    )


def _of_subscription(
    before: Subscription | None, after: Subscription
) -> Iterator[Drift]:
    at = _Subject(after.gateway_id, after.user_id, before.as_of if before else None)
    if before is None:
        yield at.drift(_K.SUBSCRIPTION_UNKNOWN, None, after.status.value)
        return
    if before.user_id != after.user_id:
        yield at.moved(_K.SUBSCRIPTION_OWNER, before.user_id)
    for kind, names in _OF_SUBSCRIPTION.items():
        if differs := _differing(before.report, after.report, names):
            yield at.drift(kind, *differs)


def _of_period(
    snapshot: Snapshot, subscription: Subscription, period: PaidPeriod
) -> Drift:
    key = (period.gateway_id, period.invoice_id)
    before = next(
        (it for it in snapshot.periods if (it.gateway_id, it.invoice_id) == key), None
    )
    return Drift(
        kind=_K.PERIOD_UNKNOWN if before is None else _K.PERIOD_DETAILS,
        subject=period.invoice_id,
        user_id=subscription.user_id,
        ours=_period(before) if before else None,
        theirs=_period(period),
        since=subscription.as_of,
    )


def _period(period: PaidPeriod) -> str:
    paid = period.amount_paid_minor
    return f"{_text(period.starts_at)} to {_text(period.ends_at)}, {_text(paid)} paid"


def _of_payment(before: PaymentRecord | None, after: PaymentRecord) -> Iterator[Drift]:
    at = _Subject(after.payment.id, after.user_id, before.as_of if before else None)
    if before is None:
        yield at.drift(_K.PAYMENT_UNKNOWN, None, after.payment.state.value)
        return
    if before.user_id != after.user_id:
        yield at.moved(_K.PAYMENT_OWNER, before.user_id)
    refund = False
    for kind, names in _OF_PAYMENT.items():
        if kind is _K.PAYMENT_INVOICE and not before.payment.invoice_known:
            # The invoice is fetched only where something depends on it.
            continue
        differs = _differing(before.payment, after.payment, names)
        # A state that follows from a refund is not a second drift.
        if not differs or (refund and kind is _K.PAYMENT_STATE):
            continue
        refund = refund or kind is _K.PAYMENT_REFUND
        yield at.drift(kind, *differs)


def _of_account(before: PaymentAccount, after: PaymentAccount) -> Iterator[Drift]:
    if before.customer_id is not None and after.customer_id is None:
        yield Drift(
            kind=_K.CUSTOMER_DELETED,
            subject=before.customer_id,
            user_id=before.user_id,
            ours=before.customer_id,
            theirs=None,
        )
    elif before.card != after.card:
        yield Drift(
            kind=_K.CARD,
            subject=after.customer_id or after.user_id,
            user_id=after.user_id,
            ours=_card(before.card),
            theirs=_card(after.card),
        )


def _card(card: Card | None) -> str | None:
    if card is None:
        return None
    return f"{card.brand} {card.last4} {card.exp_month}/{card.exp_year} ({card.id})"


def _differing(
    before: _ReportT, after: _ReportT, names: Sequence[str]
) -> tuple[str, str] | None:
    """Return both sides of the named fields that differ; None if none does."""
    differing = [it for it in names if getattr(before, it) != getattr(after, it)]
    if not differing:
        return None
    ours, theirs = (
        ", ".join(f"{it}: {_text(getattr(side, it))}" for it in differing)
        for side in (before, after)
    )
    return ours, theirs


def _text(value: object) -> str:
    match value:
        case None:
            return "none"
        case datetime():
            return value.isoformat()
        case StrEnum():
            return value.value
        case _:
            return str(value)
