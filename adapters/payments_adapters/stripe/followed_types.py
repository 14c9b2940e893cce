"""The types of Stripe's events that are followed: a table with the reader of each.

Rule 1: a followed event that is unclear needs a sync, and is never guessed at. An event
        that names nothing to sync is quarantined.
Rule 2: a subscription that another API version rendered is fetched, unless it has
        ended: that looks the same in every version.
Rule 3: the table describes what each type does: `docs/events.md` is generated from it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from payments_adapters.stripe import card_events
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.billing import Subscription, Unreadable, report_of
from payments_adapters.stripe.charges import (
    DISPUTES,
    FAILED_REFUNDS,
    QUIET_REFUNDS,
    Charge,
    Dispute,
    Refund,
    Unclear,
    payment_id_of,
    payment_of,
)
from payments_adapters.stripe.envelope import Body, Envelope
from payments_adapters.stripe.fields import Malformed, Metadata, decode
from payments_adapters.stripe.invoices import (
    Invoice,
    InvoiceOwner,
    paid_periods_of,
    subscription_of,
)
from payments_core.events import QuarantineNeeded, Report, SyncNeeded
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.subscription import PaidPeriod, SubscriptionReport

# The name of a release train: versions that share it are compatible.
_RELEASE: Final = API_VERSION.partition(".")[2]
_OTHER_VERSION: Final = "another API version"


class _SetUp(msgspec.Struct):
    metadata: Metadata | None = None


_CHARGE: Final = msgspec.json.Decoder(Body[Charge])
_DISPUTE: Final = msgspec.json.Decoder(Body[Dispute])
_REFUND: Final = msgspec.json.Decoder(Body[Refund])
_SUBSCRIPTION: Final = msgspec.json.Decoder(Body[Subscription])
_INVOICE: Final = msgspec.json.Decoder(Body[Invoice])
_INVOICE_OWNER: Final = msgspec.json.Decoder(Body[InvoiceOwner])
_SET_UP: Final = msgspec.json.Decoder(Body[_SetUp])


def _read_charge(envelope: Envelope, body: bytes) -> Payment | SyncNeeded:
    charge = decode(_CHARGE, body).data.object
    try:
        return payment_of(charge, expired=envelope.type == "charge.expired")
    except Unclear as unclear:
        return SyncNeeded.of_payment(PaymentId(charge.id), str(unclear))


def _read_dispute(_: Envelope, body: bytes) -> Payment | SyncNeeded | QuarantineNeeded:
    dispute = decode(_DISPUTE, body).data.object
    payment_id = payment_id_of(dispute)
    if payment_id is None:
        return QuarantineNeeded("the dispute names no charge")
    state = DISPUTES.get(dispute.status)
    if state is None:
        return SyncNeeded.of_payment(payment_id, "the dispute has an unknown status")
    # Only money that was taken can be disputed.
    return Payment(id=payment_id, state=PaymentState.SUCCEEDED, dispute=state)


def _read_refund(_: Envelope, body: bytes) -> SyncNeeded | QuarantineNeeded | None:
    refund = decode(_REFUND, body).data.object
    if refund.status in QUIET_REFUNDS:
        return None
    payment_id = payment_id_of(refund)
    if payment_id is None:
        return QuarantineNeeded("the refund names no charge")
    # The refunded amount only grows when reports merge: only a fetch lowers it.
    failed = refund.status in FAILED_REFUNDS
    reason = "a refund failed" if failed else "the refund has an unknown status"
    return SyncNeeded.of_payment(payment_id, reason)


def _sync(subscription: str, reason: str) -> SyncNeeded:
    return SyncNeeded(JobKey(JobKind.SUBSCRIPTION, subscription), reason)


def _is_pinned(envelope: Envelope) -> bool:
    version = envelope.api_version or ""
    return version.partition(".")[2] == _RELEASE


def _read_subscription(
    envelope: Envelope, body: bytes
) -> SubscriptionReport | SyncNeeded:
    id_ = envelope.data.object.id
    if id_ is None:
        raise Malformed("data.object.id", "missing")
    try:
        report = report_of(decode(_SUBSCRIPTION, body).data.object)
    except Unreadable as unreadable:
        return _sync(id_, str(unreadable))
    except Malformed:
        # A later version may render it differently; it is fetched in ours.
        if _is_pinned(envelope):
            raise
        return _sync(id_, _OTHER_VERSION)
    if _is_pinned(envelope) or report.is_terminal:
        return report
    return _sync(id_, _OTHER_VERSION)


def _read_paid_invoice(
    envelope: Envelope, body: bytes
) -> PaidPeriod | SyncNeeded | None:
    if not _is_pinned(envelope):
        return _sync_owner(body, _OTHER_VERSION)
    invoice = decode(_INVOICE, body).data.object
    if invoice.lines.has_more:
        # The line of its period may not be included.
        return _sync_owner(body, "an invoice with many lines was paid")
    periods = paid_periods_of(invoice)
    if len(periods) == 1:
        return periods[0]
    what = "several items" if periods else "no period"
    return _sync_owner(body, f"an invoice of {what} was paid")


def _read_owed_invoice(envelope: Envelope, body: bytes) -> SyncNeeded | None:
    return _sync_owner(body, envelope.type)


def _sync_owner(body: bytes, reason: str) -> SyncNeeded | None:
    owner = subscription_of(decode(_INVOICE_OWNER, body).data.object)
    return None if owner is None else _sync(owner, reason)


def _read_set_up(envelope: Envelope, body: bytes) -> SyncNeeded | None:
    metadata = decode(_SET_UP, body).data.object.metadata
    id_ = envelope.data.object.id
    if id_ is None or metadata is None or not metadata.intent_id:
        # Created outside of this service, for other purposes.
        return None
    return SyncNeeded(JobKey(JobKind.SET_UP, id_), "a card was set up")


def _read_deleted_customer(envelope: Envelope, _: bytes) -> SyncNeeded | None:
    id_ = envelope.data.object.id
    if id_ is None:
        return None
    return SyncNeeded(JobKey(JobKind.CUSTOMER, id_), "the customer was deleted")


class Followed(NamedTuple):
    """What is done about a type of event.

    `kind` is the object that it carries; None: one of several. `read` returns the facts
    of a snapshot; `does` describes that in words, for the page.
    """

    kind: str | None
    read: Callable[[Envelope, bytes], Report | None]
    does: str


_A_CHARGE: Final = Followed(
    "charge",
    _read_charge,
    "Applies what the charge says about the payment; a sync of the "
    "payment, if it is unclear.",
)
_A_DISPUTE: Final = Followed(
    "dispute",
    _read_dispute,
    "Applies the dispute's state; a sync of the payment, if its status is unknown.",
)
_A_REFUND: Final = Followed(
    "refund",
    _read_refund,
    "A sync of the payment, if the refund failed, was canceled or has an unknown "
    "status. The amounts come with `charge.refunded`.",
)
_A_SUBSCRIPTION: Final = Followed(
    "subscription",
    _read_subscription,
    "Applies the subscription, if it is certainly newer than what is known or has "
    "ended; otherwise a sync of it.",
)
_A_SOURCE: Final = Followed(
    None, card_events.read_source, "A sync of the customer, if it is a card."
)
_AN_OWED_INVOICE: Final = Followed(
    "invoice", _read_owed_invoice, "A sync of the subscription that owes it."
)
_A_CHANGED_CARD: Final = Followed(
    "payment_method",
    card_events.read_changed_method,
    "A sync of the customer, if it is the card that is shown and has changed.",
)
_FORMER_UPDATE: Final = "payment_method.card_automatically_updated"
# The name of a type before it was renamed: accounts of older versions use it.
# Source: docs.stripe.com/changelog/2020-08-27.
FORMER_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {_FORMER_UPDATE: "payment_method.automatically_updated"}
)
FOLLOWED: Final[Mapping[str, Followed]] = MappingProxyType(
    {
        "charge.captured": _A_CHARGE,
        "charge.expired": _A_CHARGE,
        "charge.failed": _A_CHARGE,
        "charge.pending": _A_CHARGE,
        "charge.refunded": _A_CHARGE,
        "charge.succeeded": _A_CHARGE,
        "charge.updated": _A_CHARGE,
        "charge.dispute.closed": _A_DISPUTE,
        "charge.dispute.created": _A_DISPUTE,
        "charge.dispute.funds_reinstated": _A_DISPUTE,
        "charge.dispute.funds_withdrawn": _A_DISPUTE,
        "charge.dispute.updated": _A_DISPUTE,
        "charge.refund.updated": _A_REFUND,
        "refund.failed": _A_REFUND,
        "refund.updated": _A_REFUND,
        "customer.deleted": Followed(
            "customer",
            _read_deleted_customer,
            "A sync of the customer: it is unbound, and its subscriptions have ended.",
        ),
        "customer.source.deleted": _A_SOURCE,
        "customer.source.updated": _A_SOURCE,
        "customer.subscription.created": _A_SUBSCRIPTION,
        "customer.subscription.deleted": _A_SUBSCRIPTION,
        "customer.subscription.paused": _A_SUBSCRIPTION,
        "customer.subscription.pending_update_applied": _A_SUBSCRIPTION,
        "customer.subscription.pending_update_expired": _A_SUBSCRIPTION,
        "customer.subscription.resumed": _A_SUBSCRIPTION,
        "customer.subscription.trial_will_end": _A_SUBSCRIPTION,
        "customer.subscription.updated": _A_SUBSCRIPTION,
        "customer.updated": Followed(
            "customer",
            card_events.read_customer,
            "A sync of the customer, if the default card changed; nothing else "
            "of it is stored.",
        ),
        "invoice.paid": Followed(
            "invoice",
            _read_paid_invoice,
            "Applies the period that was paid; a sync of the subscription, if the "
            "invoice has several of its items, or too many lines, or has another "
            "API version.",
        ),
        "invoice.payment_action_required": _AN_OWED_INVOICE,
        "invoice.payment_failed": _AN_OWED_INVOICE,
        "payment_method.attached": Followed(
            "payment_method",
            card_events.read_attached_method,
            "A sync of the customer, if no card is shown.",
        ),
        "payment_method.automatically_updated": _A_CHANGED_CARD,
        _FORMER_UPDATE: _A_CHANGED_CARD,
        "payment_method.detached": Followed(
            "payment_method",
            card_events.read_detached_method,
            "A sync of the customer, if it is the card that is shown.",
        ),
        "payment_method.updated": _A_CHANGED_CARD,
        "setup_intent.succeeded": Followed(
            "setup_intent",
            _read_set_up,
            "The card becomes the one that pays, if this service had it set up.",
        ),
    }
)
# What an endpoint of our API version must be registered for, in alphabetical order.
ENDPOINT_TYPES: Final = tuple(sorted(FOLLOWED.keys() - FORMER_TYPES.keys()))
