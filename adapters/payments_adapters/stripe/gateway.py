"""Stripe as the `PaymentGateway`: it sends frozen requests and reads objects.

Sources: docs.stripe.com/api and the types of the SDK.
"""

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs
import msgspec
import stripe

from payments_adapters.stripe import (
    billing,
    changed_objects,
    invoices,
    request_results,
    requests,
)
from payments_adapters.stripe.api_reader import (
    CHARGE,
    COLLECTED,
    CUSTOMER,
    DISPUTE,
    INVOICE,
    INVOICE_PAYMENT,
    METHOD,
    PAGE,
    PAYMENT_INTENT,
    PRICE,
    PRODUCT,
    SET_UP,
    SUBSCRIPTION,
    Reading,
)
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.charges import (
    Charge,
    Unclear,
    dispute_state_of,
    payment_of,
)
from payments_adapters.stripe.client import Client, Reader
from payments_adapters.stripe.fields import Malformed, id_of
from payments_adapters.stripe.invoice_payments import collection_of
from payments_adapters.stripe.invoice_previews import PreviewedInvoice, preview_of
from payments_adapters.stripe.listed_events import listed_events
from payments_adapters.stripe.prices import price_of
from payments_core.card import Card
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    InvalidValue,
)
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import ObjectChanged
from payments_core.gateway import (
    Answer,
    FetchedCustomer,
    FetchedPayment,
    FetchedSubscription,
    FrozenRequest,
    GatewayRequest,
    InvoicePayment,
    InvoicePaymentState,
    Preview,
    Price,
    SetUp,
    UpdateSubscription,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey
from payments_core.payment import DisputeState, PaymentId
from payments_core.subscription import PaidPeriod, SubscriptionReport

# How many invoices to search for one that paid more than a proration.
INVOICES_MAX: Final = 20
_DEFAULT_CARD: Final = "invoice_settings.default_payment_method"
_PREVIEW: Final = Reader(msgspec.json.Decoder(PreviewedInvoice), "invoice")
_INVOICE_STATES: Final = MappingProxyType(
    {
        "paid": InvoicePaymentState.PAID,
        "uncollectible": InvoicePaymentState.CLOSED,
        "void": InvoicePaymentState.CLOSED,
    }
)


class StripeGateway:
    """Implements `PaymentGateway`; open it once per event loop."""

    def __init__(self, api_key: str | None, *, base: str, livemode: bool) -> None:
        self._client = Client(api_key, base, livemode)
        self._livemode = livemode
        self._reading = Reading(self._client)

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
        sending = request_results.SENDINGS[type(request)]
        try:
            got = await self._client.call(
                frozen.method,
                frozen.path,
                json.loads(frozen.body),
                sending.kind.one,
                idempotency_key=idempotency_key,
                api_version=frozen.api_version,
            )
        except GatewayRefused as error:
            # It may have been done before, under another key.
            may_be_done = sending.may_be_done and not error.declined
            if may_be_done and (done := await self.find(request)):
                return done
            error.field = error.field or sending.field
            raise
        return sending.answer(request, got)

    async def find(self, request: GatewayRequest) -> Answer | None:
        return await request_results.find(self._reading, request)

    # Reading

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        found = [got.it for got in await self._reading.all(CUSTOMER, email=email)]
        made = [it.id for it in found if it.metadata and it.metadata.user_id == user_id]
        # Lists begin with the newest; of several customers the oldest counts.
        return CustomerId(made[-1]) if made else None

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        found = (await self._reading.one(CUSTOMER, customer_id, _DEFAULT_CARD)).it
        method = found.invoice_settings.default_payment_method
        if isinstance(method, str):
            raise GatewayOutcomeUnknown("a card of which only the id was sent")
        # If there is no default payment method, a card of the older API pays.
        source = id_of(found.default_source)
        card = billing.card_of(method) if method else None
        if method is None and source is not None:
            card = await self.card(customer_id, source)
        return FetchedCustomer(
            deleted=found.deleted,
            metadata_user_id=found.metadata.user_id if found.metadata else None,
            email_key=found.email_key,
            card=card,
        )

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        got = await self._reading.one(SUBSCRIPTION, gateway_id, "latest_invoice")
        report = request_results.report_of(got.it)
        paid = billing.last_paid_periods_of(got.it)
        if not any(it.item_id in {None, report.item_id} for it in paid):
            paid = [*paid, *await self._paid_lately(gateway_id)]
        return FetchedSubscription(report=report, paid_periods=paid, at=got.at)

    async def _paid_lately(self, gateway_id: str) -> Sequence[PaidPeriod]:
        """Return what the recently paid invoices cover, oldest first."""
        got = await self._reading.some(
            INVOICE, limit=INVOICES_MAX, subscription=gateway_id, status="paid"
        )
        return [
            period
            for invoice in reversed(got.it.data)
            for period in invoices.paid_periods_of(await self._reading.whole(invoice))
            if period.gateway_id == gateway_id
        ]

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        found = await self._reading.all(
            SUBSCRIPTION, customer=customer_id, status="all"
        )
        return [request_results.report_of(got.it) for got in found]

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        return (await self.customer(customer_id)).card

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        try:
            got = await self._reading.one(METHOD, card_id)
        except GatewayObjectMissing:
            return None
        is_theirs = id_of(got.it.customer) == customer_id
        return billing.card_of(got.it) if is_theirs else None

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        found = await self._reading.all(
            INVOICE, subscription=subscription, status="open"
        )
        # Lists begin with the newest.
        return [got.it.id for got in reversed(found)]

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        got = await self._reading.one(
            COLLECTED, invoice_id, "payments", "confirmation_secret"
        )
        if state := _INVOICE_STATES.get(got.it.status or ""):
            return InvoicePayment(state=state)
        intent_id = got.it.intent_id
        if intent_id is None:
            return InvoicePayment(state=InvoicePaymentState.OPEN)
        intent = await self._reading.one(PAYMENT_INTENT, intent_id)
        return collection_of(got.it, intent.it)

    async def set_up(self, set_up_id: str) -> SetUp:
        got = await self._reading.one(SET_UP, set_up_id)
        customer = id_of(got.it.customer)
        return SetUp(
            customer_id=CustomerId(customer) if customer else None,
            payment_method=id_of(got.it.payment_method),
            succeeded=got.it.status == "succeeded",
        )

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        begun = {"gte": str(math.ceil(since.timestamp()))}
        got = await self._reading.some(
            SET_UP, limit=1, customer=customer_id, created=begun
        )
        if not got.it.data:
            return None
        [newest] = got.it.data
        if id_of(newest.customer) != customer_id:
            raise GatewayOutcomeUnknown("a list of something else")
        return newest.id

    async def payment(self, payment_id: PaymentId) -> FetchedPayment:
        got = await self._reading.one(CHARGE, payment_id)
        charge = got.it
        try:
            payment = payment_of(charge, expired=False)
            if payment.dispute is not DisputeState.NONE:
                # A charge only says that there is a dispute.
                page = await self._reading.some(DISPUTE, limit=PAGE, charge=payment_id)
                state = dispute_state_of(page.it.data)
                payment = attrs.evolve(payment, dispute=state)
        except (Unclear, Malformed) as error:
            raise GatewayOutcomeUnknown(f"a charge that is unclear: {error}") from error
        invoice = await self._invoice_paid_by(charge)
        periods = list(invoices.paid_periods_of(invoice)) if invoice else []
        subscription = invoices.subscription_of(invoice) if invoice else None
        if subscription is not None and payment.money_returned:
            # The fallback: an earlier release stored only the last period.
            periods = [*await self._paid_lately(subscription), *periods]
        return FetchedPayment(
            payment=attrs.evolve(
                payment,
                invoice_id=invoice.id if invoice else None,
                subscription_id=subscription,
                invoice_known=True,
            ),
            paid_periods=periods,
            at=got.at,
        )

    async def _invoice_paid_by(self, charge: Charge) -> invoices.Invoice | None:
        """Return the invoice that a charge paid, or tried to pay, if there is one."""
        intent = id_of(charge.payment_intent)
        if intent is None:
            return None
        got = await self._reading.some(
            INVOICE_PAYMENT,
            limit=PAGE,
            payment={"type": "payment_intent", "payment_intent": intent},
            expand=["data.invoice"],
        )
        # Paid ones first: an attempt may be for a later invoice.
        found = sorted(got.it.data, key=lambda it: it.status != "paid")
        return await self._reading.whole(found[0].invoice) if found else None

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        return await changed_objects.jobs_of(self._reading, changed)

    async def events(self, query: EventQuery) -> ListedEvents:
        return await listed_events(self._client, query, livemode=self._livemode)

    async def price(self, price_id: str) -> Price:
        got = await self._reading.one(PRICE, price_id)
        return price_of(got.it)

    async def price_of(self, product_id: str) -> Price:
        got = await self._reading.one(PRODUCT, product_id, "default_price")
        price = got.it.default_price
        if isinstance(price, str):
            raise GatewayOutcomeUnknown("a price of which only the id was sent")
        if price is None or not got.it.active:
            raise GatewayObjectMissing("price")
        return price_of(price)

    async def preview(
        self, customer_id: CustomerId, change: UpdateSubscription
    ) -> Preview:
        date = change.proration_date
        if date is None:
            raise InvalidValue("proration_date", "missing")
        got = await self._client.call(
            "POST",
            requests.path("invoices", "create_preview"),
            requests.previewed(customer_id, change),
            _PREVIEW,
        )
        return preview_of(got.it, proration_date=date, now=got.at)
