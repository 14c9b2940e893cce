"""Stripe's events in our words, whatever API generation rendered them.

Rule 1: only the fields named here are read, and strictly; all the rest must be JSON.
Rule 2: any bytes give an event or `MalformedEvent`, whose reason quotes no input.
Rule 3: a type that we do not follow is an event without a report.
Rule 4: a followed event that says something unclear is a doubt, never a guess.
Rule 5: of a key that comes twice the last one counts. One parser reads everything, so
        no two places can take the body for two different events.

Sources: docs.stripe.com/api/{events,charges,disputes,refunds}/object and the types of
the SDK; what older generations lack has a default.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

import attrs
import msgspec

from payments_adapters.stripe.signature import StripeSignatures
from payments_core.account import Email, customer_id
from payments_core.errors import InvalidValue, MalformedEvent
from payments_core.events import Doubt, GatewayEvent
from payments_core.money import AMOUNT_MINOR_MAX, Money
from payments_core.payment import (
    CustomerId,
    DisputeState,
    Payment,
    PaymentId,
    PaymentState,
)

TEXT_LENGTH_MAX: Final = 255
# What Stripe itself allows in a value of metadata.
METADATA_LENGTH_MAX: Final = 500
# 2100-01-01: later is a mistake in the unit (milliseconds), not a time.
SECONDS_MAX: Final = 4_102_444_800

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]
# Part of the event's key: it goes into logs and onto terminals. msgspec searches, so
# the pattern has its own anchors, and `$` would let a line break pass.
_Visible = Annotated[
    str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX, pattern=r"^[!-~]+\Z")
]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]
_Minor = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]
_Kind = msgspec.field(name="object", default="")


class _Expanded(msgspec.Struct):
    """An object that came whole where its id would do; deleted ones too."""

    id: _Id


_Reference = _Id | _Expanded | None


class _Thing(msgspec.Struct):
    """What every object of Stripe may say of itself."""

    kind: _Text = _Kind
    # A balance has none.
    id: _Id | None = None
    livemode: bool | None = None


class _Metadata(msgspec.Struct):
    user_id: Annotated[str, msgspec.Meta(max_length=METADATA_LENGTH_MAX)] | None = None


class _BillingDetails(msgspec.Struct):
    email: str | None = None


class _Charge(msgspec.Struct):
    id: _Id
    amount: _Minor
    currency: _Text
    created: _Seconds
    status: _Text = ""
    amount_refunded: _Minor = 0
    refunded: bool = False
    disputed: bool = False
    # Before `disputed` there was this.
    dispute: _Reference = None
    customer: _Reference = None
    # Gone since 2025-03-31.
    invoice: _Reference = None
    metadata: _Metadata | None = None
    # Of any length: `Email` has the limit, and one too long is no e-mail.
    receipt_email: str | None = None
    billing_details: _BillingDetails | None = None
    failure_code: _Text | None = None


class _Dispute(msgspec.Struct):
    status: _Text = ""
    charge: _Reference = None


class _Refund(msgspec.Struct):
    status: _Text | None = None
    charge: _Reference = None


_Object = TypeVar("_Object")


class _Data(msgspec.Struct, Generic[_Object]):
    object: _Object


class _Body(msgspec.Struct, Generic[_Object]):
    data: _Data[_Object]


class _Envelope(msgspec.Struct):
    id: _Visible
    type: _Visible
    created: _Seconds
    livemode: bool
    data: _Data[_Thing]
    kind: _Text = _Kind
    api_version: _Text | None = None
    account: _Text | None = None


_THING: Final = msgspec.json.Decoder(_Thing)
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_CHARGE: Final = msgspec.json.Decoder(_Body[_Charge])
_DISPUTE: Final = msgspec.json.Decoder(_Body[_Dispute])
_REFUND: Final = msgspec.json.Decoder(_Body[_Refund])

_MESSAGE: Final = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>[^`]*)`)?")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>\w+)`")
# In JSON that was read already a backslash is only ever part of an escape: an odd
# number of them before `u0000` makes it a NUL.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")


def translate(body: bytes) -> GatewayEvent:
    """Translate a body whose signature was verified, now or before.

    Raises:
        MalformedEvent: it is not a snapshot event of Stripe.
    """
    if not _is_utf8(body):
        raise MalformedEvent("", "not UTF-8")
    envelope = _envelope(body)
    if _holds_nul(body):
        raise MalformedEvent("", "a text holds a NUL character")
    return GatewayEvent(
        id=envelope.id,
        type=envelope.type,
        created_at=_moment(envelope.created),
        livemode=envelope.livemode,
        api_version=envelope.api_version,
        object_id=envelope.data.object.id,
        report=_report(envelope, body),
        body=body,
    )


@attrs.frozen
class StripeEvents:
    """The `EventReader` of a service that Stripe reports to."""

    signatures: StripeSignatures

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate.

        Raises:
            BadSignature: nobody who knows a secret wrote this, lately.
            MalformedEvent: signed, but not an event that can be read.
        """
        self.signatures.verify(body, signature)
        return translate(body)


def _is_utf8(body: bytes) -> bool:
    # msgspec does not look into the texts that it skips. The answer is a bool because
    # a UnicodeDecodeError would carry the whole body along, into logs.
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _holds_nul(body: bytes) -> bool:
    # Postgres takes no NUL in a text. The search is cheap; the expression is not.
    return b"\\u0000" in body and _NUL.search(body) is not None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_Decoded = TypeVar("_Decoded")


def _decode(decoder: msgspec.json.Decoder[_Decoded], body: bytes) -> _Decoded:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _malformed(error) from None
    except msgspec.DecodeError:
        raise MalformedEvent("", "not JSON") from None
    except RecursionError:
        raise MalformedEvent("", "nested too deeply") from None


def _malformed(error: msgspec.ValidationError) -> MalformedEvent:
    """Turn "Expected `int`, got `bool` - at `$.created`" into a field and a reason.

    Our types have no enums and no dictionaries, so the message quotes no input.
    """
    found = _MESSAGE.fullmatch(str(error))
    if found is None:
        return MalformedEvent("", "not an event")
    path, reason = (found["path"] or "").removeprefix("."), found["reason"]
    if missing := _MISSING.fullmatch(reason):
        return MalformedEvent(f"{path}.{missing['field']}".strip("."), "missing")
    return MalformedEvent(path, reason)


def _envelope(body: bytes) -> _Envelope:
    try:
        envelope = _decode(_ENVELOPE, body)
    except MalformedEvent:
        # A thin event lacks fields; better to hear that it is one.
        _require_event(_decode(_THING, body).kind)
        raise
    _require_event(envelope.kind)
    return envelope


def _require_event(kind: str) -> None:
    if kind != "event":
        raise MalformedEvent("object", "not a snapshot event")


def _report(envelope: _Envelope, body: bytes) -> Payment | Doubt | None:
    followed = _FOLLOWED.get(envelope.type)
    if followed is None:
        return None
    thing = envelope.data.object
    if thing.kind != followed.kind:
        return Doubt(None, f"the object is not a {followed.kind}")
    report = followed.read(envelope, body)
    if isinstance(report, Payment) and (reason := _not_ours(envelope)):
        return Doubt(report.id, reason)
    return report


def _not_ours(envelope: _Envelope) -> str | None:
    if envelope.data.object.livemode not in (None, envelope.livemode):
        return "livemode of event and object differ"
    # Only a platform gets these, of the accounts connected to it. Their money is
    # not ours, and nothing about it may be taken from a payload alone.
    if envelope.account:
        return "the event is of a connected account"
    return None


class _Unclear(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """A charge from which no fact follows."""


def _read_charge(envelope: _Envelope, body: bytes) -> Payment | Doubt:
    charge = _decode(_CHARGE, body).data.object
    try:
        return _payment(charge, expired=envelope.type == "charge.expired")
    except _Unclear as unclear:
        return Doubt(PaymentId(charge.id), str(unclear))


def _payment(charge: _Charge, *, expired: bool) -> Payment:
    """Say what a charge reports. An authorisation counts before it is captured."""
    state, refunded_minor = _progress(charge, expired=expired)
    return Payment(
        id=PaymentId(charge.id),
        state=state,
        dispute=_dispute_of(charge),
        amount=_money(charge),
        refunded_minor=refunded_minor,
        created_at=_moment(charge.created),
        customer_id=_customer(charge),
        claimed_by=(charge.metadata and charge.metadata.user_id) or None,
        email=_email_key(charge),
        invoice_id=_id_of(charge.invoice),
        failure_code=charge.failure_code,
    )


_STATES: Final = MappingProxyType(
    {
        "pending": PaymentState.PENDING,
        "succeeded": PaymentState.SUCCEEDED,
        "failed": PaymentState.FAILED,
    }
)


def _progress(charge: _Charge, *, expired: bool) -> tuple[PaymentState, int]:
    """Return how far a charge got, and how much of it went back, in minor units."""
    state = _STATES.get(charge.status)
    if state is None:
        raise _Unclear("the charge has an unknown status")
    # An authorisation that nobody captured in time went back as a whole.
    in_full = charge.refunded or expired or 0 < charge.amount == charge.amount_refunded
    refunded_minor = charge.amount if in_full else charge.amount_refunded
    if refunded_minor > charge.amount:
        raise _Unclear("more was refunded than charged")
    if not in_full and not refunded_minor:
        return state, 0
    if state is PaymentState.FAILED or (state is PaymentState.PENDING and not in_full):
        raise _Unclear("a refund of what was not taken")
    after = PaymentState.REFUNDED if in_full else PaymentState.PARTIALLY_REFUNDED
    return after, refunded_minor


def _dispute_of(charge: _Charge) -> DisputeState:
    disputed = charge.disputed or charge.dispute is not None
    return DisputeState.OPEN if disputed else DisputeState.NONE


def _money(charge: _Charge) -> Money:
    try:
        return Money(charge.amount, charge.currency)
    except InvalidValue as error:
        raise MalformedEvent("data.object.currency", error.reason) from None


def _id_of(reference: _Reference) -> str | None:
    return reference.id if isinstance(reference, _Expanded) else reference


def _customer(charge: _Charge) -> CustomerId | None:
    id_ = _id_of(charge.customer)
    try:
        return None if id_ is None else customer_id(id_)
    except InvalidValue:
        raise _Unclear("the customer's id is not readable") from None


def _email_key(charge: _Charge) -> str | None:
    billing = charge.billing_details
    text = charge.receipt_email or (billing and billing.email)
    try:
        return Email.of(text).key if text else None
    except InvalidValue:
        return None


# A closed inquiry took no money; a prevented dispute never became one.
_DISPUTES: Final = MappingProxyType(
    {
        "warning_needs_response": DisputeState.OPEN,
        "warning_under_review": DisputeState.OPEN,
        "warning_closed": DisputeState.WON,
        "needs_response": DisputeState.OPEN,
        "under_review": DisputeState.OPEN,
        # An appeal follows a loss, and only a second verdict tells more.
        "appeal_needs_response": DisputeState.OPEN,
        "appeal_under_review": DisputeState.OPEN,
        "won": DisputeState.WON,
        "lost": DisputeState.LOST,
        "prevented": DisputeState.WON,
    }
)


def _payment_id_of(thing: _Dispute | _Refund) -> PaymentId | None:
    id_ = _id_of(thing.charge)
    return None if id_ is None else PaymentId(id_)


def _read_dispute(_: _Envelope, body: bytes) -> Payment | Doubt:
    dispute = _decode(_DISPUTE, body).data.object
    payment_id = _payment_id_of(dispute)
    if payment_id is None:
        return Doubt(None, "the dispute names no charge")
    state = _DISPUTES.get(dispute.status)
    if state is None:
        return Doubt(payment_id, "the dispute has an unknown status")
    # Only money that was taken can be disputed.
    return Payment(id=payment_id, state=PaymentState.SUCCEEDED, dispute=state)


# The amounts come with `charge.refunded`.
_QUIET_REFUNDS: Final = frozenset({"pending", "requires_action", "succeeded"})
_FAILED_REFUNDS: Final = frozenset({"failed", "canceled"})


def _read_refund(_: _Envelope, body: bytes) -> Doubt | None:
    refund = _decode(_REFUND, body).data.object
    if refund.status in _QUIET_REFUNDS:
        return None
    # What was refunded only grows when reports merge: it takes a fetch to lower it.
    failed = refund.status in _FAILED_REFUNDS
    reason = "a refund failed" if failed else "the refund has an unknown status"
    return Doubt(_payment_id_of(refund), reason)


class _Followed(NamedTuple):
    """Which object a type of event carries, and who reads it."""

    kind: str
    read: Callable[[_Envelope, bytes], Payment | Doubt | None]


_FOLLOWED: Final[Mapping[str, _Followed]] = MappingProxyType(
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
    }
)
