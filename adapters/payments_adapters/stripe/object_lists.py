"""Stripe's lists as `GatewayLists`: one call per page, its objects read one by one.

Rule 1: an unreadable object is reported as such; the rest of its page is read.
Rule 2: what is reported of an object is certain. If the list lacks something, the
        object is reported as unreadable.
Rule 3: an object of the other mode, deleted, or without a payment is left out. The next
        page still begins after it.

Sources: docs.stripe.com/api/{pagination,expanding_objects}, and the pages on the lists
of customers, subscriptions, invoices, charges, refunds and disputes.
"""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import attrs
import msgspec
import stripe

from payments_adapters.stripe import billing, charges, customers
from payments_adapters.stripe.api_reader import PAGE, Filter, Kind, Reading
from payments_adapters.stripe.client import Client
from payments_adapters.stripe.fields import (
    KIND,
    NUL,
    Expanded,
    Id,
    Malformed,
    Seconds,
    Text,
    Visible,
    decode,
    moment,
    reads_nul,
)
from payments_adapters.stripe.invoices import Invoice, paid_periods_of, subscription_of
from payments_adapters.stripe.transport import Transport
from payments_core.card import Card
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    InvalidValue,
)
from payments_core.identity import CustomerId, customer_id
from payments_core.object_lists import (
    CreatedBetween,
    Listed,
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
    ObjectPage,
)

# A hundred subscriptions with their invoices are the longest answer.
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
# No user waits for a page, and Stripe needs time to expand objects.
PAGE_DEADLINE_S: Final = 30.0


class _Unsaid(Exception):  # noqa: N818  # a verdict, never shown
    """A list lacks something that it should say about an object."""


# Customers


class _Source(Expanded):
    """A card, a source or a bank account of the older API."""

    kind: Text = KIND
    brand: billing.Brand | None = None
    last4: billing.Last4 | None = None
    exp_month: billing.Month | None = None
    exp_year: billing.Year | None = None
    # Set for a source that is a card.
    card: billing.CardDetails | None = None


class _Customer(customers.Customer):
    default_source: _Source | Id | None = None


# The names of cards in the older API, and of a payment method.
_BRANDS: Final = MappingProxyType(
    {
        "American Express": "amex",
        "Cartes Bancaires": "cartes_bancaires",
        "Diners Club": "diners",
        "Discover": "discover",
        "Eftpos Australia": "eftpos_au",
        "JCB": "jcb",
        "MasterCard": "mastercard",
        "UnionPay": "unionpay",
        "Unknown": "unknown",
        "Visa": "visa",
    }
)


def _read_customer(customer: _Customer) -> Listed:
    metadata = customer.metadata
    return ListedCustomer(
        customer_id=customer_id(customer.id),
        metadata_user_id=(metadata and metadata.user_id) or None,
        card=_default_card(customer),
    )


def _default_card(customer: _Customer) -> Card | None:
    method = customer.invoice_settings.default_payment_method
    # If there is no default payment method, a card of the older API pays.
    chosen = method or customer.default_source
    if isinstance(chosen, str):
        raise _Unsaid("only the id of the default card was sent")
    if isinstance(chosen, billing.PaymentMethod):
        return billing.card_of(chosen)
    return None if chosen is None else _older_card(chosen)


def _older_card(source: _Source) -> Card | None:
    """Return the card as the payment method with the same id shows it."""
    it = source if source.kind == "card" else source.card
    if it is None:
        return None
    brand = _BRANDS.get(it.brand or "")
    if brand is None or it.last4 is None or it.exp_month is None or it.exp_year is None:
        raise _Unsaid("the default card is one of the older API, and unclear")
    return Card(
        id=source.id,
        brand=brand,
        last4=it.last4,
        exp_month=it.exp_month,
        exp_year=it.exp_year,
    )


# Subscriptions and invoices


class _Subscription(billing.Subscription):
    default_payment_method: billing.PaymentMethod | Id | None = None


def _read_subscription(subscription: _Subscription) -> Listed:
    invoice = subscription.latest_invoice
    own = subscription.default_payment_method
    has_more = isinstance(invoice, Invoice) and invoice.lines.has_more
    return ListedSubscription(
        report=billing.report_of(subscription),
        # A line that is not included may be about the same item.
        paid_periods=() if has_more else billing.last_paid_periods_of(subscription),
        own_card=billing.card_of(own)
        if isinstance(own, billing.PaymentMethod)
        else None,
    )


def _read_invoice(invoice: Invoice) -> Listed:
    return ListedInvoice(paid_periods_of(invoice))


# Payments


class _Refund(msgspec.Struct):
    charge: charges.Charge | Id | None = None


def _read_payment(charge: charges.Charge) -> Listed:
    return ListedPayment(charges.payment_of(charge, expired=False))


def _read_refund(refund: _Refund) -> Listed | None:
    if isinstance(refund.charge, str):
        raise _Unsaid("only the id of the refund's payment was sent")
    return None if refund.charge is None else _read_payment(refund.charge)


def _read_dispute(dispute: charges.Dispute) -> Listed | None:
    payment_id = charges.payment_id_of(dispute)
    if payment_id is None:
        return None
    return ListedDispute(payment_id, charges.dispute_state_of([dispute]))


# The lists


@attrs.frozen
class _List:
    """How a list is requested, and how its objects are read; None: left out."""

    kind: Kind[Any]
    read: Callable[[Any], Listed | None]
    filters: Mapping[str, Filter] = attrs.Factory(dict)


_LISTS: Final[Mapping[ObjectList, _List]] = MappingProxyType(
    {
        ObjectList.CUSTOMERS: _List(
            Kind.of("customer", "customer", _Customer),
            _read_customer,
            {
                "expand": [
                    "data.default_source",
                    "data.invoice_settings.default_payment_method",
                ]
            },
        ),
        ObjectList.SUBSCRIPTIONS: _List(
            Kind.of("subscription", "subscription", _Subscription),
            _read_subscription,
            {
                "expand": ["data.default_payment_method", "data.latest_invoice"],
                "status": "all",
            },
        ),
        ObjectList.INVOICES: _List(
            Kind.of("invoice", "invoice", Invoice), _read_invoice, {"status": "paid"}
        ),
        ObjectList.PAYMENTS: _List(
            Kind.of("charge", "payment", charges.Charge), _read_payment
        ),
        ObjectList.REFUNDS: _List(
            Kind.of("refund", "refund", _Refund),
            _read_refund,
            {"expand": ["data.charge"]},
        ),
        ObjectList.DISPUTES: _List(
            Kind.of("dispute", "dispute", charges.Dispute), _read_dispute
        ),
    }
)


class _Place(msgspec.Struct):
    """The position of an object in its list, from which the next page begins."""

    id: Visible
    # A deleted customer has no time.
    created: Seconds | None = None


class _Whose(msgspec.Struct):
    """Whether an object is of the list's kind and of our mode."""

    kind: Text = KIND
    livemode: bool | None = None
    deleted: bool = False


_PLACE: Final = msgspec.json.Decoder(_Place)
_WHOSE: Final = msgspec.json.Decoder(_Whose)
_UNREADABLE: Final = (
    # The rest of an invoice's lines cannot be fetched.
    GatewayObjectMissing,
    GatewayRefused,
    InvalidValue,
    Malformed,
    _Unsaid,
    billing.Unreadable,
    charges.Unclear,
)


class StripeLists:
    """Implements `GatewayLists`; open it once per event loop."""

    def __init__(self, api_key: str | None, *, base: str, livemode: bool) -> None:
        self._client = Client(api_key, base, livemode)
        self._reading = Reading(self._client)
        self._livemode = livemode

    @asynccontextmanager
    async def opened(
        self, transport: stripe.HTTPClient | None = None
    ) -> AsyncIterator["StripeLists"]:
        if transport is None:
            transport = Transport(
                deadline_s=PAGE_DEADLINE_S, answer_bytes_max=PAGE_BYTES_MAX
            )
        async with self._client.opened(transport):
            yield self

    async def page(
        self,
        list_: ObjectList,
        created: CreatedBetween,
        *,
        customer: CustomerId | None = None,
        after: str | None = None,
    ) -> ObjectPage:
        how = _LISTS[list_]
        filters = dict(how.filters) | _window(created)
        if customer is not None:
            filters["customer"] = customer
        if after is not None:
            filters["starting_after"] = after
        try:
            got = await self._reading.some_unread(how.kind, limit=PAGE, **filters)
        except GatewayRefused as error:
            raise GatewayNotAttempted(f"it does not list: {error}") from error
        found = [(_place(raw), raw) for raw in map(bytes, got.it.data)]
        last = found[-1][0].id if found else after
        if got.it.has_more and last == after:
            raise GatewayOutcomeUnknown("a list without an end")
        read = [await self._object(how, place, raw) for place, raw in found]
        return ObjectPage(
            objects=[it for it in read if it is not None],
            at=got.at,
            after=last if got.it.has_more else None,
        )

    async def _object(
        self, how: _List, place: _Place, raw: bytes
    ) -> ListedObject | None:
        try:
            it = await self._read(how, raw)
        except _UNREADABLE as error:
            it = ListedUnreadable(str(error))
        if it is None:
            return None
        if place.created is None:
            raise GatewayOutcomeUnknown("an object without its time")
        return ListedObject(id=place.id, created_at=moment(place.created), it=it)

    async def _read(self, how: _List, raw: bytes) -> Listed | None:
        whose = decode(_WHOSE, raw)
        if whose.deleted or whose.livemode not in {None, self._livemode}:
            return None
        if whose.kind != how.kind.name:
            raise _Unsaid(f"it is not a {how.kind.name}")
        it = decode(how.kind.one.decoder, raw)
        if NUL in raw and reads_nul(it):
            raise _Unsaid("it has a NUL, which cannot be stored")
        if isinstance(it, Invoice) and subscription_of(it) is not None:
            it = await self._reading.whole(it)
        return how.read(it)


def _window(created: CreatedBetween) -> dict[str, Filter]:
    # The first whole second that is not before a time.
    window = {"lt": str(math.ceil(created.end.timestamp()))}
    if created.start is not None:
        window["gte"] = str(math.ceil(created.start.timestamp()))
    return {"created": window}


def _place(raw: bytes) -> _Place:
    try:
        return decode(_PLACE, raw)
    except Malformed as error:
        raise GatewayOutcomeUnknown(
            f"a list with an object without a position ({error})"
        ) from error
