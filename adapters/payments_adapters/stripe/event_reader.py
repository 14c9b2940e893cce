"""Read Stripe's events, whatever API version rendered them, as reports of the core.

Rule 1: only the fields named here are read, and strictly; all the rest must be JSON.
Rule 2: any signed bytes are an event. One that cannot be read is to be kept apart; the
        reason quotes no input. What nobody reads may be anything.
Rule 3: a type that we do not follow is an event without a report.
Rule 4: a followed event that says something unclear needs a sync, and is never
        guessed at. One that names nothing to sync is to be kept apart, and so is one of
        another account, whatever it says.
Rule 5: of a key that comes twice the last one counts. One parser reads everything, so
        no two places can take the body for two different events.
Rule 6: a subscription as another API version renders it is fetched, unless it has
        ended: nothing about that can be rendered otherwise.
Rule 7: a thin event says no more than which object changed (`thin_events`).

Source: docs.stripe.com/api/events/object and the types of the SDK.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple

import attrs
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
from payments_adapters.stripe.envelope import (
    Body,
    Envelope,
    Request,
    envelope_of,
    kind_of,
    unread,
)
from payments_adapters.stripe.fields import (
    NUL,
    Malformed,
    Metadata,
    decode,
    moment,
    reads_nul,
)
from payments_adapters.stripe.invoices import (
    Invoice,
    InvoiceOwner,
    paid_periods_of,
    subscription_of,
)
from payments_adapters.stripe.signature import StripeSignatures
from payments_adapters.stripe.thin_events import THIN, thin_event_of
from payments_core.events import (
    UNREADABLE,
    EventKey,
    GatewayEvent,
    QuarantineNeeded,
    Report,
    SyncNeeded,
)
from payments_core.identity import CUSTOMER_ID_LENGTH_MAX, CustomerId
from payments_core.job import JobKey, JobKind
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.subscription import PaidPeriod, SubscriptionReport

# The name of the releases: versions that share it are compatible.
_RELEASE: Final = API_VERSION.partition(".")[2]
_CUSTOMER: Final = "customer"
_OTHER_VERSION: Final = "another API version"
_NUL_IS_READ: Final = "a text that is read holds a NUL character"
_NEVER: Final = moment(0)


class _SetUp(msgspec.Struct):
    metadata: Metadata | None = None


_CHARGE: Final = msgspec.json.Decoder(Body[Charge])
_DISPUTE: Final = msgspec.json.Decoder(Body[Dispute])
_REFUND: Final = msgspec.json.Decoder(Body[Refund])
_SUBSCRIPTION: Final = msgspec.json.Decoder(Body[Subscription])
_INVOICE: Final = msgspec.json.Decoder(Body[Invoice])
_INVOICE_OWNER: Final = msgspec.json.Decoder(Body[InvoiceOwner])
_SET_UP: Final = msgspec.json.Decoder(Body[_SetUp])


def translate(
    body: bytes, *, livemode: bool = False, at: datetime | None = None
) -> GatewayEvent:
    """Translate a body whose signature was verified, now or before.

    `livemode` and `at` are those of an event that does not say its own.
    """
    try:
        try:
            envelope = envelope_of(body)
            request, thing = envelope.request, envelope.data.object
            customer = thing.id if thing.kind == _CUSTOMER else thing.customer
            if isinstance(customer, dict):
                customer = customer.get("id")
            # Whatever else it is, it names nobody.
            is_id = (
                isinstance(customer, str) and len(customer) <= CUSTOMER_ID_LENGTH_MAX
            )
            event = GatewayEvent(
                id=envelope.id,
                type=envelope.type,
                created_at=moment(envelope.created),
                livemode=envelope.livemode,
                api_version=envelope.api_version,
                object_id=thing.id,
                customer_id=CustomerId(str(customer)) if is_id and customer else None,
                report=_report(envelope, body),
                request_key=(
                    request.idempotency_key if isinstance(request, Request) else None
                ),
                body=body,
            )
        except Malformed:
            if kind_of(body) != THIN:
                raise
            event = thin_event_of(body, _KINDS)
    except Malformed as malformed:
        reason = str(malformed)
    else:
        if NUL not in body or not reads_nul(attrs.evolve(event, body=b"")):
            return event
        reason = _NUL_IS_READ
    return _unreadable(body, reason, livemode=livemode, at=at or _NEVER)


def _unreadable(
    body: bytes, reason: str, *, livemode: bool, at: datetime
) -> GatewayEvent:
    known = unread(body)
    digest = hashlib.sha256(body).hexdigest()
    id_, type_ = known.key or EventKey(f"{UNREADABLE}_{digest}", UNREADABLE)
    return GatewayEvent(
        id=id_,
        type=type_,
        created_at=at if known.created_s is None else moment(known.created_s),
        livemode=livemode if known.livemode is None else known.livemode,
        object_id=known.object_id,
        report=QuarantineNeeded(f"{UNREADABLE}: {reason}"),
        body=body,
    )


@attrs.frozen
class StripeEvents:
    """The `EventReader` of a service that Stripe reports to."""

    signatures: StripeSignatures
    livemode: bool

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate.

        Raises:
            BadSignature: it was not signed with an active secret, or too long ago.
        """
        signed_at = self.signatures.verify(body, signature)
        return translate(body, livemode=self.livemode, at=signed_at)

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified when it came."""
        return translate(body, livemode=self.livemode)


def _report(envelope: Envelope, body: bytes) -> Report | None:
    if reason := _not_ours(envelope):
        return QuarantineNeeded(reason)
    followed = FOLLOWED.get(envelope.type)
    if followed is None:
        return None
    thing = envelope.data.object
    if followed.kind is not None and thing.kind != followed.kind:
        return QuarantineNeeded(f"the object is not a {followed.kind}")
    return followed.read(envelope, body)


def _not_ours(envelope: Envelope) -> str | None:
    if envelope.data.object.livemode not in (None, envelope.livemode):
        return "livemode of event and object differ"
    # A platform gets events of the accounts connected to it, an organisation of all its
    # accounts. Their money is not ours.
    if envelope.account:
        return "the event is of a connected account"
    if envelope.context:
        return "the event is of an account of an organisation"
    return None


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
    # What was refunded only grows when reports merge: it takes a fetch to lower it.
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
        # A later version may render it in another way; we fetch it in our own.
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
        # The line of its period may be one that is not shown.
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
        # Made outside of this service, for other purposes.
        return None
    return SyncNeeded(JobKey(JobKind.SET_UP, id_), "a card was set up")


def _read_deleted_customer(envelope: Envelope, _: bytes) -> SyncNeeded | None:
    id_ = envelope.data.object.id
    if id_ is None:
        return None
    return SyncNeeded(JobKey(JobKind.CUSTOMER, id_), "the customer was deleted")


class _Followed(NamedTuple):
    """Which object a type of event carries, and who reads it; None: one of several."""

    kind: str | None
    read: Callable[[Envelope, bytes], Report | None]


FOLLOWED: Final[Mapping[str, _Followed]] = MappingProxyType(
    {
        "charge.captured": _Followed("charge", _read_charge),
        "charge.expired": _Followed("charge", _read_charge),
        "charge.failed": _Followed("charge", _read_charge),
        "charge.pending": _Followed("charge", _read_charge),
        "charge.refunded": _Followed("charge", _read_charge),
        "charge.succeeded": _Followed("charge", _read_charge),
        "charge.updated": _Followed("charge", _read_charge),
        "charge.dispute.closed": _Followed("dispute", _read_dispute),
        "charge.dispute.created": _Followed("dispute", _read_dispute),
        "charge.dispute.funds_reinstated": _Followed("dispute", _read_dispute),
        "charge.dispute.funds_withdrawn": _Followed("dispute", _read_dispute),
        "charge.dispute.updated": _Followed("dispute", _read_dispute),
        "charge.refund.updated": _Followed("refund", _read_refund),
        "refund.failed": _Followed("refund", _read_refund),
        "refund.updated": _Followed("refund", _read_refund),
        "customer.deleted": _Followed("customer", _read_deleted_customer),
        "customer.source.updated": _Followed(None, card_events.read_source),
        **{
            f"customer.subscription.{what}": _Followed(
                "subscription", _read_subscription
            )
            for what in (
                "created",
                "deleted",
                "paused",
                "pending_update_applied",
                "pending_update_expired",
                "resumed",
                "trial_will_end",
                "updated",
            )
        },
        "customer.updated": _Followed("customer", card_events.read_customer),
        "invoice.paid": _Followed("invoice", _read_paid_invoice),
        "invoice.payment_action_required": _Followed("invoice", _read_owed_invoice),
        "invoice.payment_failed": _Followed("invoice", _read_owed_invoice),
        "payment_method.attached": _Followed(
            "payment_method", card_events.read_attached_method
        ),
        "payment_method.automatically_updated": _Followed(
            "payment_method", card_events.read_changed_method
        ),
        "payment_method.detached": _Followed(
            "payment_method", card_events.read_detached_method
        ),
        "payment_method.updated": _Followed(
            "payment_method", card_events.read_changed_method
        ),
        "setup_intent.succeeded": _Followed("setup_intent", _read_set_up),
    }
)
# Which object a followed type is about; None: one of several.
_KINDS: Final[Mapping[str, str | None]] = MappingProxyType(
    {type_: followed.kind for type_, followed in FOLLOWED.items()}
)
