"""What Stripe's events say about a customer's cards.

Rule 1: an event is only a reason to fetch which card pays: events arrive twice, and in
        any order.
Rule 2: it carries just enough to tell whether that is known already.
Rule 3: customers change often. Only a new default card matters.

Sources: docs.stripe.com/api/events/{object,types} and
`previous_attributes` has what changed; for an object in it, only the changed fields. A
payment method that was detached names its customer only there.
"""

from typing import Final

import msgspec

from payments_adapters.stripe.billing import PaymentMethod, card_of
from payments_adapters.stripe.envelope import Body, Envelope
from payments_adapters.stripe.fields import Id, Malformed, Reference, decode, id_of
from payments_core.errors import InvalidValue
from payments_core.events import CardChange, CardReported, SyncNeeded
from payments_core.identity import CustomerId, customer_id
from payments_core.job_key import JobKey, JobKind

_SOURCE_OF_CARD: Final = "card"


class _InvoiceSettings(msgspec.Struct):
    default_payment_method: Reference = None


class _Customer(msgspec.Struct):
    id: Id
    invoice_settings: _InvoiceSettings | None = None
    default_source: Reference = None


class _SettingsBefore(msgspec.Struct):
    default_payment_method: object = msgspec.UNSET


class _CustomerBefore(msgspec.Struct):
    invoice_settings: _SettingsBefore | None = None
    default_source: object = msgspec.UNSET


class _CustomerChange(msgspec.Struct):
    object: _Customer
    previous_attributes: _CustomerBefore | None = None


class _CustomerUpdated(msgspec.Struct):
    data: _CustomerChange


class _Owner(msgspec.Struct):
    customer: Reference = None


class _Detached(msgspec.Struct):
    id: Id
    customer: Reference = None


class _Detachment(msgspec.Struct):
    object: _Detached
    previous_attributes: _Owner | None = None


class _MethodDetached(msgspec.Struct):
    data: _Detachment


_CUSTOMER_UPDATED: Final = msgspec.json.Decoder(_CustomerUpdated)
_METHOD: Final = msgspec.json.Decoder(Body[PaymentMethod])
_METHOD_DETACHED: Final = msgspec.json.Decoder(_MethodDetached)
_OWNER: Final = msgspec.json.Decoder(Body[_Owner])


def read_customer(envelope: Envelope, body: bytes) -> CardReported | None:
    """Read that the default card changed; None if anything else changed."""
    change = decode(_CUSTOMER_UPDATED, body).data
    customer = _customer_of(change.object.id)
    if customer is None or not _is_about_a_card(change.previous_attributes):
        return None
    settings = change.object.invoice_settings or _InvoiceSettings()
    chosen = id_of(settings.default_payment_method)
    return CardReported(
        customer_id=customer,
        change=CardChange.DEFAULT,
        card_id=chosen or id_of(change.object.default_source),
        reason=envelope.type,
    )


def _is_about_a_card(before: _CustomerBefore | None) -> bool:
    if before is None:
        return False
    settings = before.invoice_settings or _SettingsBefore()
    return (
        settings.default_payment_method is not msgspec.UNSET
        or before.default_source is not msgspec.UNSET
    )


def read_attached_method(
    envelope: Envelope, body: bytes
) -> CardReported | SyncNeeded | None:
    """Read that a card was attached to a customer."""
    return _read_method(envelope, body, CardChange.ATTACHED)


def read_changed_method(
    envelope: Envelope, body: bytes
) -> CardReported | SyncNeeded | None:
    """Read that a card changed, for example its expiry."""
    return _read_method(envelope, body, CardChange.CHANGED)


def _read_method(
    envelope: Envelope, body: bytes, change: CardChange
) -> CardReported | SyncNeeded | None:
    """Read what happened to a card; None if it has no customer, or is not a card."""
    customer = _customer_of(decode(_OWNER, body).data.object.customer)
    if customer is None:
        return None
    try:
        card = card_of(decode(_METHOD, body).data.object)
    except Malformed:
        # Another version may render it differently; it is fetched in ours.
        return _sync(customer, envelope.type)
    if card is None:
        return None
    return CardReported(
        customer_id=customer,
        change=change,
        card_id=card.id,
        card=card,
        reason=envelope.type,
    )


def read_detached_method(envelope: Envelope, body: bytes) -> CardReported | None:
    """Read that a card was detached from its customer."""
    detachment = decode(_METHOD_DETACHED, body).data
    before = detachment.previous_attributes or _Owner()
    customer = _customer_of(before.customer or detachment.object.customer)
    if customer is None:
        return None
    return CardReported(
        customer_id=customer,
        change=CardChange.DETACHED,
        card_id=detachment.object.id,
        reason=envelope.type,
    )


def read_source(envelope: Envelope, body: bytes) -> SyncNeeded | None:
    """Read that a card of the older API changed; its shape is another."""
    if envelope.data.object.kind != _SOURCE_OF_CARD:
        return None
    customer = _customer_of(decode(_OWNER, body).data.object.customer)
    return _sync(customer, envelope.type) if customer else None


def _sync(customer: CustomerId, reason: str) -> SyncNeeded:
    return SyncNeeded(JobKey(JobKind.CUSTOMER, customer), reason)


def _customer_of(reference: Reference) -> CustomerId | None:
    try:
        return customer_id(id_of(reference) or "")
    except InvalidValue:
        # No customer of ours can have such an id.
        return None
