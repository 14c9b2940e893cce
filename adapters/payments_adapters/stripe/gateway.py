"""Stripe as the `PaymentGateway`: requests sent as they were frozen, objects read.

Sources: docs.stripe.com/api and the types of the SDK.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

import attrs
import msgspec
import stripe

from payments_adapters.stripe import billing, objects, requests
from payments_adapters.stripe.answers import (
    CUSTOMER,
    SENDINGS,
    SET_UP,
    SUBSCRIPTION,
    SUBSCRIPTIONS,
    report_of,
)
from payments_adapters.stripe.charges import Charge, Unclear, payment_of
from payments_adapters.stripe.client import Client, Got
from payments_adapters.stripe.fields import id_of
from payments_adapters.stripe.requests import changed_items, given, path
from payments_adapters.stripe.translation import API_VERSION
from payments_core.card import Card
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayRefused,
    GatewaySilent,
    InvalidValue,
    MalformedEvent,
)
from payments_core.gateway import (
    Answer,
    ChangeSubscription,
    Collection,
    CollectionState,
    FrozenRequest,
    GatewayRequest,
    LookedUp,
    Preview,
    PreviewLine,
    Price,
    SetUp,
)
from payments_core.identity import CustomerId
from payments_core.money import Money
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import PaidTerm, SubscriptionReport

PAGE: Final = 100
PAGES_MAX: Final = 20
MISSING: Final = "resource_missing"
_EXPANDED: Final = {"expand": ["latest_invoice"]}

_INVOICE: Final = msgspec.json.Decoder(objects.CollectedInvoice)
_INVOICES: Final = msgspec.json.Decoder(objects.Page[billing.Invoice])
_INTENT: Final = msgspec.json.Decoder(objects.PaymentIntent)
_CHARGE: Final = msgspec.json.Decoder(Charge)
_PRICE: Final = msgspec.json.Decoder(objects.Price)
_PRODUCT: Final = msgspec.json.Decoder(objects.Product)
_PREVIEW: Final = msgspec.json.Decoder(objects.PreviewedInvoice)

_Object = TypeVar("_Object")


class StripeGateway:
    """Every promise of `PaymentGateway`; open it once in each event loop."""

    def __init__(self, api_key: str | None, *, base: str, livemode: bool) -> None:
        self._client = Client(api_key, base, livemode, API_VERSION)

    @asynccontextmanager
    async def opened(
        self, transport: stripe.HTTPClient | None = None
    ) -> AsyncIterator["StripeGateway"]:
        async with self._client.opened(transport):
            yield self

    # Changing

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        return requests.frozen(request, API_VERSION)

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        sending = SENDINGS[type(request)]
        try:
            got = await self._client.call(
                frozen.method,
                frozen.path,
                json.loads(frozen.body),
                reads=sending.reads,
                kind=sending.kind,
                idempotency_key=idempotency_key,
                api_version=frozen.api_version,
            )
        except GatewayRefused as error:
            # Perhaps it is as it should be already: done before, under another key.
            may_be_done = sending.may_be_done and not error.declined
            if may_be_done and (done := await self.find(request)):
                return done
            error.field = error.field or sending.field
            raise
        return sending.answer(request, got)

    async def find(self, request: GatewayRequest) -> Answer | None:
        return await SENDINGS[type(request)].find(self, request)

    # Reading

    async def subscription(self, gateway_id: str) -> LookedUp:
        got = await self._subscription(gateway_id)
        term = _term_of(got.it)
        if term is None:
            term = await self._paid_term(gateway_id)
        return LookedUp(report=report_of(got.it), term=term, at=got.at)

    async def _subscription(self, gateway_id: str) -> Got[billing.Subscription]:
        return await self.get(
            path("subscriptions", gateway_id), SUBSCRIPTION, "subscription", _EXPANDED
        )

    async def _paid_term(self, gateway_id: str) -> PaidTerm | None:
        """Return the term that ends last, of the invoices that were paid lately."""
        params = given(subscription=gateway_id, status="paid", limit=20)
        got = await self._list("invoices", _INVOICES, params)
        terms = filter(None, map(billing.term_of, got.it.data))
        return max(terms, key=lambda term: term.ends_at, default=None)

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        params = {"customer": customer_id, "status": "all"}
        found, _ = await self._all("subscriptions", SUBSCRIPTIONS, params)
        return [report_of(it) for it in found]

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        customer = await self._customer(customer_id)
        method = customer.invoice_settings.default_payment_method
        if method is None or isinstance(method, str):
            return None
        return billing.card_of(method)

    async def _customer(self, customer_id: str) -> objects.Customer:
        expand = {"expand": ["invoice_settings.default_payment_method"]}
        got = await self.get(
            path("customers", customer_id), CUSTOMER, "customer", expand
        )
        return got.it

    async def collection(self, invoice_id: str) -> Collection:
        got = await self.get(
            path("invoices", invoice_id), _INVOICE, "invoice", {"expand": ["payments"]}
        )
        state, intent_id = _INVOICE_STATES.get(got.it.status or ""), got.it.intent_id
        if state is CollectionState.PAID or intent_id is None:
            return Collection(state=state or CollectionState.OPEN)
        intent = await self.get(
            path("payment_intents", intent_id), _INTENT, "payment_intent"
        )
        found = objects.collection_of(intent.it)
        # Of one that is void there is still to be told why it was not paid.
        return attrs.evolve(found, state=state) if state else found

    async def set_up(self, set_up_id: str) -> SetUp:
        got = await self.get(path("setup_intents", set_up_id), SET_UP, "setup_intent")
        customer = id_of(got.it.customer)
        return SetUp(
            customer_id=CustomerId(customer) if customer else None,
            payment_method=id_of(got.it.payment_method),
            succeeded=got.it.status == "succeeded",
        )

    async def payment(self, payment_id: PaymentId) -> Payment:
        got = await self.get(path("charges", payment_id), _CHARGE, "charge")
        try:
            return payment_of(got.it, expired=False)
        except (Unclear, MalformedEvent) as error:
            raise GatewaySilent(f"a charge that is unclear: {error}") from error

    async def price(self, price_id: str) -> Price:
        got = await self.get(path("prices", price_id), _PRICE, "price")
        return objects.price_of(got.it)

    async def price_of(self, product_id: str) -> Price:
        expand = {"expand": ["default_price"]}
        got = await self.get(path("products", product_id), _PRODUCT, "product", expand)
        price = got.it.default_price
        if price is None or isinstance(price, str) or not got.it.active:
            raise GatewayObjectMissing("price")
        return objects.price_of(price)

    async def preview(
        self, customer_id: CustomerId, change: ChangeSubscription
    ) -> Preview:
        if change.proration_date is None:
            raise InvalidValue("proration_date", "missing")
        got = await self._client.call(
            "post",
            path("invoices", "create_preview"),
            {
                "customer": customer_id,
                "subscription": change.subscription,
                "subscription_details": changed_items(change),
            },
            reads=_PREVIEW,
            kind="invoice",
        )
        lines = got.it.prorations
        return Preview(
            # A change that reckons nothing up is shown with the next renewal.
            due=Money(got.it.amount_due if lines else 0, got.it.currency),
            proration_date=change.proration_date,
            lines=[
                PreviewLine(description=it.description or "", amount_minor=it.amount)
                for it in lines
            ],
        )

    # How

    async def get(
        self,
        where: str,
        reads: "msgspec.json.Decoder[_Object]",
        kind: str,
        params: Mapping[str, Any] = MappingProxyType({}),
    ) -> Got[_Object]:
        """Return an object.

        Raises:
            GatewayObjectMissing: there is none.
        """
        try:
            return await self._client.call(
                "get", where, dict(params), reads=reads, kind=kind
            )
        except GatewayRefused as error:
            _missing(error, kind)

    async def _list(
        self,
        what: str,
        reads: "msgspec.json.Decoder[objects.Page[_Object]]",
        params: Mapping[str, Any],
    ) -> Got[objects.Page[_Object]]:
        try:
            return await self._client.call(
                "get", path(what), dict(params), reads=reads, kind="list"
            )
        except GatewayRefused as error:
            _missing(error, what)

    async def _all(
        self,
        what: str,
        reads: "msgspec.json.Decoder[objects.Page[Any]]",
        params: Mapping[str, Any],
    ) -> tuple[list[Any], datetime]:
        """Return all pages of a list, and when the first was true.

        Raises:
            GatewaySilent: they do not end.
        """
        found: list[Any] = []
        after: dict[str, str] = {}
        at = None
        for _ in range(PAGES_MAX):
            got = await self._list(what, reads, {**params, "limit": PAGE, **after})
            found += got.it.data
            at = at or got.at
            if not got.it.has_more or not got.it.data:
                return found, at
            after = {"starting_after": got.it.data[-1].id}
        raise GatewaySilent("a list without an end")

    async def made(
        self,
        what: str,
        reads: "msgspec.json.Decoder[objects.Page[Any]]",
        params: Mapping[str, Any],
        intent_id: str,
    ) -> Got[Any] | None:
        """Return the one that an intent made, of a list; None if it made none."""
        found, at = await self._all(what, reads, params)
        for it in found:
            if it.metadata is not None and it.metadata.intent_id == intent_id:
                return Got(it, at)
        return None


def _missing(error: GatewayRefused, what: str) -> NoReturn:
    if error.refusal_code == MISSING:
        raise GatewayObjectMissing(what.replace("_", " ")) from error
    raise error


_INVOICE_STATES: Final = MappingProxyType(
    {
        "paid": CollectionState.PAID,
        "uncollectible": CollectionState.CLOSED,
        "void": CollectionState.CLOSED,
    }
)


def _term_of(subscription: billing.Subscription) -> PaidTerm | None:
    invoice = subscription.latest_invoice
    return billing.term_of(invoice) if isinstance(invoice, billing.Invoice) else None
